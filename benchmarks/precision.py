"""Error of the subgrid forcing in float32 against float64, from the same states.

Run: python benchmarks/precision.py [years of spin-up]     (default 2; minutes)
Spins up `eddy` at 256² in float32 and prints a Markdown table of root-mean-square errors relative
to S at four sizes (operator 1), and of the domain mean of S relative to its standard deviation.
"""

import sys

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp  # noqa: E402

from subgrid.coarsening import Operator1, subgrid_forcing  # noqa: E402
from subgrid.stepping import rollout  # noqa: E402
from subgrid.systems import TwoLayerQG  # noqa: E402

YEAR = 8640  # steps of an hour


def main(years: float = 2.0) -> None:
    fine = TwoLayerQG(256, dtype="float32")
    start = fine.initial_state(key=jax.random.key(0))
    steps = int(years * YEAR)
    q = rollout(fine.model(3600.0), start, steps, steps).states.q[-1]
    print("| grid | S upper | S lower | largest mean/std of S |\n|---|---|---|---|")
    for size in (128, 96, 64, 48):
        found = {}
        for dtype in ("float32", "float64"):
            truth = TwoLayerQG(256, dtype=dtype)
            coarse = truth.at(size)
            state = truth.State(jnp.asarray(q, dtype))
            found[dtype] = subgrid_forcing(truth, coarse, Operator1(truth.grid, coarse.grid), state)
        single, exact = (jnp.asarray(found[d].q, "float64") for d in ("float32", "float64"))
        error = jnp.sqrt(jnp.mean((single - exact) ** 2, (1, 2)) / jnp.mean(exact**2, (1, 2)))
        mean = jnp.max(jnp.abs(jnp.mean(single, (1, 2))) / jnp.std(single, axis=(1, 2)))
        print(f"| {size}² | {error[0]:.1e} | {error[1]:.1e} | {mean:.0e} |", flush=True)


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
