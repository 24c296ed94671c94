"""States as channels of a network, and back."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from subgrid.errors import ShapeError


def state_to_channels(state: PyTree) -> Float[Array, "channel y x"]:
    """Return the arrays of a state, [y, x] or [level, y, x], as channels in their order.

    Raises ShapeError for other axes and for arrays that are not all on one grid.
    """
    leaves = jax.tree.leaves(state)
    grids = {leaf.shape[-2:] for leaf in leaves}
    if len(grids) != 1 or any(leaf.ndim not in (2, 3) for leaf in leaves):
        raise ShapeError(
            "a network needs one state, whose arrays [y, x] or [level, y, x] all end in the same "
            f"(y, x), got shapes {[leaf.shape for leaf in leaves]}; several go through jax.vmap"
        )
    return jnp.concatenate([leaf.reshape(-1, *leaf.shape[-2:]) for leaf in leaves])


def channels_to_state(fields: Float[Array, "channel y x"], like: PyTree) -> PyTree:
    """Return channels as a state shaped like `like`: the inverse of `state_to_channels`.

    Raises ShapeError for another number of channels and another grid.
    """
    leaves, structure = jax.tree.flatten(like)
    wanted = jax.eval_shape(state_to_channels, like).shape
    if fields.shape != wanted:
        raise ShapeError(
            f"the channels of one {type(like).__name__} are {wanted} (channel, y, x), got "
            f"{fields.shape}; several go through jax.vmap"
        )
    parts, start = [], 0
    for leaf in leaves:
        count = leaf.size // (leaf.shape[-2] * leaf.shape[-1])
        parts.append(fields[start : start + count].reshape(leaf.shape))
        start += count
    return jax.tree.unflatten(structure, parts)
