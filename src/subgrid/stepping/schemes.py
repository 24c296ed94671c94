"""How a tendency advances in time. A scheme knows no physics: it sees a PyTree and its rate."""

import abc
import functools
import operator
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PyTree

Rate = Callable[[PyTree], PyTree]


class AbstractScheme(eqx.Module):
    """Advances dx/dt = rate(x) by one step of constant length.

    `rate_now` is rate(x), already evaluated by the caller; multi-stage schemes call `rate` for the
    later stages. `count` is the number of steps done since `init`: multi-step schemes start with
    lower orders until their history is full.
    """

    order: ClassVar[int]

    @abc.abstractmethod
    def init(self, evolved: PyTree) -> PyTree:
        """Return the empty history for states shaped like `evolved`."""

    @abc.abstractmethod
    def step(
        self,
        rate: Rate,
        evolved: PyTree,
        rate_now: PyTree,
        dt: float,
        history: PyTree,
        count: Int[Array, ""],
    ) -> tuple[PyTree, PyTree]:
        """Return the state one step later and the new history."""


def _add(evolved: PyTree, *terms: tuple[Any, PyTree]) -> PyTree:
    """Return evolved + Σ factor · rate, in the precision of `evolved`."""

    def combine(x, *rates):
        # the sum first: one rounding against the larger x instead of one per term
        increments = [
            jnp.asarray(factor, rate.real.dtype) * rate
            for factor, rate in zip(factors, rates, strict=True)
        ]
        return x + functools.reduce(operator.add, increments).astype(x.dtype)

    factors = [factor for factor, _ in terms]
    return jax.tree.map(combine, evolved, *(rates for _, rates in terms))


class Euler(AbstractScheme):
    """Forward Euler: x + dt f(x). First order."""

    order = 1

    def init(self, evolved: PyTree) -> PyTree:
        """Return None: no history."""
        return None

    def step(self, rate, evolved, rate_now, dt, history, count):
        """Return the state one step later and None."""
        return _add(evolved, (dt, rate_now)), None


class AB3(AbstractScheme):
    """Third-order Adams-Bashforth: x + dt (23 f_n - 16 f_{n-1} + 5 f_{n-2})/12.

    The first step is Euler, the second AB2 (3/2, -1/2), as in pyqg; one evaluation per step. The
    error of the single Euler step is of second order and stays: from a cold start the global order
    is 2, from a full history 3.
    """

    order = 3

    def init(self, evolved: PyTree) -> PyTree:
        """Return two zero tendencies: those of one and of two steps ago."""
        zeros = jax.tree.map(jnp.zeros_like, evolved)
        return zeros, zeros

    def step(self, rate, evolved, rate_now, dt, history, count):
        """Return the state one step later and the last two tendencies."""
        last, before_last = history
        now, one, two = _adams_bashforth_weights(count)
        advanced = _add(evolved, (dt * now, rate_now), (dt * one, last), (dt * two, before_last))
        return advanced, (rate_now, last)


def _adams_bashforth_weights(count: Int[Array, ""]) -> tuple[Array, Array, Array]:
    """Return the weights of f_n, f_{n-1}, f_{n-2} after `count` steps."""
    table = jnp.array([[1.0, 0.0, 0.0], [3 / 2, -1 / 2, 0.0], [23 / 12, -16 / 12, 5 / 12]])
    row = table[jnp.minimum(count, 2)]
    return row[0], row[1], row[2]


class RK4(AbstractScheme):
    """Classical fourth-order Runge-Kutta; four evaluations per step."""

    order = 4

    def init(self, evolved: PyTree) -> PyTree:
        """Return None: no history."""
        return None

    def step(self, rate, evolved, rate_now, dt, history, count):
        """Return the state one step later and None."""
        second = rate(_add(evolved, (dt / 2, rate_now)))
        third = rate(_add(evolved, (dt / 2, second)))
        fourth = rate(_add(evolved, (dt, third)))
        return _add(
            evolved, (dt / 6, rate_now), (dt / 3, second), (dt / 3, third), (dt / 6, fourth)
        ), None


class SSPRK3(AbstractScheme):
    """Third-order strong-stability-preserving Runge-Kutta (Shu & Osher 1988); three evaluations."""

    order = 3

    def init(self, evolved: PyTree) -> PyTree:
        """Return None: no history."""
        return None

    def step(self, rate, evolved, rate_now, dt, history, count):
        """Return the state one step later and None."""
        second = rate(_add(evolved, (dt, rate_now)))
        third = rate(_add(evolved, (dt / 4, rate_now), (dt / 4, second)))
        return _add(evolved, (dt / 6, rate_now), (dt / 6, second), (dt * 2 / 3, third)), None
