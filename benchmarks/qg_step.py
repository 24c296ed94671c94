"""Time of one two-layer QG step inside a compiled scan: subgrid against pyqg-jax 0.8.1.

Run: python benchmarks/qg_step.py [sizes ...]      (float32; both in this process, interleaved)
Prints a Markdown table: the fastest of several repeats of each, and their ratio.
"""

import sys
import time

import jax

jax.config.update("jax_enable_x64", True)  # pyqg-jax inverts in float64

import jax.numpy as jnp  # noqa: E402
import pyqg_jax  # noqa: E402

from subgrid.stepping import repeat  # noqa: E402
from subgrid.systems import TwoLayerQG  # noqa: E402

REPEATS = 9


def ours(nx: int, steps: int):
    model = TwoLayerQG(nx, dtype=jnp.float32).model(3600.0)
    state = model.system.initial_state(key=jax.random.key(0))
    run = jax.jit(lambda carry: repeat(model.step, carry, steps))
    return run, model.init(state)


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


def main(sizes: list[int]) -> None:
    print("| grid | subgrid, ms per step | pyqg-jax 0.8.1, ms per step | ratio |")
    print("|---|---|---|---|")
    for nx in sizes:
        steps = max(20, 400 * 64 * 64 // (nx * nx))
        pair = [ours(nx, steps), peer(nx, steps)]
        for run, argument in pair:
            seconds(run, argument)  # compiles
        times = [[seconds(*each) for each in pair] for _ in range(REPEATS)]
        first, second = (min(column) / steps * 1e3 for column in zip(*times, strict=True))
        print(f"| {nx}² | {first:.3f} | {second:.3f} | {second / first:.1f} |", flush=True)


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]] or [64, 128, 256])
