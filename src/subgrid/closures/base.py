"""What a closure is, and the check that finds a wrong one before a run compiles it."""

import abc
from collections.abc import Iterable
from typing import Any, ClassVar

import equinox as eqx
import jax
from jaxtyping import PyTree

from subgrid.errors import ConfigError, ShapeError
from subgrid.grids import PeriodicGrid
from subgrid.nn import Fixed
from subgrid.randomness import random_key
from subgrid.stepping import require_closure
from subgrid.systems import AbstractSystem
from subgrid.systems.comparison import (
    as_text,
    changes_the_flow,
    grid_differences,
    system_differences,
)
from subgrid.systems.sample import guard_methods

# what a class may claim of its increments, for `subgrid check` to test
CLAIMS = (
    "conserves mean",
    "dissipates energy",
    "conserves energy",
    "dissipates enstrophy",
    "conserves enstrophy",
    "translation invariant",
    "mirror symmetric",
)


class AbstractClosure(eqx.Module):
    """Maps a resolved state to what the unresolved scales add to its tendency.

    dx/dt = tendency(x, forcing) + increment,    increment, memory = closure(x, memory, forcing)

    The increment is a state: the same class, shapes and dtypes as x, in units of x per second. It
    is ADDED, so a dissipating closure returns something opposed to x. A closure acts on one state;
    the caller vmaps over members. A closure without memory or randomness only defines `__call__`
    and passes on the memory it got. One that needs the resolved tendency, which a model has formed
    already, sets `takes_tendency` and accepts it as the keyword `tendency`: like the state, per
    second, without the increment; None where no model calls it or where `forcing` is given.

    What a class guarantees of every increment it names in `claims`, some of `CLAIMS`: `subgrid
    check` fails where that does not hold, and only reports the rest. Means are those of each array
    and level; energy is kinetic and available potential, as the system's diagnostics have them;
    shifts are by whole cells; "mirror symmetric" where the system is.

    A user's own closure subclasses this, is built as `Class(system, **arguments)`, and is named
    "module:Class" wherever a closure is chosen by name. One that keeps the system as its field
    `system` takes one state of it, another shape being a ShapeError, and runs in models of that
    system alone (see `check_system` and `in_system`); one that keeps numbers of it does well to
    keep its grid, as `grid`, which is compared too.
    """

    citations: ClassVar[tuple[str, ...]] = ()  # keys of recipes/references.bib, or BibTeX entries
    claims: ClassVar[tuple[str, ...]] = ()  # what holds of every increment, in words of `CLAIMS`

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        guard_methods(cls, lambda closure: closure.own_system)

    @property
    def own_system(self) -> AbstractSystem | None:
        """Return the system that the closure was built for, None where it keeps none."""
        system = getattr(self, "system", None)
        return system if isinstance(system, AbstractSystem) else None

    @property
    def own_grid(self) -> PeriodicGrid | None:
        """Return the grid that the closure was built for, None where it keeps none."""
        grid = getattr(self, "grid", None)
        return grid if isinstance(grid, PeriodicGrid) else None

    def differences(self, system: Any) -> dict[str, tuple[Any, Any]]:
        """Return in what the closure's own system, or grid, differs: name → (own, other)."""
        if self.own_system is not None and (found := system_differences(self.own_system, system)):
            return found
        own, grid = self.own_grid, getattr(system, "grid", None)
        return {} if own is None or grid is None else grid_differences(own, grid)

    def check_system(self, system: Any) -> None:
        """Raise ConfigError, naming what differs, if the closure was built for another system."""
        if differing := self.differences(system):
            moved = "Move it with subgrid.closures.in_system(closure, system)."
            way = moved if self.moves(differing) else "Build it anew with what the model has."
            raise ConfigError(
                f"this {type(self).__name__} was built for another system than the "
                f"{type(system).__name__} it is to run in: "
                f"{as_text(differing, 'closure', 'model')}. {way}"
            )

    def moves(self, differing: Iterable[str]) -> bool:
        """Return whether `in_system` can move the closure where such settings differ.

        That is, where a state is the same flow: where only constants differ that act in the step
        alone. Numbers that a closure made of others would stay behind.
        """
        own = self.own_system
        return own is not None and not any(changes_the_flow(own, name) for name in differing)

    def in_system(self, system: Any) -> "AbstractClosure":
        """Return the closure moved to `system`; raises ConfigError where it does not move."""
        differing = self.differences(system)
        if not self.moves(differing):
            self.check_system(system)
        return _with_system(self, system) if differing else self

    @classmethod
    def cite(cls, **arguments: Any) -> tuple[str, ...]:
        """Return what to cite for a closure with these arguments: `citations` of the class."""
        return cls.citations

    @property
    def takes_tendency(self) -> bool:
        """Return whether the closure accepts the resolved tendency as the keyword `tendency`."""
        return False

    def init(self, state: PyTree, *, key: PyTree = None) -> PyTree:
        """Return the memory for a run that starts at `state`: None unless a closure says otherwise.

        `key` is the random key of the run, for closures that draw.
        """
        return None

    @abc.abstractmethod
    def __call__(
        self, state: PyTree, memory: PyTree = None, forcing: PyTree = None
    ) -> tuple[PyTree, PyTree]:
        """Return the increment (like `state`, per second) and the memory for the next call."""


def in_system(closure: Any, system: AbstractSystem) -> Any:
    """Return a closure moved to the system of the model that it is to run in.

    A learned closure forms its inputs there; others follow where a state is the same flow, and
    raise ConfigError elsewhere (see `AbstractClosure.in_system`). None, and a closure that is no
    `AbstractClosure`, come back as they are.
    """
    return closure.in_system(system) if isinstance(closure, AbstractClosure) else closure


def _with_system(closure: AbstractClosure, system: AbstractSystem) -> AbstractClosure:
    """Return a closure with `system` in place of its own, which it, or a part of it, holds."""

    def is_system(part: Any) -> bool:
        part = part.value if isinstance(part, Fixed) else part
        return isinstance(part, AbstractSystem)

    def moved(part: Any) -> Any:
        if not is_system(part):
            return part
        return Fixed(system) if isinstance(part, Fixed) else system

    return jax.tree.map(moved, closure, is_leaf=is_system)


def check_closure(closure: Any, system: Any, state: PyTree = None) -> None:
    """Check that a closure's increment fits the states of a system; return nothing if it does.

    The closure is traced, not run, so this costs no time steps, and values (NaN included) are not
    looked at: a run masks those. `state` defaults to an initial state of `system`.

    Raises TypeError if the closure is none (see `subgrid.stepping.require_closure`), returns no
    (increment, memory) pair, an increment of another class, structure or dtype than the state, or a
    memory of changing structure, shape or dtype; ShapeError if a field of the increment has another
    shape than the state's; ConfigError for a closure of another system. An error that the closure
    raises itself goes through with a note that says where it came from.
    """
    require_closure(closure)
    name = f"closure {type(closure).__name__}"
    if state is None:
        state = eqx.filter_eval_shape(lambda key: system.initial_state(key=key), random_key(0))
    try:
        memory = eqx.filter_eval_shape(lambda x: closure.init(x, key=random_key(0)), state)
        result = eqx.filter_eval_shape(lambda x, m: closure(x, m, None), state, memory)
    except (Exception, SystemExit) as error:
        error.add_note(
            f"raised by {name} on a state of {type(system).__name__}: {_describe(state)}"
        )
        raise
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(
            f"{name} must return the pair (increment, memory), got {type(result).__name__}. A "
            "closure without memory ends with `return increment, memory`."
        )
    increment, new_memory = result
    _check_like(f"the increment of {name}", increment, "the state", state)
    _check_like(f"the new memory of {name}", new_memory, "the old memory", memory)
    if isinstance(closure, AbstractClosure):
        closure.check_system(system)


def _check_like(what: str, got: PyTree, like_what: str, wanted: PyTree) -> None:
    """Raise unless two PyTrees of arrays agree in structure, dtypes and shapes."""
    if jax.tree.structure(got) != jax.tree.structure(wanted):
        raise TypeError(
            f"{what} must have the structure of {like_what}, {_describe(wanted)}; got "
            f"{_describe(got)}."
        )
    leaves = jax.tree_util.tree_leaves_with_path(wanted)
    for (path, expected), found in zip(leaves, jax.tree.leaves(got), strict=True):
        field = _name(path)
        if not hasattr(expected, "shape"):
            continue
        if getattr(found, "shape", None) != expected.shape:
            raise ShapeError(
                f"{what}: {field} must have the shape of {like_what}, {expected.shape}; got "
                f"{getattr(found, 'shape', type(found).__name__)}."
            )
        if found.dtype != expected.dtype:
            raise TypeError(
                f"{what}: {field} must have the dtype of {like_what}, {expected.dtype}; got "
                f"{found.dtype}. Cast it before returning."
            )


def _describe(tree: PyTree) -> str:
    """Return a PyTree's class and its arrays' names, dtypes and shapes in one line."""
    arrays = ", ".join(
        f"{_name(path)}: {getattr(leaf, 'dtype', type(leaf).__name__)}"
        f"{list(getattr(leaf, 'shape', ()))}"
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    )
    return f"{type(tree).__name__}({arrays})"


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path).lstrip(".") or "value"
