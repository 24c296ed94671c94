"""Time of one two-layer QG step inside a compiled scan: subgrid against pyqg-jax 0.8.1.

Run: python benchmarks/qg_step.py [sizes ...]      (float32; all in this process, interleaved)
Prints a Markdown table: the fastest of several repeats of each, and their ratio; then our step with
all fields transformed in one batch, field by field, and with the check for blow-ups.
"""

import sys
import time

import jax

jax.config.update("jax_enable_x64", True)  # pyqg-jax inverts in float64

import jax.numpy as jnp  # noqa: E402
import pyqg_jax  # noqa: E402

from subgrid.grids import transforms  # noqa: E402
from subgrid.stepping import guarded_step, repeat  # noqa: E402
from subgrid.systems import TwoLayerQG  # noqa: E402

REPEATS = 9


def ours(nx: int, steps: int):
    model = TwoLayerQG(nx, dtype=jnp.float32).model(3600.0)
    state = model.system.initial_state(key=jax.random.key(0))
    run = jax.jit(lambda carry: repeat(model.step, carry, steps))
    return run, model.init(state)


def variant(nx: int, steps: int, separate_from: int | None, guarded: bool):
    """Return our run with the transforms grouped as said, compiled."""
    usual = transforms.SEPARATE_FROM
    transforms.SEPARATE_FROM = usual if separate_from is None else separate_from
    model = TwoLayerQG(nx, dtype=jnp.float32).model(3600.0)
    start = model.init(model.system.initial_state(key=jax.random.key(0)))

    def step(carry, forcing=None):
        return guarded_step(model, carry, forcing) if guarded else model.step(carry, forcing)

    run = jax.jit(lambda carry: repeat(step, carry, steps))
    seconds(run, start)
    transforms.SEPARATE_FROM = usual
    return run, start


def peer(nx: int, steps: int):
    model = pyqg_jax.qg_model.QGModel(nx=nx, precision=pyqg_jax.state.Precision.SINGLE)
    stepper = pyqg_jax.steppers.AB3Stepper(dt=3600.0)
    stepped = pyqg_jax.steppers.SteppedModel(model, stepper)
    state = stepped.create_initial_state(jax.random.key(0))
    run = jax.jit(
        lambda s: jax.lax.scan(lambda c, _: (stepped.step_model(c), None), s, None, length=steps)[0]
    )
    return run, state


def seconds(run, argument) -> float:
    start = time.perf_counter()
    jax.block_until_ready(run(argument))
    return time.perf_counter() - start


def fastest(pairs, steps: int) -> list[float]:
    """Return the least milliseconds per step of each, interleaved."""
    for run, argument in pairs:
        seconds(run, argument)  # compiles
    times = [[seconds(*each) for each in pairs] for _ in range(REPEATS)]
    return [min(column) / steps * 1e3 for column in zip(*times, strict=True)]


def main(sizes: list[int]) -> None:
    count = {nx: max(20, 400 * 64 * 64 // (nx * nx)) for nx in sizes}
    print(
        "| grid | subgrid, ms per step | pyqg-jax 0.8.1, ms per step | ratio |\n|---|---|---|---|"
    )
    for nx, steps in count.items():
        first, second = fastest([ours(nx, steps), peer(nx, steps)], steps)
        print(f"| {nx}² | {first:.3f} | {second:.3f} | {second / first:.1f} |", flush=True)
    print(
        "\n| grid | batched, ms | field by field, ms | as shipped, checked, ms |\n|---|---|---|---|"
    )
    for nx, steps in count.items():
        kinds = ((nx * nx + 1, False), (0, False), (None, True))
        times = fastest([variant(nx, steps, *kind) for kind in kinds], steps)
        print(f"| {nx}² | " + " | ".join(f"{time:.3f}" for time in times) + " |", flush=True)


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]] or [64, 128, 256])
