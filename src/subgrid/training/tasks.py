"""Tasks for one network: predict this of a state's channels, compared with that of its forcing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from subgrid.nn import flops
from subgrid.training.loop import fit
from subgrid.training.plan import Plan
from subgrid.training.run import FitResult
from subgrid.training.scaling import FORCING, SampleSource, Standardisation, channels
from subgrid.training.trackers import Callback
from subgrid.training.update import Loss
from subgrid.training.validation import mean_errors, validation_subset


@dataclass(frozen=True)
class Task:
    """What a network is asked for, of one sample, standardised and on one grid.

    `predict(network, fields, forcing, noise)`: the prediction from a state's channels [C, y, x];
    the forcing's are for networks that are told a part of the truth; the noise, if not None, is
    that of the standardised inputs. `target(forcing)`: the truth.
    `unit`: the size of a typical target, by which errors are divided in the loss (not in the
    validation), so that rates and clipping mean the same for a small residual as for the whole.
    """

    predict: Callable[[Any, Array, Array, Array | None], Array]
    target: Callable[[Array], Array]
    unit: float = 1.0


@dataclass(frozen=True)
class Sources:
    """The training and the validation split, and the scalers of the former.

    `inputs`: number of channels that the network sees, where these are not the state's own.
    """

    train: SampleSource
    validation: SampleSource
    scales: Standardisation
    inputs: int | None = None


def train_task(
    network: Any,
    task: Task,
    sources: Sources,
    plan: Plan,
    *,
    where: Callable[[Any], Any],
    folder: str | Path,
    seed: int,
    settings: Mapping[str, Any],
    callbacks: Sequence[Callback],
    label: str,
) -> FitResult:
    """Return the result of `fit` for a task."""
    return fit(
        network,
        plan,
        loss=make_loss(task),
        batches=make_batches(sources, plan, seed),
        validate=make_validation(task, sources, plan, seed),
        folder=folder,
        seed=seed,
        where=where,
        settings={
            **settings,
            "scale": sources.train.scale,
            "variables": list(sources.scales.variables),
            "training_data": sources.train.content_hash,
            "validation_data": sources.validation.content_hash,
        },
        callbacks=callbacks,
        label=label,
    )


def make_batches(sources: Sources, plan: Plan, seed: int) -> Callable[[int], dict[str, np.ndarray]]:
    """Return update → batch: "fields" and "forcing", [sample, C, y, x] each.

    The noise is on the fields, or, where the network sees other channels than theirs, for these, as
    "noise": each has its own, as Otness, Zanna & Bruna 2025 have it of velocities and vorticity.
    """
    load = sources.train.batches(seed, plan.batch_size)
    names = sources.scales.variables
    scale = np.asarray(sources.scales.inputs.scale, np.float32)[:, None, None]

    def batches(update: int) -> dict[str, np.ndarray]:
        batch = load(update)
        fields = channels(batch, names)
        forcing = channels(batch, [name + FORCING for name in names])
        seen = sources.inputs or fields.shape[1]
        shape = (len(fields), seen, *fields.shape[2:])
        noise = plan.noise.draw(shape, seed=seed, update=update)
        if sources.inputs is None:
            shown = fields if noise is None else fields + scale * noise
            return {"fields": shown, "forcing": forcing}
        if plan.noise.level == 0:
            return {"fields": fields, "forcing": forcing}
        noise = np.zeros(shape, np.float32) if noise is None else noise
        return {"fields": fields, "forcing": forcing, "noise": noise}

    return batches


def make_loss(task: Task) -> Loss:
    """Return the mean squared error of a task over batch, channels and pixels, in its unit².

    Where that is not 1, the same in the units of the validation is recorded beside it as "mse".
    """

    def loss(network: Any, batch: Mapping[str, Any], keys: Any) -> Any:
        del keys  # the noise is in the batch

        def one(fields: Array, forcing: Array, noise: Array | None) -> Array:
            predicted = task.predict(network, fields, forcing, noise)
            return jnp.mean(jnp.square((predicted - task.target(forcing)) / task.unit))

        mean = jnp.mean(jax.vmap(one)(batch["fields"], batch["forcing"], batch.get("noise")))
        return mean if task.unit == 1 else (mean, {"mse": task.unit**2 * mean})

    return loss


def make_validation(
    task: Task, sources: Sources, plan: Plan, seed: int
) -> Callable[[Any], dict[str, float]]:
    """Return network → {"loss": mean squared error, "loss_0": of channel 0, ...}, without noise.

    Taken over a fixed subset of the validation split, drawn by `seed`, in units of the standardised
    forcing.
    """
    batch = sources.validation.batch(validation_subset(sources.validation, plan, seed))
    names = sources.scales.variables
    given = (channels(batch, [name + end for name in names]) for end in ("", FORCING))

    def errors(network: Any, fields: Array, forcing: Array) -> Array:
        error = task.predict(network, fields, forcing, None) - task.target(forcing)
        return jnp.mean(jnp.square(error), axis=(-2, -1))

    return mean_errors(errors, *given)


def forward_gflop(network: Any, ny: int, nx: int) -> float:
    """Return the operations of a forward pass of one sample [1e9]; nan if a network does not say.

    Loss and gradient of a network cost about three times as much (see `subgrid.nn.flops`).
    """
    try:
        return flops(network, ny, nx) / 1e9
    except (TypeError, AttributeError):  # the latter where a part of it does not say
        return float("nan")
