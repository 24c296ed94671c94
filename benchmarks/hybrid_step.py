"""Time of a hybrid run, network in the loop: subgrid against pyqg-jax 0.8.1 with `lax.conv`.

Run: python benchmarks/hybrid_step.py [--nx 64] [--steps 16] [--network psm4] [--repeats 5]
Two-layer QG in float32 with the same convolutional network added to the tendency at every step,
steps inside one compiled scan. Forward: the final state. Gradient: of the mean square PV along the
trajectory with respect to the network's weights, one checkpoint per step. The peer is what one
writes with pyqg-jax's own hooks: `q_parameterization`, `SteppedModel`, `AB3Stepper`, and
channels-first convolutions by `jax.lax.conv_general_dilated`. Both run in this process,
alternating; the fastest of the repeats counts. Prints a Markdown table with the ratio, and by how
much the two results differ.
"""

import argparse
import time

import jax

jax.config.update("jax_enable_x64", True)  # pyqg-jax inverts in float64

import equinox as eqx  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from pyqg_jax import parameterizations, qg_model, steppers  # noqa: E402
from pyqg_jax.state import Precision  # noqa: E402

from subgrid import nn  # noqa: E402
from subgrid.closures import Features, LearnedClosure, Output  # noqa: E402
from subgrid.systems import TwoLayerQG  # noqa: E402

DT = 3600.0
PV_SCALE = np.array([7.87e-6, 1.04e-6], np.float32)
FORCING_SCALE = np.array([7.02e-12, 1.11e-13], np.float32)


def trajectory(step, observe, start, steps: int):
    """Return the last carry and the mean of `observe` along `steps` checkpointed steps."""

    @jax.checkpoint
    def body(carry, _):
        carry = step(carry)
        return carry, observe(carry)

    last, seen = jax.lax.scan(body, start, None, length=steps)
    return last, jnp.mean(seen)


def mean_square(q) -> jax.Array:
    """Return the mean square of PV in units of its standard deviations."""
    return jnp.mean((q / jnp.asarray(PV_SCALE)[:, None, None]) ** 2)


def ours(network, nx: int, steps: int, q):
    """Return the forward and the gradient program of subgrid, both functions of the network."""
    system = TwoLayerQG(nx, dtype=jnp.float32)
    zeros = jnp.zeros(2, jnp.float32)
    features = Features(scaler=nn.Scaler(zeros, jnp.asarray(PV_SCALE)))
    output = Output(nn.Scaler(zeros, jnp.asarray(FORCING_SCALE)))

    def run(network):
        model = system.model(DT, closure=LearnedClosure(features, network, output))
        start = model.init(system.State(q))
        last, loss = trajectory(
            model.step, lambda carry: mean_square(model.state(carry).q), start, steps
        )
        return model.state(last).q, loss

    return eqx.filter_jit(lambda n: run(n)[0]), eqx.filter_jit(eqx.filter_grad(lambda n: run(n)[1]))


def peer(nx: int, steps: int, q):
    """Return the two programs of pyqg-jax, functions of [(weight [out, in, k, k], bias), ...]."""
    model = qg_model.QGModel(nx=nx, precision=Precision.SINGLE)

    def network(weights, x):
        for index, (weight, bias) in enumerate(weights):
            reach = weight.shape[-1] // 2
            padded = jnp.pad(x, ((0, 0), (reach, reach), (reach, reach)), mode="wrap")
            x = jax.lax.conv_general_dilated(padded[None], weight, (1, 1), "VALID")[0]
            x = x + bias[:, None, None]
            x = jax.nn.relu(x) if index < len(weights) - 1 else x
        return x

    @parameterizations.q_parameterization
    def closure(state, aux, model, weights):
        scaled = state.q / jnp.asarray(PV_SCALE)[:, None, None]
        return network(weights, scaled) * jnp.asarray(FORCING_SCALE)[:, None, None], aux

    def run(weights):
        hybrid = parameterizations.ParameterizedModel(
            model, jax.tree_util.Partial(closure, weights=weights)
        )
        stepped = steppers.SteppedModel(hybrid, steppers.AB3Stepper(dt=DT))
        bare = model.create_initial_state(jax.random.key(0)).update(q=q)
        start = stepped.initialize_stepper_state(hybrid.initialize_param_state(bare))
        last, loss = trajectory(
            stepped.step_model, lambda s: mean_square(s.state.model_state.q), start, steps
        )
        return last.state.model_state.q, loss

    return jax.jit(lambda w: run(w)[0]), jax.jit(jax.grad(lambda w: run(w)[1]))


def convolutions(network) -> list[nn.Conv2d]:
    """Return the convolutions of a network in order."""
    leaves = jax.tree.leaves(network, is_leaf=lambda node: isinstance(node, nn.Conv2d))
    return [leaf for leaf in leaves if isinstance(leaf, nn.Conv2d)]


def seconds(run, argument) -> float:
    start = time.perf_counter()
    jax.block_until_ready(run(argument))
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--nx", type=int, default=64)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--network", default="psm4")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    key = jax.random.key(0)
    q = jnp.asarray(PV_SCALE)[:, None, None] * jax.random.normal(
        key, (2, options.nx, options.nx), jnp.float32
    )
    network = nn.build(options.network, in_channels=2, out_channels=2, key=key)
    network = jax.tree.map(
        lambda x: x.astype(jnp.float32) if eqx.is_inexact_array(x) else x, network
    )
    weights = [(jnp.moveaxis(c.weight, (3, 2), (0, 1)), c.bias) for c in convolutions(network)]
    first = ours(network, options.nx, options.steps, q)
    second = peer(options.nx, options.steps, q)
    difference = np.abs(np.asarray(first[0](network) - second[0](weights))).max()
    print(f"{options.steps} steps, {options.nx}², {options.network}, float32, {jax.devices()[0]}")
    print(f"largest difference of the final states: {difference / np.abs(q).max():.1e} of max |q|")
    print("| | subgrid, s | pyqg-jax 0.8.1 with lax.conv, s | ratio |")
    print("|---|---|---|---|")
    for label, our_run, peer_run in zip(("forward", "gradient"), first, second, strict=True):
        seconds(our_run, network)  # compiles
        seconds(peer_run, weights)
        pairs = [
            (seconds(our_run, network), seconds(peer_run, weights)) for _ in range(options.repeats)
        ]
        fast, slow = (min(column) for column in zip(*pairs, strict=True))
        print(f"| {label} | {fast:.3f} | {slow:.3f} | {slow / fast:.1f} |", flush=True)


if __name__ == "__main__":
    main()
