"""How long a step may be: what a system knows before the flow that will develop is known."""

import math
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from subgrid.systems.sample import state_shapes

if TYPE_CHECKING:
    from subgrid.systems.base import AbstractSystem

System = TypeVar("System", bound="AbstractSystem")


class StepLimit(NamedTuple):
    """A time step, in seconds unless `units` is "1", and what sets it, to be read after it."""

    seconds: float
    reason: str
    units: str = "s"

    def __str__(self) -> str:
        """Return it for a message, rounded down to two digits."""
        if not math.isfinite(self.seconds):
            return "any step, as nothing moves"
        unit = " s" if self.units == "s" else ""
        return f"{rounded_down(self.seconds):g}{unit} {self.reason}"


class StepLimits(Generic[System]):
    """What is known of the steps that a system takes: by default `largest_dt` alone.

    A system whose free runs have shown more keeps a subclass as its `step_limits`.
    """

    def known(self, system: System) -> bool:
        """Return whether the speed of the developed flow was measured."""
        return False

    def safe(self, system: System, states: PyTree = None) -> StepLimit | None:
        """Return the largest step that is safe, None where that is not known.

        `states`: stacked [member, ...], of which the run is known to begin with one.
        """
        return of_states(system, states)

    def failing(
        self, system: System, states: PyTree = None, initially: bool = False
    ) -> StepLimit | None:
        """Return the step above which a run is sure to blow up, None where that is not known.

        `initially`: the run begins with the initial state of the system.
        """
        return of_states(system, states)


def of_states(system: "AbstractSystem", states: PyTree = None) -> StepLimit | None:
    """Return the smallest `largest_dt` of stacked states, or that of rest; None without it."""
    if (largest_dt := getattr(system, "largest_dt", None)) is None:
        return None
    reason = "for the speeds in its initial states"
    if states is None:
        reason = "for a state of zeros; a developed one may need a smaller step"
        shapes = state_shapes(system)
        states = jax.tree.map(lambda leaf: jnp.zeros((1, *leaf.shape), leaf.dtype), shapes)
    found = eqx.filter_jit(eqx.filter_vmap(largest_dt))(states)
    return StepLimit(float(jnp.min(found)), reason, system.time_units)


def same_constants(system: "AbstractSystem", constants: dict[str, float]) -> bool:
    """Return whether the constants of a system are these, as far as it has them."""
    return all(
        math.isclose(float(value), constants[name], rel_tol=1e-6)
        for name, value in system.constants.items()  # type: ignore[attr-defined]
    )


def rounded_down(value: float) -> float:
    """Return a number of two digits that is not above `value` > 0."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return math.floor(value / unit) * unit
