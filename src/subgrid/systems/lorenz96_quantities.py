"""What Lorenz 96 is observed by: all of X, its energy, and what a closure does to it."""

from typing import TYPE_CHECKING

import jax.numpy as jnp
from jaxtyping import Array

from subgrid.systems.quantities import DrawnField, Quantity

if TYPE_CHECKING:
    from subgrid.systems.lorenz96 import Lorenz96, Lorenz96State

DRAWN = DrawnField("X", "slow variable", "1", "S", "subgrid forcing", "1", components=())
QUANTITIES = (
    Quantity("x", ("time", "k"), "1", "slow variable", kind="field"),
    Quantity("energy", ("time",), "1", "mean energy of the slow variables"),
    Quantity(
        "closure_power", ("time",), "1", "energy gained from the closure per time", of_closure=True
    ),
)


def observe(
    system: "Lorenz96", state: "Lorenz96State", increment: "Lorenz96State | None" = None
) -> dict[str, Array]:
    """Return the `QUANTITIES` of a state, per site and dimensionless.

    X at every site, ½<X²> and, of the `increment` S of the tendency, <X S>, positive where it feeds
    the waves.
    """
    found = {"x": state.x, "energy": system.diagnostics(state)["slow_energy"]}
    if increment is not None:
        found["closure_power"] = jnp.mean(state.x * increment.x)
    return found
