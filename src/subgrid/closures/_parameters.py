"""The constants of closures as arrays: checked where their values are known."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from subgrid.errors import ConfigError, KindError
from subgrid.numbers import finite_number, range_problem, shown


def as_parameter(
    name: str, value: ArrayLike, system: Any, shape: tuple[int, ...] = ()
) -> Float[Array, "..."]:
    """Return a constant as an array in the system's precision, so that a sweep compiles once.

    Raises KindError for text and booleans, ConfigError for another shape than `shape` and for
    numbers that are not finite or that single precision does not hold. Of a constant that is traced
    only the shape is looked at.
    """
    if isinstance(value, jax.Array):
        _check(name, value, shape)
        return value.astype(system.dtype)
    if not shape:
        finite_number(name, value)
    plain = np.asarray(value)
    _check(name, plain, shape)
    return jnp.asarray(plain.astype(np.float64), system.dtype)


def _check(name: str, value: Any, shape: tuple[int, ...]) -> None:
    if value.dtype.kind not in "iuf":
        raise KindError(f"{name} must hold numbers, got {shown(value)} ({value.dtype})")
    if value.shape != shape:
        raise ConfigError(f"{name} must be {list(shape)} numbers, got {list(value.shape)}")
    if isinstance(value, Tracer):
        return
    for number in np.ravel(np.asarray(value)):
        if problem := range_problem(number):
            raise ConfigError(f"{name} {problem}, got {number!r}")
