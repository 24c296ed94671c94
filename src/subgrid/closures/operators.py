"""Products and derivatives that the closures share.

Hats are unnormalised rfft2 [..., l, k], as in `subgrid.grids.PeriodicGrid`. Real and imaginary
factors act on the two parts of a hat, which XLA computes several times faster on a CPU than
products of complex numbers.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from subgrid.grids import PeriodicGrid


def to_real(hat: Complex[Array, "*batch l k"], grid: PeriodicGrid) -> Float[Array, "*batch y x"]:
    """Return the real fields of a transform."""
    return jnp.fft.irfft2(hat, s=grid.shape)


def times(factor: Array | np.ndarray, hat: Complex[Array, "..."]) -> Complex[Array, "..."]:
    """Return factor · hat for a real factor that broadcasts against it."""
    factor = jnp.broadcast_to(jnp.asarray(factor, hat.real.dtype), hat.shape)
    return jax.lax.complex(factor * hat.real, factor * hat.imag)


def times_i(factor: Array | np.ndarray, hat: Complex[Array, "..."]) -> Complex[Array, "..."]:
    """Return i · factor · hat for a real factor that broadcasts against it."""
    factor = jnp.broadcast_to(jnp.asarray(factor, hat.real.dtype), hat.shape)
    return jax.lax.complex(-factor * hat.imag, factor * hat.real)


def wavenumbers(grid: PeriodicGrid) -> tuple[np.ndarray, np.ndarray]:
    """Return k and l as arrays [1, ny, nx//2+1] in rad/m, ready for hats with layers."""
    k, l = np.broadcast_arrays(grid.k[None, None, :], grid.l[None, :, None])
    return k, l


def mean_product(
    a: Complex[Array, "*batch l k"], b: Complex[Array, "*batch l k"], grid: PeriodicGrid
) -> Float[Array, "*batch"]:
    """Return the domain mean of the product of two real fields from their hats (Parseval)."""
    weight = np.full(grid.spectral_shape, 2.0 / grid.size**2)
    weight[:, [0, -1]] /= 2  # columns k = 0 and Nyquist hold both signs of k
    product = a.real * b.real + a.imag * b.imag
    weight = jnp.broadcast_to(jnp.asarray(weight, product.dtype), product.shape)
    return jnp.sum(weight * product, axis=(-2, -1))


def divergence(
    flux_x: Float[Array, "channel y x"], flux_y: Float[Array, "channel y x"], grid: PeriodicGrid
) -> Float[Array, "channel y x"]:
    """Return ∂x flux_x + ∂y flux_y, spectral; its domain mean is zero."""
    k, l = wavenumbers(grid)
    hat = jnp.fft.rfft2(jnp.stack([flux_x, flux_y]))
    return to_real(times_i(k, hat[0]) + times_i(l, hat[1]), grid)


def root(square: Float[Array, "*batch y x"]) -> Float[Array, "*batch y x"]:
    """Return √; its gradient at 0 is 0, not NaN."""
    moving = square > 0
    return jnp.where(moving, jnp.sqrt(jnp.where(moving, square, 1.0)), 0.0)
