"""What a closure is, and the check that finds a wrong one before a run compiles it."""

import abc
from typing import Any

import equinox as eqx
import jax
from jaxtyping import PyTree

from subgrid.errors import ShapeError
from subgrid.stepping import require_closure


class AbstractClosure(eqx.Module):
    """Maps a resolved state to what the unresolved scales add to its tendency.

    dx/dt = tendency(x, forcing) + increment,    increment, memory = closure(x, memory, forcing)

    The increment is a state: the same class, shapes and dtypes as x, in units of x per second. It
    is ADDED, so a dissipating closure returns something opposed to x. A closure acts on one state;
    the caller vmaps over members. A closure without memory or randomness only defines `__call__`
    and passes on the memory it got. One that needs the resolved tendency, which a model has formed
    already, sets `takes_tendency` and accepts it as the keyword `tendency`: like the state, per
    second, without the increment; None where no model calls it or where `forcing` is given.

    A user's own closure subclasses this, is built as `Class(system, **arguments)`, and is named
    "module:Class" wherever a closure is chosen by name.
    """

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


def check_closure(closure: Any, system: Any, state: PyTree = None) -> None:
    """Check that a closure's increment fits the states of a system; return nothing if it does.

    The closure is traced, not run, so this costs no time steps, and values (NaN included) are not
    looked at: a run masks those. `state` defaults to an initial state of `system`.

    Raises TypeError if the closure is none (see `subgrid.stepping.require_closure`), returns no
    (increment, memory) pair, an increment of another class, structure or dtype than the state, or a
    memory of changing structure, shape or dtype; ShapeError if a field of the increment has another
    shape than the state's. An error that the closure raises itself goes through with a note that
    says where it came from.
    """
    require_closure(closure)
    name = f"closure {type(closure).__name__}"
    if state is None:
        state = eqx.filter_eval_shape(lambda key: system.initial_state(key=key), jax.random.key(0))
    try:
        memory = eqx.filter_eval_shape(lambda x: closure.init(x, key=jax.random.key(0)), state)
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


def _check_like(what: str, got: PyTree, like_what: str, wanted: PyTree) -> None:
    """Raise unless two PyTrees of arrays agree in structure, dtypes and shapes."""
    if jax.tree.structure(got) != jax.tree.structure(wanted):
        raise TypeError(
            f"{what} must have the structure of {like_what}, {_describe(wanted)}; got "
            f"{_describe(got)}."
        )
    leaves, _ = jax.tree_util.tree_flatten_with_path(wanted)
    for (path, expected), found in zip(leaves, jax.tree.leaves(got), strict=True):
        field = jax.tree_util.keystr(path).lstrip(".") or "value"
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
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    arrays = ", ".join(
        f"{jax.tree_util.keystr(path).lstrip('.') or 'value'}: "
        f"{getattr(leaf, 'dtype', type(leaf).__name__)}{list(getattr(leaf, 'shape', ()))}"
        for path, leaf in leaves
    )
    return f"{type(tree).__name__}({arrays})"
