"""A small regression that trains in milliseconds, and a script that is killed while it trains."""

import dataclasses
import os
import signal
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from subgrid.training import Adam, Plan, WarmupCosine, fit

UPDATES = 60
_TRUTH = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32)


def network():
    """Return a linear map as a dict: the smallest PyTree that can be trained."""
    return {"weight": jnp.zeros((4, 2)), "bias": jnp.ones(2)}


def batches(number, size=8):
    random = np.random.default_rng([7, number])
    x = random.normal(size=(size, 4)).astype(np.float32)
    return {"x": x, "y": x @ _TRUTH}


def loss(network, batch, keys):
    noise = 0.01 * jax.vmap(lambda key: jax.random.normal(key, (4,)))(keys)
    error = (batch["x"] + noise) @ network["weight"] + network["bias"][None] - batch["y"]
    return jnp.mean(error**2), {"bias": jnp.mean(network["bias"])}


def validate(network):
    batch = batches(10**6, 32)
    error = batch["x"] @ np.asarray(network["weight"]) + np.asarray(network["bias"]) - batch["y"]
    return {"loss": np.mean(error**2)}


def train(folder, **changes):
    """Return the result of `fit`; `changes` are arguments of it or fields of its plan."""
    course = {
        "optimiser": Adam(WarmupCosine(0.1, UPDATES, 5), clip="norm"),
        "updates": UPDATES,
        "validate_every": 6,
        "checkpoint_every": 9,
        "ema": 0.8,
    }
    arguments = {"loss": loss, "batches": batches, "validate": validate, "seed": 3, **changes}
    names = [item.name for item in dataclasses.fields(Plan) if item.name in arguments]
    plan = Plan(**{**course, **{name: arguments.pop(name) for name in names}})
    return fit(network(), plan, folder=folder, **arguments)


class KilledAt:
    """A callback that kills this process at the n-th event it sees."""

    def __init__(self, event: int):
        self.left = event

    def __call__(self, event):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def kill_while_writing(checkpoint: int):
    """Make the n-th write of a file end in SIGKILL between writing aside and renaming."""
    rename, left = os.replace, checkpoint

    def replace(source, target):
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        rename(source, target)

    os.replace = replace


if __name__ == "__main__":
    folder, how, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    if how == "write":
        kill_while_writing(count)
    train(folder, callbacks=[KilledAt(count)] if how == "event" else [])
