"""A limit on the energy that an increment gives to a flow."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from subgrid.errors import ShapeError

_VELOCITIES = ["u", "v"]


def check_velocities(state: PyTree) -> None:
    """Raise ShapeError unless a state holds `u[y, x]` and `v[y, x]` and nothing else."""
    leaves = jax.tree_util.tree_leaves_with_path(state)
    names = [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in leaves]
    if sorted(names) != _VELOCITIES or any(leaf.ndim != 2 for _, leaf in leaves):
        shapes = {name: leaf.shape for name, (_, leaf) in zip(names, leaves, strict=True)}
        raise ShapeError(
            "energy_limit bounds u S_u + v S_v, for states of the velocities u[y, x] and v[y, x] "
            f"alone, got a {type(state).__name__} of {shapes}; take the limit off with "
            "with_energy_limit(closure, None)"
        )


def limited(
    increment: Float[Array, "channel y x"], velocity: Float[Array, "channel y x"], limit: float
) -> Float[Array, "channel y x"]:
    """Return S - max(0, P - limit)/<u·u> u, of the power P = <u·S> or `limit`, the lower one.

    < > is the mean over the domain. An increment below the limit, or of a flow at rest, comes back
    as it is.
    """
    excess = _mean_product(velocity, increment) - limit
    square = _mean_product(velocity, velocity)
    share = excess / jnp.where(square > 0, square, 1)
    # chosen, not multiplied by 0: the same bits, -0 and all
    return jnp.where(excess > 0, increment - share * velocity, increment)


def _mean_product(a: Array, b: Array) -> Float[Array, ""]:
    return jnp.sum(jnp.mean(a * b, axis=(-2, -1)))
