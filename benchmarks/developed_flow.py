"""How fast developed two-layer QG flow is, and which time steps it survives.

Run: python benchmarks/developed_flow.py SIZE eddy|jet DT [YEARS]    (of 360 days, default 14)
Runs from the random start in float32 with AB3 and prints, from year 5 on (jet: 9), the median and
the highest speed of any cell over the shear U, the factor f that DT stands for (DT = 0.7 Δx/(f U)),
and whether and when the run blew up. docs/numerics.md has the table.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np

from subgrid.stepping import advance_segment
from subgrid.systems import TwoLayerQG

DAY = 86400.0
FIRST_YEAR = {"eddy": 5, "jet": 9}


def main(size: int, configuration: str, dt: float, years: float = 14.0) -> None:
    system = TwoLayerQG(size, configuration=configuration)
    model = system.model(dt)
    shear = float(system.constants["upper_velocity"] - system.constants["lower_velocity"])

    def speed(state, time):
        east, north = system.velocity(state)
        return jnp.maximum(
            jnp.max(jnp.abs(east + system.background_velocity)), jnp.max(jnp.abs(north))
        )

    every = max(1, round(5 * DAY / dt))
    frames = round(years * 360 * DAY / (every * dt))
    carry = model.init(system.initial_state(key=jax.random.key(0)))
    carry, speeds = advance_segment(model, carry, frames, every, speed)
    blew_up, year = int(carry.blew_up_at), 360 * DAY
    time = np.arange(1, frames + 1) * every * dt / year
    keep = time >= FIRST_YEAR[configuration]
    if blew_up >= 0:
        keep &= time < blew_up * dt / year
    ratios = np.asarray(speeds)[keep] / shear
    factor = 0.7 * system.grid.dx / (dt * shear)
    end = f"blew up in year {blew_up * dt / year:.1f}" if blew_up >= 0 else "lasted"
    seen = f"median {np.median(ratios):.1f}, highest {ratios.max():.1f}" if keep.any() else "none"
    print(
        f"{configuration} {size}², dt {dt:g} s (f = {factor:.1f}), {years:g} years: {end}; {seen}"
    )


if __name__ == "__main__":
    size, configuration, dt, *years = sys.argv[1:]
    main(int(size), configuration, float(dt), *map(float, years))
