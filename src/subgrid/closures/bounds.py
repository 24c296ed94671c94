"""A limit on increments: no step of theirs leaves what is physically possible."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from subgrid.closures.output import AbstractConstraint
from subgrid.errors import ConfigError
from subgrid.numbers import positive_number


def _step(value: Any) -> float:
    return positive_number("dt", value)


class Bounds(AbstractConstraint):
    """Keeps a state x within the bounds of its variables over a step of the increment, in runs.

        low ≤ x + dt S ≤ high      by      S ← min(max(S, (low - x)/dt), (high - x)/dt)

    `bounds`: low and high of each array of a state (`Variable.bounds`: a concentration has 0 and
    1). `dt`: the step, in the system's unit of time. An increment within these limits keeps its
    bits; one of a state outside brings it back to the nearest bound. The system's own tendency is
    not looked at. The loss of a training has no limit. Raises ConfigError unless `dt` is positive.
    """

    bounds: tuple[tuple[float, float], ...] = eqx.field(static=True)
    dt: float = eqx.field(converter=_step, static=True)

    @classmethod
    def for_system(cls, system: Any, **arguments: Any) -> "Bounds":
        """Return the limit for a system; raises ConfigError if no variable of it has bounds."""
        bounds = tuple(variable.bounds for variable in system.variables)
        if not np.any(np.isfinite(bounds)):
            raise ConfigError(
                f"bounds keeps variables within Variable.bounds, and {type(system).__name__} has "
                f"none for {[variable.name for variable in system.variables]}"
            )
        return cls(bounds, **arguments)

    @property
    def in_words(self) -> str:
        """What it does."""
        return f"no step of {self.dt:g} beyond the bounds of the variables"

    def in_run(self, increment: PyTree, state: PyTree) -> PyTree:
        """Return the limited increment."""
        leaves, structure = jax.tree.flatten(increment)
        triples = zip(leaves, jax.tree.leaves(state), self.bounds, strict=True)
        return structure.unflatten([self._limited(*triple) for triple in triples])

    def _limited(self, added: Any, value: Any, bounds: tuple[float, float]) -> Any:
        low, high = ((bound - value) / self.dt for bound in bounds)
        return jnp.clip(added, low, high)
