"""What closures share that are a formula: the system that they hold, their constants, no memory."""

import abc
from typing import Any, Generic, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PyTree

from subgrid.closures.base import AbstractClosure
from subgrid.errors import ConfigError, KindError
from subgrid.nn import Fixed
from subgrid.numbers import finite_number, range_problem, shown
from subgrid.systems import AbstractSystem

System = TypeVar("System", bound=AbstractSystem)


class AbstractFormula(AbstractClosure, Generic[System]):
    """A formula of the state, made for a system that it holds; it has no memory."""

    _system: eqx.AbstractVar[Fixed[System]]

    @property
    def system(self) -> System:
        """The system that the closure was made for; its numbers are fixed."""
        return self._system.value

    @abc.abstractmethod
    def increment(self, state: PyTree) -> PyTree:
        """Return what is added to the tendency, like `state`, in its units per unit of time."""

    def __call__(
        self, state: PyTree, memory: PyTree = None, forcing: PyTree = None
    ) -> tuple[PyTree, PyTree]:
        """Return the increment and the memory it got."""
        return self.increment(state), memory


def held(system: Any, kind: type[System], closure: str) -> Fixed[System]:
    """Return the system as a closure holds it; raises TypeError if it is of another class."""
    if not isinstance(system, kind):
        raise TypeError(
            f"{closure} is a closure of {kind.__name__}, got a system of class "
            f"{type(system).__name__}. Closures for any system: subgrid.closures.LearnedClosure or "
            "your own."
        )
    return Fixed(system)


def as_parameter(
    name: str, value: ArrayLike, system: Any, shape: tuple[int, ...] = ()
) -> Float[Array, "..."]:
    """Return a constant as an array in the system's precision, so that a sweep compiles once.

    Raises KindError for text and booleans, ConfigError for another shape than `shape` and for
    numbers that are not finite or that single precision does not hold. Of a constant that is traced
    only the shape is looked at.
    """
    if not isinstance(value, jax.Array):
        if not shape:
            finite_number(name, value)
        value = np.asarray(value)
    if value.dtype.kind not in "iuf":
        raise KindError(f"{name} must hold numbers, got {shown(value)} ({value.dtype})")
    if value.shape != shape:
        raise ConfigError(f"{name} must be {list(shape)} numbers, got {list(value.shape)}")
    if not isinstance(value, Tracer):
        for number in np.ravel(np.asarray(value)):
            if problem := range_problem(number):
                raise ConfigError(f"{name} {problem}, got {number!r}")
    if isinstance(value, np.ndarray):
        value = value.astype(np.float64)  # JAX would keep only 32 bits of a whole number
    return jnp.asarray(value, system.dtype)
