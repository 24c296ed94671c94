"""One sample at a time: what public methods take of a system is checked here, by shape alone.

Arrays broadcast: a batch of states, or one with too few levels, goes through the equations of a
single state and comes back wrong. Shapes are static, so the check costs nothing once compiled, and
`jax.vmap` hides the axis that it maps.
"""

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jaxtyping import PyTree

from subgrid.computing import promoting
from subgrid.errors import ShapeError
from subgrid.randomness import random_key
from subgrid.types import Variable

if TYPE_CHECKING:
    from subgrid.systems.base import AbstractSystem


def check_sample(system: "AbstractSystem", value: Any, name: str) -> None:
    """Raise ShapeError if `value` is a state of `system`, or its spectra, but not one sample.

    Anything else passes. `name`: of what takes it, for the message.
    """
    if isinstance(value, system.State):
        wanted = shapes_of(system, system.variables)
        if _shapes(value) != list(wanted.values()):
            _refuse(value, ", ".join(f"{n} {shape}" for n, shape in wanted.items()), name)
    elif system.Evolved is not None and isinstance(value, system.Evolved):
        axes, ends = len(system.domain.dims), system.domain.spectral_shape
        states = shapes_of(system, system.variables).values()
        halves = {(*shape[: len(shape) - axes], *ends) for shape in states}
        if any(shape not in halves for shape in _shapes(value)):
            _refuse(value, " or ".join(map(str, sorted(halves))), name)


def one_sample(method: Callable, system_of: Callable[[Any], Any] = lambda owner: owner) -> Callable:
    """Return a method that checks its arguments by `check_sample` first, and promotes types.

    `system_of`: the owner of the method → the system whose states it takes, None for any.
    """

    @functools.wraps(method)
    def checked(self, *args, **kwargs):
        system = system_of(self)
        if system is not None:
            called = "" if method.__name__ == "__call__" else f".{method.__name__}"
            for value in (*args, *kwargs.values()):
                check_sample(system, value, f"{type(self).__name__}{called}")
        with promoting():
            return method(self, *args, **kwargs)

    return checked


def guard_methods(cls: type, system_of: Callable[[Any], Any] = lambda owner: owner) -> None:
    """Let every public method in the body of a class take one sample; see `one_sample`."""
    for name, method in list(vars(cls).items()):
        public = name == "__call__" or not name.startswith("_")
        if public and inspect.isfunction(method) and not _is_abstract(method):
            setattr(cls, name, one_sample(method, system_of))


def state_shapes(system: "AbstractSystem") -> PyTree:
    """Return the shapes and dtypes of a system's state, computing nothing."""
    return jax.eval_shape(lambda key: system.initial_state(key=key), random_key(0))


def shapes_of(system: "AbstractSystem", table: Iterable[Variable]) -> dict[str, tuple[int, ...]]:
    """Return the shape of each variable of a table, by the coordinates of a system."""
    sizes = {name: len(values) for name, (values, _) in system.coordinates().items()}
    try:
        return {v.name: tuple(sizes[dim] for dim in v.dims) for v in table}
    except KeyError as error:
        raise TypeError(
            f"{type(system).__name__}.coordinates() lacks {error}, a dimension of its variables; "
            f"it has {list(sizes)}"
        ) from None


def _shapes(value: Any) -> list[tuple[int, ...]]:
    """Return the shape of each array; while shapes are traced, structs stand for arrays."""
    return [
        tuple(leaf.shape) if hasattr(leaf, "shape") else np.shape(leaf)
        for leaf in jax.tree.leaves(value)
    ]


def _refuse(value: Any, wanted: str, name: str) -> None:
    paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(value)]
    names = [jax.tree_util.keystr(path).lstrip(".") for path in paths]
    got = ", ".join(f"{n} {shape}" for n, shape in zip(names, _shapes(value), strict=True))
    raise ShapeError(
        f"{name} takes one sample, a {type(value).__name__} of {wanted}, but got {got}. For "
        "several, use jax.vmap; for another grid, the system of that grid."
    )


def _is_abstract(method: Callable) -> bool:
    return getattr(method, "__isabstractmethod__", False)
