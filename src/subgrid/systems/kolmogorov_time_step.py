"""What free runs of Kolmogorov flow have shown of the steps that its developed flow needs.

Runs of 20 units: all six from developed states at 64² blew up at a step of 2 Δx/4, none at 1.2
Δx/4; from initial states all eight at 128² and 19 of 24 at 64² at 2 Δx/7, all 24 at 2.2 Δx/7.
Truths of 32² and less last longer steps, and are refused all the same.
"""

import math
from typing import TYPE_CHECKING

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import PyTree

from subgrid.systems.step_limits import StepLimit, StepLimits, same_constants

if TYPE_CHECKING:
    from subgrid.systems.kolmogorov import KolmogorovFlow

_SPEED, _FAILING_COURANT, _SAFE_COURANT = 4.0, 2.2, 0.5


class KolmogorovStepLimits(StepLimits["KolmogorovFlow"]):
    """Half a cell is safe, two cells fail, at the speed of states or of flow that is known.

    `shipped`: the constants whose developed flow was measured; `fastest`: the speed of the initial
    state, which is faster.
    """

    def __init__(self, shipped: dict[str, float], fastest: float):
        self._shipped, self._fastest = shipped, fastest

    def safe(self, system: "KolmogorovFlow", states: PyTree = None) -> StepLimit | None:
        """Return the largest step that is safe: of the initial state unless there are states."""
        return _over_cells(system, states, _SAFE_COURANT, self._fastest)

    def failing(
        self, system: "KolmogorovFlow", states: PyTree = None, initially: bool = False
    ) -> StepLimit | None:
        """Return the step above which a run is refused; none where its flow is not known."""
        if states is None and not initially and not self._as_shipped(system):
            return StepLimit(math.inf, "as its developed flow is not known", "1")
        speed = self._fastest if initially else _SPEED
        return _over_cells(system, states, _FAILING_COURANT, speed)

    def _as_shipped(self, system: "KolmogorovFlow") -> bool:
        scale = self._shipped["domain_scale"]
        return system.domain_scale == scale and same_constants(system, self._shipped)


def _over_cells(
    system: "KolmogorovFlow", states: PyTree, courant: float, speed: float
) -> StepLimit:
    """Return the step that takes the flow of `states`, or of `speed`, over `courant` cells."""
    if states is None:
        limit = courant * min(system.grid.dx, system.grid.dy) / speed
        return StepLimit(limit, f"for velocities up to {speed:g}", "1")
    found = eqx.filter_vmap(lambda state: system.largest_dt(state, courant))(states)
    return StepLimit(float(jnp.min(found)), "for the speeds in its initial states", "1")
