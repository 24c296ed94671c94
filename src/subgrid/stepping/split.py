"""The model of a system that takes steps of its own, and how a closure enters such a step."""

import abc
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
from jax.typing import ArrayLike
from jaxtyping import PRNGKeyArray, PyTree

from subgrid.numbers import time_step
from subgrid.stepping.model import (
    AbstractSystemModel,
    Carry,
    advanced,
    check_home,
    started,
    started_memory,
)

if TYPE_CHECKING:
    from subgrid.systems import AbstractSystem


class AbstractCoupling(eqx.Module):
    """How the increment of a closure, per time, enters a step of `system.advance`."""

    @abc.abstractmethod
    def step(
        self, system: "AbstractSystem", state: PyTree, dt: float, forcing: PyTree, increment: PyTree
    ) -> PyTree:
        """Return the state one step later; `increment` is the closure's at `state`."""


class AddAfter(AbstractCoupling):
    """x ← T(x) + dt S(x): added after the step, as it is (Otness, Zanna & Bruna 2025).

    What divergence the increment has stays in the state until the next step's projection.
    """

    def step(
        self, system: "AbstractSystem", state: PyTree, dt: float, forcing: PyTree, increment: PyTree
    ) -> PyTree:
        """Return T(x) + dt S(x)."""
        return _plus(_advanced(system, state, dt, forcing), increment, dt)


class ProjectAfter(AbstractCoupling):
    """x ← P(T(x) + dt S(x)): added after the step and projected at once."""

    def step(
        self, system: "AbstractSystem", state: PyTree, dt: float, forcing: PyTree, increment: PyTree
    ) -> PyTree:
        """Return P(T(x) + dt S(x)); `system` must offer `project`."""
        later = _plus(_advanced(system, state, dt, forcing), increment, dt)
        return system.project(later)  # type: ignore[attr-defined]


class AddWithin(AbstractCoupling):
    """x ← T(x; f + S(x)): a force within the step, which projects it and diffuses it."""

    def step(
        self, system: "AbstractSystem", state: PyTree, dt: float, forcing: PyTree, increment: PyTree
    ) -> PyTree:
        """Return the step under the forcing and the increment."""
        both = increment if forcing is None else _plus(forcing, increment, 1.0)
        return _advanced(system, state, dt, both)


class SplitModel(AbstractSystemModel):
    """Steps a system by its own `advance(state, dt, forcing)`, such as a fractional step.

    `coupling`: how the closure's increment enters. `dt`: in the system's unit of time. Raises
    ValueError unless it is positive, TypeError for a system without `advance`, ConfigError for a
    closure of another system.
    """

    system: "AbstractSystem"
    dt: float = eqx.field(converter=time_step, static=True)
    closure: Any = None
    coupling: AbstractCoupling = AddAfter()

    def __check_init__(self):
        if not hasattr(self.system, "advance"):
            raise TypeError(
                f"SplitModel steps systems that offer advance(state, dt, forcing); "
                f"{type(self.system).__name__} does not: use system.model(dt)"
            )
        check_home(self.closure, self.system)

    def init(
        self, state: PyTree, *, key: PRNGKeyArray | None = None, start: ArrayLike = 0.0
    ) -> Carry:
        """Return the carry that starts from one state; raises ShapeError as `Model.init` does."""
        memory = started_memory(self.system, self.closure, state, key)
        return started(state, memory=memory, start=start)

    def step(self, carry: Carry, forcing: PyTree = None) -> Carry:
        """Return the carry one step later."""
        state, memory = carry.evolved, carry.memory
        forcing = self.driven(carry, forcing)
        if self.closure is None:
            later = _advanced(self.system, state, self.dt, forcing)
        else:
            increment, memory = self.closure(state, memory, forcing)
            later = self.coupling.step(self.system, state, self.dt, forcing, increment)
        return advanced(carry, later, memory=memory)

    def state(self, carry: Carry) -> PyTree:
        """Return the state that a carry holds."""
        return carry.evolved


def _advanced(system: "AbstractSystem", state: PyTree, dt: float, forcing: PyTree) -> PyTree:
    """Return the state after the system's own step."""
    return system.advance(state, dt, forcing)  # type: ignore[attr-defined]


def _plus(state: PyTree, increment: PyTree, factor: float) -> PyTree:
    return jax.tree.map(lambda x, s: x + factor * s, state, increment)
