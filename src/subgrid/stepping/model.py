"""Anything that can be stepped, and the usual one: system + scheme (+ closure)."""

import abc
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from subgrid.errors import ShapeError
from subgrid.grids.domain import AbstractDomain, Coordinates
from subgrid.numbers import time_step
from subgrid.stepping.schemes import AbstractScheme
from subgrid.types import Variable

if TYPE_CHECKING:  # systems import this folder for their schemes and models
    from subgrid.systems import AbstractSystem


class Carry(eqx.Module):
    """Everything a model needs to go on, bit for bit: arrays only, so it can be saved.

    `evolved`: the state in the representation the model steps; `history`: the scheme's past
    tendencies; `memory`: the closure's; `step`: steps since `init`; `blew_up_at`: the step at which
    the member left its limits, or -1; `start`: the time of step 0, in the unit of dt.
    """

    evolved: PyTree
    history: PyTree
    memory: PyTree
    step: Int[Array, ""]
    blew_up_at: Int[Array, ""]
    start: Float[Array, ""]


def started(
    evolved: PyTree, history: PyTree = None, memory: PyTree = None, start: ArrayLike = 0.0
) -> Carry:
    """Return the carry at step 0 of a run, at the time `start`."""
    none = jnp.full((), -1, jnp.int32)
    time = jnp.asarray(start, jnp.float32)
    return Carry(evolved, history, memory, jnp.zeros((), jnp.int32), none, time)


def advanced(carry: Carry, evolved: PyTree, history: PyTree = None, memory: PyTree = None) -> Carry:
    """Return the carry one step later."""
    return Carry(evolved, history, memory, carry.step + 1, carry.blew_up_at, carry.start)


class AbstractModel(eqx.Module):
    """Anything that can be stepped: a system with a scheme, a hybrid, an emulator.

    It says what a state of it is: `variables` on a `domain`, with `coordinates`, and which
    `forcing_variables` drive it. It is driven by what `forcing_at` prescribes, unless a step is
    given another forcing. A model needs no system; one that has none has no quantities either, and
    its free runs are observed by the system whose states it steps, or variable by variable.
    """

    dt: eqx.AbstractVar[float]

    @property
    @abc.abstractmethod
    def variables(self) -> tuple[Variable, ...]:
        """The table of state variables, in the order of the state's fields."""

    @property
    @abc.abstractmethod
    def domain(self) -> AbstractDomain:
        """Where its fields live."""

    @property
    def forcing_variables(self) -> tuple[Variable, ...]:
        """The table of what drives the model from outside; empty by default."""
        return ()

    @property
    def time_units(self) -> str:
        """The unit of dt: seconds, or "1" in a dimensionless model."""
        return "s"

    @property
    def name(self) -> str:
        """What files call the model."""
        return type(self).__name__

    def coordinates(self) -> Coordinates:
        """Return the values and CF attributes of each dimension of the variables."""
        return self.domain.coordinates("1" if self.time_units == "1" else "m")

    def forcing_at(self, time: Float[Array, ""]) -> PyTree:
        """Return what drives the model at a time, in units of dt; None if nothing does."""
        return None

    @abc.abstractmethod
    def init(
        self, state: PyTree, *, key: PRNGKeyArray | None = None, start: ArrayLike = 0.0
    ) -> Carry:
        """Return the carry that starts from `state`, at a time, with an empty history."""

    @abc.abstractmethod
    def step(self, carry: Carry, forcing: PyTree = None) -> Carry:
        """Return the carry one step of `dt` seconds later."""

    @abc.abstractmethod
    def state(self, carry: Carry) -> PyTree:
        """Return the state that a carry holds."""

    @abc.abstractmethod
    def healthy(self, carry: Carry) -> Bool[Array, ""]:
        """Return whether the state is finite and within the limits of its variables."""


class AbstractSystemModel(AbstractModel):
    """A model that steps a system, with a closure if it has one: the system states the facts."""

    system: eqx.AbstractVar["AbstractSystem"]
    closure: eqx.AbstractVar[Any]

    @property
    def variables(self) -> tuple[Variable, ...]:
        """The variables of the system."""
        return self.system.variables

    @property
    def domain(self) -> AbstractDomain:
        """The domain of the system."""
        return self.system.domain

    @property
    def forcing_variables(self) -> tuple[Variable, ...]:
        """What drives the system."""
        return self.system.forcing_variables

    @property
    def time_units(self) -> str:
        """The unit of dt."""
        return self.system.time_units

    @property
    def name(self) -> str:
        """The class of the system."""
        return type(self.system).__name__

    def coordinates(self) -> Coordinates:
        """Return the values and CF attributes of each dimension of the variables."""
        return self.system.coordinates()

    def forcing_at(self, time: Float[Array, ""]) -> PyTree:
        """Return what drives the system at a time."""
        return self.system.forcing_at(time)

    def driven(self, carry: Carry, forcing: PyTree) -> PyTree:
        """Return the forcing of a step: the one given, else what the system prescribes then."""
        if forcing is not None:
            return forcing
        return self.system.forcing_at(carry.start + carry.step * self.dt)

    def healthy(self, carry: Carry) -> Bool[Array, ""]:
        """Return whether the state is finite and within its limits."""
        return self.system.is_healthy(carry.evolved)


class Model(AbstractSystemModel):
    """Steps a system with a scheme, its closure's increment being part of the tendency.

    One step: rate = tendency(x) + closure(x); advance by the scheme; then whatever the system does
    after each step (QG: its small-scale filter). A closure is evaluated once per evaluation of the
    tendency, which it is given if it takes it; a multi-step scheme re-uses its past values. Its
    memory advances once per step.

    `dt`: in the system's unit of time. Raises ValueError unless it is a positive finite number,
    ConfigError, naming what differs, for a closure that was built for another system.
    """

    system: "AbstractSystem"
    scheme: AbstractScheme
    dt: float = eqx.field(converter=time_step, static=True)
    closure: Any = None

    def __check_init__(self):
        check_home(self.closure, self.system)

    def init(
        self, state: PyTree, *, key: PRNGKeyArray | None = None, start: ArrayLike = 0.0
    ) -> Carry:
        """Return the carry that starts from one state.

        Raises ShapeError for more than one, another grid or a misshapen closure.
        """
        memory = started_memory(self.system, self.closure, state, key)
        evolved = self.system.to_evolved(state)
        return started(evolved, self.scheme.init(evolved), memory, start)

    def step(self, carry: Carry, forcing: PyTree = None) -> Carry:
        """Return the carry one step later; the forcing stays the same over its stages."""
        forcing = self.driven(carry, forcing)
        rate_now, memory = self._rate(carry.evolved, carry.memory, forcing)
        evolved, history = self.scheme.step(
            lambda x: self._rate(x, carry.memory, forcing)[0],
            carry.evolved,
            rate_now,
            self.dt,
            carry.history,
            carry.step,
        )
        return advanced(carry, self.system.after_step(evolved), history, memory)

    def state(self, carry: Carry) -> PyTree:
        """Return the state that a carry holds."""
        return self.system.to_state(carry.evolved)

    def _rate(self, evolved: PyTree, memory: PyTree, forcing: PyTree) -> tuple[PyTree, PyTree]:
        rate = self.system.evolved_tendency(evolved, forcing)
        if self.closure is None:
            return rate, memory
        known = {}
        if forcing is None and getattr(self.closure, "takes_tendency", False):
            known["tendency"] = self.system.rate_to_state(rate)
        state = self.system.to_state(evolved)
        increment, memory = self.closure(state, memory, forcing, **known)
        added = self.system.increment_to_evolved(increment)
        return jax.tree.map(jnp.add, rate, added), memory


def check_home(closure: Any, system: "AbstractSystem") -> None:
    """Raise ConfigError if a closure that says so was built for another system."""
    if hasattr(closure, "check_system"):
        closure.check_system(system)


def started_memory(
    system: "AbstractSystem", closure: Any, state: PyTree, key: PRNGKeyArray | None
) -> PyTree:
    """Return the memory of a closure for a run from `state`, None without a closure.

    Raises ShapeError unless the state is one of `system` and the closure's increment is like it.
    """
    system.check_state(state)
    if closure is None:
        return None
    require_closure(closure)
    memory = closure.init(state, key=key)
    increment, _ = jax.eval_shape(closure, state, memory)
    check_increment(increment, state, type(closure).__name__)
    return memory


def require_closure(closure: Any) -> None:
    """Raise TypeError unless an object offers what a model asks of a closure: `init` and a call."""
    if isinstance(closure, type):
        raise TypeError(
            f"closure {closure.__name__} is a class: build it first, as in "
            f"{closure.__name__}(system)"
        )
    lacking = "init(state, *, key)" if callable(closure) else "__call__(state, memory, forcing)"
    if not callable(closure) or not callable(getattr(closure, "init", None)):
        raise TypeError(
            f"closure {type(closure).__name__} has no {lacking}: let its class derive from "
            "subgrid.closures.AbstractClosure and define __call__"
        )


def check_increment(increment: PyTree, state: PyTree, name: str) -> None:
    """Raise ShapeError unless a closure's increment is shaped like the state it was given."""
    wanted = jax.tree.map(jnp.shape, state)
    got = jax.tree.map(jnp.shape, increment)
    if jax.tree.structure(increment) != jax.tree.structure(state) or wanted != got:
        raise ShapeError(
            f"closure {name} must return an increment shaped like the state, {wanted}, but "
            f"returned {got}. Return type(state)(...) with one array per variable, in units per "
            "second."
        )
