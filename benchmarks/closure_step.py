"""Time of a step of the coarse model with small networks, by what they see.

Run: python benchmarks/closure_step.py [--nx 64] [--steps 400] [--repeats 7] [--networks NAME ...]
Two-layer QG in float32, steps inside one compiled scan, untrained weights. For each network: seeing
the state; seeing the resolved tendency beside it, which the model hands on; the same, formed by
the closure a second time. All alternate in this process; medians. Prints a Markdown table.
"""

import argparse
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from subgrid import nn
from subgrid.closures import Features, LearnedClosure, Output, ZeroMean
from subgrid.systems import TwoLayerQG

DT = 3600.0
SCALES = {"q": [7.87e-6, 1.04e-6], "tendency": [1e-10, 1e-11]}  # the last: nothing hangs on it
FORCING_SCALE = [7.02e-12, 1.11e-13]


class Forming(LearnedClosure):
    """A closure that forms the tendency by itself."""

    @property
    def takes_tendency(self) -> bool:
        return False


def closure_of(system: TwoLayerQG, name: str, inputs: tuple[str, ...], kind: type):
    """Return a closure of a class with an untrained network that sees `inputs`."""
    count = 2 * len(inputs)
    network = nn.build(name, in_channels=count, out_channels=2, key=jax.random.key(0))
    scale = jnp.asarray([SCALES[part] for part in inputs], jnp.float32).ravel()
    output = nn.Scaler(jnp.zeros(2, jnp.float32), jnp.asarray(FORCING_SCALE, jnp.float32))
    seen = nn.Scaler(jnp.zeros_like(scale), scale)
    return kind(Features(inputs, seen), network, Output(output, [ZeroMean()]), system)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--nx", type=int, default=64)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--networks", nargs="+", default=["8x3-8x3-x3", "16x3-16x3-x3"])
    options = parser.parse_args()
    system = TwoLayerQG(options.nx)
    state = system.initial_state(key=jax.random.key(0))
    closures = {("none", ""): None}
    for name in options.networks:
        both = ("q", "tendency")
        closures[name, "q"] = closure_of(system, name, ("q",), LearnedClosure)
        closures[name, "q, tendency"] = closure_of(system, name, both, LearnedClosure)
        closures[name, "q, tendency formed again"] = closure_of(system, name, both, Forming)
    models = {key: system.model(DT, closure=closure) for key, closure in closures.items()}

    @eqx.filter_jit
    def run(model, carry):
        return jax.lax.scan(lambda c, _: (model.step(c), None), carry, length=options.steps)[0]

    times: dict[tuple[str, str], list[float]] = {key: [] for key in models}
    starts = {key: model.init(state) for key, model in models.items()}
    for repeat in range(options.repeats + 1):  # the first compiles
        for key, model in models.items():
            begun = time.perf_counter()
            jax.block_until_ready(run(model, starts[key]))
            if repeat:
                times[key].append(time.perf_counter() - begun)
    alone = np.median(times["none", ""])
    print("| network | sees | step, ms | relative to the model alone |\n|---|---|---|---|")
    for (name, sees), found in times.items():
        step = np.median(found)
        print(f"| `{name}` | {sees} | {1e3 * step / options.steps:.2f} | {step / alone:.1f} |")


if __name__ == "__main__":
    main()
