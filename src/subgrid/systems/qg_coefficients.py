"""What one step of two-layer QG needs per wavenumber, and how it follows from the constants.

The formulas stand once, for two kinds of numbers. A system is made with NumPy's, in float64: what
they give is cast and kept. Where a constant was changed later, or is traced, they take JAX's, in
the precision of the system; compiled loops do that once, before the first step.
"""

import functools
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

from subgrid.grids import PeriodicGrid, derivative_wavenumbers, exponential_filter, two_thirds_mask


class Coefficients(eqx.Module):
    """Real arrays per wavenumber."""

    invert_11: Float[Array, "l k"]  # ψ̂₁ = invert_11 q̂₁ + invert_12 q̂₂
    invert_12: Float[Array, "l k"]
    invert_21: Float[Array, "l k"]
    invert_22: Float[Array, "l k"]
    pv_gradient_k: Float[Array, "level 1 k"]  # k Q_y
    drag: Float[Array, "1 l k"]  # r κ²
    filter: Float[Array, "1 l k"]


def stretching(constants: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return F₁ = 1/(r_d²(1 + δ)) and F₂ = δ F₁, 1/m²."""
    upper = constants["deformation_radius"] ** -2 / (1 + constants["thickness_ratio"])
    return upper, constants["thickness_ratio"] * upper


def formulas(
    xp: ModuleType, grid: PeriodicGrid, dealias: bool, constants: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the arrays of `Coefficients`; `xp`: the module, NumPy or JAX's, of the constants.

    `constants`: those of `TwoLayerQG` and its `filter_sharpness`.
    """
    upper, lower = stretching(constants)
    kappa2 = grid.wavenumber_squared
    # ψ̂(0, 0) = 0
    determinant = xp.where(kappa2 > 0, kappa2 * (kappa2 + upper + lower), np.inf)
    beta = constants["beta"]
    shear = constants["upper_velocity"] - constants["lower_velocity"]
    gradient = xp.stack([beta + upper * shear, beta - lower * shear])
    k, _ = derivative_wavenumbers(grid)
    small_scale = exponential_filter(grid, constants["filter_sharpness"], xp)
    return {
        "invert_11": -(kappa2 + lower) / determinant,
        "invert_12": -upper / determinant,
        "invert_21": -lower / determinant,
        "invert_22": -(kappa2 + upper) / determinant,
        "pv_gradient_k": gradient[:, None, None] * k[:1][None],
        "drag": constants["bottom_drag"] * kappa2[None],
        "filter": (small_scale * two_thirds_mask(grid) if dealias else small_scale)[None],
    }


@functools.partial(jax.jit, static_argnums=(0, 1))
def followed(
    grid: PeriodicGrid,
    dealias: bool,
    built: Coefficients,
    built_for: Mapping[str, ArrayLike],
    constants: Mapping[str, ArrayLike],
) -> Coefficients:
    """Return the coefficients of `constants`: `built`, bit for bit, if it was built for them."""
    dtype = built.drag.dtype
    constants = {name: jnp.asarray(value, dtype) for name, value in constants.items()}
    unchanged = jnp.all(jnp.stack([constants[name] == built_for[name] for name in constants]))
    now = formulas(jnp, grid, dealias, constants)
    return Coefficients(
        **{
            name: _either(unchanged, getattr(built, name), jnp.asarray(value, dtype))
            for name, value in now.items()
        }
    )


@jax.custom_jvp
def _either(
    unchanged: Bool[Array, ""], built: Float[Array, "..."], now: Float[Array, "..."]
) -> Float[Array, "..."]:
    """Return `built` if nothing changed, else `now`; the derivative is that of `now` always."""
    return jnp.where(unchanged, built, now)


@_either.defjvp
def _either_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    return _either(*primals), tangents[2]
