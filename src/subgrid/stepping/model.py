"""Anything that can be stepped, and the usual one: system + scheme (+ closure)."""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, PRNGKeyArray, PyTree

from subgrid.errors import ShapeError
from subgrid.numbers import time_step
from subgrid.stepping.schemes import AbstractScheme


class Carry(eqx.Module):
    """Everything a model needs to go on, bit for bit: arrays only, so it can be saved.

    `evolved`: the state in the representation the model steps; `history`: the scheme's past
    tendencies; `memory`: the closure's; `step`: steps since `init`; `blew_up_at`: the step at which
    the member left its bounds, or -1.
    """

    evolved: PyTree
    history: PyTree
    memory: PyTree
    step: Int[Array, ""]
    blew_up_at: Int[Array, ""]


class AbstractModel(eqx.Module):
    """Anything that can be stepped: a system with a scheme, a hybrid, an emulator."""

    dt: eqx.AbstractVar[float]

    @abc.abstractmethod
    def init(self, state: PyTree, *, key: PRNGKeyArray | None = None) -> Carry:
        """Return the carry that starts from `state` with an empty history."""

    @abc.abstractmethod
    def step(self, carry: Carry, forcing: PyTree = None) -> Carry:
        """Return the carry one step of `dt` seconds later."""

    @abc.abstractmethod
    def state(self, carry: Carry) -> PyTree:
        """Return the state that a carry holds."""

    @abc.abstractmethod
    def healthy(self, carry: Carry) -> Bool[Array, ""]:
        """Return whether the state is finite and within the bounds of its variables."""


class Model(AbstractModel):
    """Steps a system with a scheme, its closure's increment being part of the tendency.

    One step: rate = tendency(x) + closure(x); advance by the scheme; then whatever the system does
    after each step (QG: its small-scale filter). A closure is evaluated once per evaluation of the
    tendency, which it is given if it takes it; a multi-step scheme re-uses its past values. Its
    memory advances once per step.

    `dt`: seconds. `system` must offer what `subgrid.systems.AbstractSystem` does. Raises ValueError
    unless `dt` is a positive finite number, ConfigError, naming what differs, for a closure that
    was built for another system.
    """

    system: Any
    scheme: AbstractScheme
    dt: float = eqx.field(converter=time_step, static=True)
    closure: Any = None

    def __check_init__(self):
        check_home(self.closure, self.system)

    def init(self, state: PyTree, *, key: PRNGKeyArray | None = None) -> Carry:
        """Return the carry that starts from one state.

        Raises ShapeError for more than one, another grid or a misshapen closure.
        """
        memory = started_memory(self.system, self.closure, state, key)
        evolved = self.system.to_evolved(state)
        return Carry(
            evolved,
            self.scheme.init(evolved),
            memory,
            jnp.zeros((), jnp.int32),
            jnp.full((), -1, jnp.int32),
        )

    def step(self, carry: Carry, forcing: PyTree = None) -> Carry:
        """Return the carry one step later."""
        rate_now, memory = self._rate(carry.evolved, carry.memory, forcing)
        evolved, history = self.scheme.step(
            lambda x: self._rate(x, carry.memory, forcing)[0],
            carry.evolved,
            rate_now,
            self.dt,
            carry.history,
            carry.step,
        )
        evolved = self.system.after_step(evolved)
        return Carry(evolved, history, memory, carry.step + 1, carry.blew_up_at)

    def state(self, carry: Carry) -> PyTree:
        """Return the state that a carry holds."""
        return self.system.to_state(carry.evolved)

    def healthy(self, carry: Carry) -> Bool[Array, ""]:
        """Return whether the state is finite and within its bounds."""
        return self.system.is_healthy(carry.evolved)

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


def check_home(closure: Any, system: Any) -> None:
    """Raise ConfigError if a closure that says so was built for another system."""
    if hasattr(closure, "check_system"):
        closure.check_system(system)


def started_memory(system: Any, closure: Any, state: PyTree, key: PRNGKeyArray | None) -> PyTree:
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
