"""How long a step may be, and what was learned from one that was too long."""

import jax
from jaxtyping import PyTree

from subgrid.systems.base import AbstractSystem
from subgrid.systems.step_limits import StepLimit


def largest_safe_dt(system: AbstractSystem, states: PyTree = None) -> StepLimit | None:
    """Return the largest step that is safe, or None for a system that does not know.

    `states`: stacked [member, ...]; the state of rest unless given. See the system's `step_limits`.
    """
    return system.step_limits.safe(system, states)


def failing_dt(
    system: AbstractSystem, states: PyTree = None, initially: bool = False
) -> StepLimit | None:
    """Return the step above which a run is refused, or None for a system that does not know.

    `initially`: the run begins with the initial state. See the system's `step_limits`.
    """
    return system.step_limits.failing(system, states, initially)


def dt_after_blow_up(system: AbstractSystem, state: PyTree, dt: float) -> float | None:
    """Return the largest step that is safe where one of `dt` blew up, or None if unknown.

    It is that of the developed flow where that is known, else `largest_dt` of `state`, and half
    of `dt` at most, since the flow may not have been at its fastest yet. `state`: one some time
    before the blow-up, when speeds were those of the flow; the last healthy one is itself already
    30 to 5000 times as fast as the background.
    """
    known = system.step_limits.known(system)
    states = None if known else jax.tree.map(lambda leaf: leaf[None], state)
    limit = largest_safe_dt(system, states)
    return None if limit is None else min(limit.seconds, dt / 2)
