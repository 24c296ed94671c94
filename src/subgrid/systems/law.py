"""One law of a system or a closure, its outcome, and the comparisons that laws are made of."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from subgrid.randomness import random_key
from subgrid.stepping import rollout
from subgrid.systems.base import AbstractSystem

SHIFTS = (1, 3)  # cells; a grid inside a closure that divides both is not found


@dataclass(frozen=True)
class Law:
    """The outcome of one law: `holds` is True or False, or None where it is only reported."""

    name: str
    holds: bool | None
    detail: str


def guard(name: str, check: Callable[[], Law]) -> Law:
    """Return the outcome of a check, an error that it raises being a broken law."""
    try:
        return check()
    except (Exception, SystemExit) as error:
        return Law(name, False, f"{type(error).__name__}: {error}")


def difference(got: Any, wanted: Any) -> float:
    """Return the largest difference of two PyTrees relative to the largest value."""
    pairs = list(zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True))
    # np.max, for Python's max forgets a NaN that does not come first
    scale = float(np.max([float(jnp.max(jnp.abs(b))) for _, b in pairs], initial=0.0))
    error = float(np.max([float(jnp.max(jnp.abs(a - b))) for a, b in pairs], initial=0.0))
    return error / scale if scale > 0 else error


def tolerance(tree: Any) -> float:
    """Return the relative difference that rounding makes: fusion under jit reorders sums."""
    # of up to a few thousand terms: some hundred roundings
    return 500 * max(float(jnp.finfo(leaf.dtype).eps) for leaf in jax.tree.leaves(tree))


def same(name: str, got: Any, wanted: Any) -> Law:
    """Return whether two PyTrees are the same to rounding."""
    error = difference(got, wanted)
    limit = tolerance(wanted)
    return Law(name, error <= limit, f"relative difference {error:.1e}, allowed {limit:.1e}")


def finite(name: str, tree: Any) -> Law:
    """Return whether every value is finite."""
    bad = sum(int(np.sum(~np.isfinite(np.asarray(leaf)))) for leaf in jax.tree.leaves(tree))
    return Law(name, bad == 0, "every value is finite" if bad == 0 else f"{bad} values are not")


def vmap(call: Callable, state: Any) -> Law:
    """Return whether a function gives the same for two states at once as for each alone."""
    batch = jax.tree.map(lambda leaf: jnp.stack([leaf, 0.5 * leaf]), state)
    single = [call(state), call(jax.tree.map(lambda leaf: 0.5 * leaf, state))]
    return same(
        "vmap", eqx.filter_vmap(call)(batch), jax.tree.map(lambda *x: jnp.stack(x), *single)
    )


def gradient(call: Callable, state: Any) -> Law:
    """Return whether the gradient of what a function returns is finite."""

    def loss(x: Any) -> Any:
        leaves = jax.tree.leaves(call(x))
        # each field in units of itself: squares of 1e-12 fields leave float32's range
        sizes = [jax.lax.stop_gradient(jnp.max(jnp.abs(leaf))) for leaf in leaves]
        units = [jnp.where(size > 0, size, 1) for size in sizes]
        return sum(jnp.mean((leaf / unit) ** 2) for leaf, unit in zip(leaves, units, strict=True))

    return finite("gradient", jax.grad(loss)(state))


def steps(system: AbstractSystem, closure: Any, state: Any) -> Law:
    """Return whether 20 small steps stay within the limits, and give the same bits again."""
    model = system.model(small_dt(system), closure)
    first, again = (rollout(model, state, 20, 20, key=random_key(0)) for _ in range(2))
    if (died := int(first.blew_up_at)) >= 0:
        return Law("model step", False, f"left its bounds at step {died}")
    pairs = zip(jax.tree.leaves(first.states), jax.tree.leaves(again.states), strict=True)
    repeated = all(np.array_equal(a, b) for a, b in pairs)
    said = "20 steps, the same bits again" if repeated else "20 steps, other bits when repeated"
    return Law("model step", repeated, said)


def small_dt(system: Any) -> float:
    """Return a step that is far below the limit of an initial state."""
    if not hasattr(system, "largest_dt"):
        return 1.0e-3
    return 0.1 * float(system.largest_dt(system.initial_state(key=random_key(0))))


def periodic_dims(system: AbstractSystem) -> list[str]:
    """Return the dimensions along which the domain closes on itself, the fastest first."""
    both = zip(system.domain.dims, system.domain.periodic, strict=True)
    return [dim for dim, closed in both if closed][::-1]


def along(system: AbstractSystem, dim: str, tree: Any, change: Callable[[Any, int], Any]) -> Any:
    """Return a state with `change(array, axis)` in place of every variable that has `dim`."""
    leaves, structure = jax.tree.flatten(tree)
    pairs = zip(leaves, system.variables, strict=True)
    return structure.unflatten(
        [change(leaf, v.dims.index(dim)) if dim in v.dims else leaf for leaf, v in pairs]
    )


def shift_error(system: AbstractSystem, dim: str, call: Callable, state: Any) -> float:
    """Return how far a function of a state is from moving with it along a periodic dimension."""

    def moved(tree: Any, cells: int) -> Any:
        return along(system, dim, tree, lambda leaf, axis: jnp.roll(leaf, cells, axis))

    here = call(state)
    return max(difference(call(moved(state, n)), moved(here, n)) for n in SHIFTS)


def shift_words(error: float, moves: bool) -> str:
    """Return in words whether something moves with the state."""
    words = "shifts with the state" if moves else "does not shift with the state"
    return f"{words} (by {SHIFTS[0]} and {SHIFTS[1]} cells: {error:.1e})"
