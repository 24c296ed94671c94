"""What free runs of two-layer QG have shown of the steps that its developed flow needs."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from jaxtyping import PyTree

from subgrid.systems.step_limits import StepLimit, StepLimits, of_states, same_constants

if TYPE_CHECKING:
    from subgrid.systems.qg import TwoLayerQG

# f such that 0.7 Δx/(f U) is safe in developed flow: above the highest |u + U| or |v| over the
# shear U of any cell in 24 years at up to 128². docs/numerics.md has all numbers.
HIGHEST_SPEED = {"eddy": 14.0, "jet": 11.0}
# On finer grids f = 20 blew up while the eddies grew (eddy, 256², twice); the published 3600 s, f =
# 30, has not in any run.
FINE_CELLS, FINE_SPEED = 0.52, 30.0  # Δx/r_d, f
# (Δx/r_d, f), finest first: on grids with cells up to so many deformation radii, runs blew up
# within ten years where the step was above 0.7 Δx/(f U). Coarser grids weaken the eddies.
_BOTH = ((0.55, 10.0), (1.1, 6.0), (1.4, 4.0))
FAILING_SPEED = {"eddy": ((0.27, 20.3), *_BOTH), "jet": _BOTH}  # the first: 5400 s at 256²
# of ω dt for an undamped wave (Durran 1991, Mon. Wea. Rev. 119, 702); drag lowers it a little
_AB3_LIMIT, _AB3_SAFE = 0.72, 0.6
_SMALLEST_DOMAIN = 9e5  # m: smaller ones leave the eddies no room


class QGStepLimits(StepLimits["TwoLayerQG"]):
    """The smallest of several limits; `shipped`: the constants of each configuration.

    That of `largest_dt` of states, or of rest; that of AB3 for the longest Rossby wave, ω = β
    L_x/2π; and, with the constants of a configuration, that of the speed which its developed flow
    was seen to reach (safe), or with which runs were seen to blow up (failing). With other
    constants the flow may become faster than that of the states.
    """

    def __init__(self, shipped: Mapping[str, dict[str, float]]):
        self._shipped = shipped

    def known(self, system: "TwoLayerQG") -> bool:
        """Return whether it has the constants of its configuration and 900 km or more."""
        narrow = min(system.grid.length_x, system.grid.length_y) < _SMALLEST_DOMAIN
        return not narrow and same_constants(system, self._shipped[system.configuration])

    def safe(self, system: "TwoLayerQG", states: PyTree = None) -> StepLimit | None:
        """Return the largest step that is safe."""
        limits = _limits(system, states, _AB3_SAFE)
        if not limits:
            return None
        if self.known(system):
            fine = _cell_size(system) < FINE_CELLS
            factor = FINE_SPEED if fine else HIGHEST_SPEED[system.configuration]
            limits.append(_of_developed_flow(system, factor))
        return min(limits)

    def failing(
        self, system: "TwoLayerQG", states: PyTree = None, initially: bool = False
    ) -> StepLimit | None:
        """Return the step above which a run is refused.

        Without states no run is refused that would last, once its flow has grown.
        """
        limits = _limits(system, states, _AB3_LIMIT)
        if not limits:
            return None
        # a sharper filter or dealiasing lets a run survive longer steps
        if self.known(system) and system.filter_sharpness <= 1 and not system.dealias:
            size = _cell_size(system)
            table = FAILING_SPEED[system.configuration]
            factors = [factor for coarsest, factor in table if size <= coarsest]
            limits += [_of_developed_flow(system, factor) for factor in factors[:1]]
        return min(limits)


def _cell_size(system: "TwoLayerQG") -> float:
    """Return the longer side of a cell over the deformation radius."""
    return max(system.grid.dx, system.grid.dy) / float(system.constants["deformation_radius"])


def _limits(system: "TwoLayerQG", states: PyTree, phase: float) -> list[StepLimit]:
    """Return the limits of stacked states, or of rest, and of the longest Rossby wave.

    None at all for a subclass that does not say what is stable.
    """
    if (first := of_states(system, states)) is None:
        return []
    limits = [first]
    if beta := abs(float(system.constants["beta"])):
        frequency = beta * system.grid.length_x / (2 * math.pi)
        limits.append(StepLimit(phase / frequency, "for the longest Rossby wave"))
    return limits


def _of_developed_flow(system: "TwoLayerQG", factor: float) -> StepLimit:
    """Return the limit of a flow `factor` times as fast as the background, in any direction."""
    rest = _limits(system, None, 1.0)[0].seconds
    narrowest = min(1.0, system.grid.dy / system.grid.dx)
    return StepLimit(rest * narrowest / factor, "for developed flow")
