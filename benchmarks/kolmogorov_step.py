"""Time of one step of Kolmogorov flow inside a compiled scan: subgrid against jax-cfd 0.2.1.

Run: python benchmarks/kolmogorov_step.py [sizes ...]    (float32; all in this process, interleaved)
Prints a Markdown table: medians of several repeats, and their ratios. The first jax-cfd solver
takes the same steps as ours (viscosity implicit), its usual one takes viscosity explicitly.
"""

import sys
import time

import jax
import numpy as np

setattr(jax, "tree_map", jax.tree.map)  # noqa: B010

from jax_cfd.base import advection, boundaries, equations, forcings, grids  # noqa: E402

from subgrid.stepping import repeat  # noqa: E402
from subgrid.systems import KolmogorovFlow  # noqa: E402

REPEATS = 9
PEERS = ("implicit_diffusion_navier_stokes", "semi_implicit_navier_stokes")


def ours(system, state, dt: float, steps: int):
    model = system.model(dt)
    return jax.jit(lambda carry: repeat(model.step, carry, steps)), model.init(state)


def peer(system, state, dt: float, steps: int, solver: str):
    grid = system.grid
    theirs = grids.Grid((grid.nx, grid.ny), domain=((0, grid.length_x), (0, grid.length_y)))
    step = getattr(equations, solver)(
        density=1.0,
        viscosity=float(system.constants["viscosity"]),
        dt=dt,
        grid=theirs,
        convect=lambda velocity: tuple(
            advection.advect_van_leer_using_limiters(part, velocity, dt) for part in velocity
        ),
        forcing=forcings.simple_turbulence_forcing(theirs, 1, 4, -0.1, "kolmogorov"),
    )
    boundary = boundaries.periodic_boundary_conditions(2)
    velocity = tuple(
        grids.GridVariable(grids.GridArray(part.T, offset, theirs), boundary)
        for part, offset in ((state.u, (1.0, 0.5)), (state.v, (0.5, 1.0)))
    )
    run = jax.jit(lambda start: jax.lax.scan(lambda c, _: (step(c), None), start, length=steps)[0])
    return run, velocity


def medians(pairs, steps: int) -> list[float]:
    """Return the median milliseconds per step of each, interleaved; the first round compiles."""
    rounds = []
    for _ in range(REPEATS + 1):
        times = []
        for run, argument in pairs:
            begun = time.perf_counter()
            jax.block_until_ready(run(argument))
            times.append((time.perf_counter() - begun) / steps * 1e3)
        rounds.append(times)
    return [float(value) for value in np.median(rounds[1:], axis=0)]


def main(sizes: list[int]) -> None:
    print(
        "| grid | subgrid, ms per step | jax-cfd, the same step | ratio | its usual one | ratio |"
    )
    print("|---|---|---|---|---|---|")
    for nx in sizes:
        system = KolmogorovFlow(nx)
        dt, steps = 0.5 * system.grid.dx / 7, max(6, 400 * 64 * 64 // (nx * nx))
        state = system.initial_state(key=jax.random.key(0))
        pairs = [ours(system, state, dt, steps)]
        pairs += [peer(system, state, dt, steps, solver) for solver in PEERS]
        own, same, usual = medians(pairs, steps)
        cells = f"{own:.3f} | {same:.3f} | {same / own:.1f} | {usual:.3f} | {usual / own:.1f}"
        print(f"| {nx}² | {cells} |", flush=True)


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]] or [64, 256, 1024])
