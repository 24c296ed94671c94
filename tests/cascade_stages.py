"""One stage of a cascade by itself, as its formulas have it, the earlier ones frozen."""

import jax
import jax.numpy as jnp

from subgrid.grids import downscale, upscale


def shape_of(cascade, state, level):
    """Return (ny, nx) of a level."""
    ny, nx = state.shape[-2:]
    size = cascade.stage_size(level)
    return ny * size // nx, size


def stage_output(cascade, state, level):
    """Return the output of network `level` on the grid of its level, in units of the stage."""
    shape, seen = shape_of(cascade, state, level), state
    if level > 0:
        earlier = [jax.lax.stop_gradient(cascade.predict(state, j)) for j in range(level)]
        seen = jnp.concatenate([downscale(state, *shape), *(upscale(s, *shape) for s in earlier)])
    return downscale(cascade.networks[level](seen), *shape)


def stage_target(cascade, target, state, level):
    """Return what network `level` has to learn: (D target - D† S_{level-1})/s_level."""
    shape = shape_of(cascade, state, level)
    residual = downscale(target, *shape)
    if level > 0:
        earlier = jax.lax.stop_gradient(cascade.predict(state, level - 1))
        residual = residual - upscale(earlier, *shape)
    return residual / cascade.scales[level].astype(residual.dtype)
