"""States as channels of a network, and back."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from subgrid.errors import ShapeError


def state_to_channels(state: PyTree, dims: int = 2) -> Float[Array, "channel *space"]:
    """Return the arrays of a state as channels, in their order.

    The last `dims` axes of every array are those of the domain: (y, x) of a plane, or the one of a
    line. A further one before them, such as levels, counts channels. Variables may differ in it.
    Raises ShapeError for other axes and for arrays that are not all on one grid.
    """
    leaves = jax.tree.leaves(state)
    grids = {leaf.shape[-dims:] for leaf in leaves}
    if len(grids) != 1 or any(leaf.ndim - dims not in (0, 1) for leaf in leaves):
        axes = "y, x" if dims == 2 else "x"
        raise ShapeError(
            f"a network needs one state, whose arrays [{axes}] or [level, {axes}] all end in the "
            f"same ({axes}), got shapes {[leaf.shape for leaf in leaves]}; several go through "
            "jax.vmap"
        )
    return jnp.concatenate([leaf.reshape(-1, *leaf.shape[-dims:]) for leaf in leaves])


def channels_to_state(fields: Float[Array, "channel *space"], like: PyTree) -> PyTree:
    """Return channels as a state shaped like `like`: the inverse of `state_to_channels`.

    Raises ShapeError for another number of channels and another grid.
    """
    leaves, structure = jax.tree.flatten(like)
    dims = fields.ndim - 1
    wanted = jax.eval_shape(lambda state: state_to_channels(state, dims), like).shape
    if fields.shape != wanted:
        raise ShapeError(
            f"the channels of one {type(like).__name__} are {wanted} (channel, then the grid), got "
            f"{fields.shape}; several go through jax.vmap"
        )
    parts, start = [], 0
    for leaf in leaves:
        count = math.prod(leaf.shape[: leaf.ndim - dims])
        parts.append(fields[start : start + count].reshape(leaf.shape))
        start += count
    return jax.tree.unflatten(structure, parts)


def channel_counts(state: PyTree, dims: int = 2) -> list[int]:
    """Return how many channels each array of a state makes."""
    return [math.prod(leaf.shape[: leaf.ndim - dims]) for leaf in jax.tree.leaves(state)]
