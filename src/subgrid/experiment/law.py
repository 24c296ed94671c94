"""One law of a closure or a system, its outcome, and how two results are compared."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


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
