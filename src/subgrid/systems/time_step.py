"""How long a step may be before the flow that will develop is known: what free runs have shown."""

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from subgrid.systems.base import state_shapes
from subgrid.systems.kolmogorov import FASTEST, KolmogorovFlow
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
# Kolmogorov flow, runs of 20 units: all six from developed states at 64² blew up at a step of
# 2 Δx/4, none at 1.2 Δx/4; from initial states all eight at 128² and 19 of 24 at 64² at 2 Δx/7, all
# 24 at 2.2 Δx/7. Truths of 32² and less last longer steps, and are refused all the same.
_KOLMOGOROV_SPEED, _FAILING_COURANT, _SAFE_COURANT = 4.0, 2.2, 0.5
# of ω dt for an undamped wave (Durran 1991, Mon. Wea. Rev. 119, 702); drag lowers it a little
_AB3_LIMIT, _AB3_SAFE = 0.72, 0.6


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


def largest_safe_dt(system: Any, states: PyTree = None) -> StepLimit | None:
    """Return the largest step that is safe, or None for a system without `max_stable_dt`.

    The smallest of: `max_stable_dt` of `states` (stacked [member, ...]; the state of rest unless
    given); for two-layer QG the limit of the longest Rossby wave; and, with the constants of one of
    its configurations, the limit at the highest speed that its developed flow was seen to reach.
    With other constants the flow may become faster than that of `states`. Of Kolmogorov flow half
    a cell at the speed of its initial state, or of `states`.
    """
    if not hasattr(system, "max_stable_dt"):
        return None
    if isinstance(system, KolmogorovFlow):
        return _of_kolmogorov(system, states, _SAFE_COURANT, FASTEST)
    limits = _limits(system, states, _AB3_SAFE)
    if has_known_flow(system):
        fine = _cell_size(system) < FINE_CELLS
        factor = FINE_SPEED if fine else HIGHEST_SPEED[system.configuration]
        limits.append(_of_developed_flow(system, factor))
    return min(limits)


def failing_dt(system: Any, states: PyTree = None, initially: bool = False) -> StepLimit | None:
    """Return the step above which a run is refused, or None for a system without `max_stable_dt`.

    The smallest of: `max_stable_dt` of `states` (at rest unless given); for two-layer QG the limit
    of AB3 for the longest Rossby wave, ω = β L_x/2π; and, with the constants and the filter of one
    of its configurations on a grid that resolves the eddies, the step above which their runs were
    seen to blow up. So without states no run is refused that would last, once its flow has grown.
    Of Kolmogorov flow two cells at the speed of `states`, or of developed flow; `initially`: the
    run begins with the initial state, which is faster.
    """
    if not hasattr(system, "max_stable_dt"):
        return None
    if isinstance(system, KolmogorovFlow):
        if states is None and not initially and not _as_shipped(system):
            return StepLimit(math.inf, "as its developed flow is not known", "1")
        speed = FASTEST if initially else _KOLMOGOROV_SPEED
        return _of_kolmogorov(system, states, _FAILING_COURANT, speed)
    limits = _limits(system, states, _AB3_LIMIT)
    # a sharper filter or dealiasing lets a run survive longer steps
    if has_known_flow(system) and system.filter_sharpness <= 1 and not system.dealias:
        size = _cell_size(system)
        table = FAILING_SPEED[system.configuration]
        factors = [factor for coarsest, factor in table if size <= coarsest]
        limits += [_of_developed_flow(system, factor) for factor in factors[:1]]
    return min(limits)


def dt_after_blow_up(system: Any, state: PyTree, dt: float) -> float | None:
    """Return the largest step (s) that is safe where one of `dt` blew up, or None if unknown.

    It is that of the developed flow where that is known, else `max_stable_dt` of `state`, and half
    of `dt` at most, since the flow may not have been at its fastest yet. `state`: one some time
    before the blow-up, when speeds were those of the flow; the last healthy one is itself already
    30 to 5000 times as fast as the background.
    """
    if not hasattr(system, "max_stable_dt"):
        return None
    known = has_known_flow(system)
    states = None if known else jax.tree.map(lambda leaf: leaf[None], state)
    limit = largest_safe_dt(system, states)
    return None if limit is None else min(limit.seconds, dt / 2)


def rounded_down(value: float) -> float:
    """Return a number of two digits that is not above `value` > 0."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return math.floor(value / unit) * unit


def has_known_flow(system: Any) -> bool:
    """Return whether the speed of a system's developed flow was measured.

    True for two-layer QG with the constants of its configuration in a domain of 900 km and more.
    """
    if not isinstance(system, TwoLayerQG) or min(system.grid.length_x, system.grid.length_y) < 9e5:
        return False
    shipped = TwoLayerQG(8, configuration=system.configuration).constants
    return all(
        math.isclose(float(system.constants[name]), float(value), rel_tol=1e-6)
        for name, value in shipped.items()
    )


def _cell_size(system: TwoLayerQG) -> float:
    """Return the longer side of a cell over the deformation radius."""
    return max(system.grid.dx, system.grid.dy) / float(system.constants["deformation_radius"])


def _limits(system: Any, states: PyTree, phase: float) -> list[StepLimit]:
    """Return the limits of stacked states, or of rest, and of the longest Rossby wave."""
    reason = "for the speeds in its initial states"
    if states is None:
        reason = "for the background flow alone; eddies will need a smaller one"
        shapes = state_shapes(system)
        states = jax.tree.map(lambda leaf: jnp.zeros((1, *leaf.shape), leaf.dtype), shapes)
    found = eqx.filter_jit(eqx.filter_vmap(system.max_stable_dt))(states)
    limits = [StepLimit(float(jnp.min(found)), reason)]
    if isinstance(system, TwoLayerQG) and float(system.constants["beta"]):
        frequency = abs(float(system.constants["beta"])) * system.grid.length_x / (2 * math.pi)
        limits.append(StepLimit(phase / frequency, "for the longest Rossby wave"))
    return limits


def _as_shipped(system: KolmogorovFlow) -> bool:
    """Return whether the constants are those whose developed flow was measured."""
    shipped = KolmogorovFlow(16).constants
    return system.domain_scale == 2 and all(
        math.isclose(float(system.constants[name]), float(value), rel_tol=1e-6)
        for name, value in shipped.items()
    )


def _of_kolmogorov(
    system: KolmogorovFlow, states: PyTree, courant: float, speed: float
) -> StepLimit:
    """Return the step that takes the flow of `states`, or of `speed`, over `courant` cells."""
    if states is None:
        limit = courant * min(system.grid.dx, system.grid.dy) / speed
        return StepLimit(limit, f"for velocities up to {speed:g}", "1")
    found = eqx.filter_vmap(lambda state: system.max_stable_dt(state, courant))(states)
    return StepLimit(float(jnp.min(found)), "for the speeds in its initial states", "1")


def _of_developed_flow(system: TwoLayerQG, factor: float) -> StepLimit:
    """Return the limit of a flow `factor` times as fast as the background, in any direction."""
    rest = _limits(system, None, 1.0)[0].seconds
    narrowest = min(1.0, system.grid.dy / system.grid.dx)
    return StepLimit(rest * narrowest / factor, "for developed flow")
