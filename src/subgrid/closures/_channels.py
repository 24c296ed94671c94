"""States as channels of a network, and back."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from subgrid.errors import ShapeError


def state_to_channels(state: PyTree) -> Float[Array, "channel y x"]:
    """Return the arrays of a state, [..., y, x] each, as channels in the order of its fields.

    Raises ShapeError if an array has fewer than two axes or they are not all on one grid.
    """
    leaves = jax.tree.leaves(state)
    grids = {leaf.shape[-2:] for leaf in leaves}
    if len(grids) != 1 or any(leaf.ndim < 2 for leaf in leaves):
        raise ShapeError(
            "a network needs a state whose arrays all end in the same (y, x), got shapes "
            f"{[leaf.shape for leaf in leaves]}"
        )
    return jnp.concatenate([leaf.reshape(-1, *leaf.shape[-2:]) for leaf in leaves])


def channels_to_state(fields: Float[Array, "channel y x"], like: PyTree) -> PyTree:
    """Return channels as a state shaped like `like`: the inverse of `state_to_channels`."""
    leaves, structure = jax.tree.flatten(like)
    parts, start = [], 0
    for leaf in leaves:
        count = leaf.size // (leaf.shape[-2] * leaf.shape[-1])
        parts.append(fields[start : start + count].reshape(leaf.shape))
        start += count
    return jax.tree.unflatten(structure, parts)
