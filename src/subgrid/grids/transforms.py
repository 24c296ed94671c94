"""Real transforms of several fields at once, in the grouping that the device does fastest.

On CPUs XLA runs independent transforms side by side on its threads, while a batched one is slow
once its temporaries leave the cache: at 256² ten separate transforms make a QG step 1.7 times as
fast as two batched ones, at 64² a third slower (docs/performance.md). Elsewhere, batches win.
"""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array

SEPARATE_FROM = 96 * 96  # points of a field


def forward_of_each(fields: Sequence[Array]) -> list[Array]:
    """Return the unnormalised rfft2 [..., ny, nx//2+1] of each field [..., ny, nx]."""
    return _of_each(jnp.fft.rfft2, fields, math.prod(fields[0].shape[-2:]))


def inverse_of_each(spectra: Sequence[Array], shape: tuple[int, int]) -> list[Array]:
    """Return the field [..., ny, nx] of each spectrum [..., ny, nx//2+1]; `shape` is (ny, nx)."""
    return _of_each(lambda hat: jnp.fft.irfft2(hat, s=shape), spectra, math.prod(shape))


def _of_each(
    transform: Callable[[Array], Array], arrays: Sequence[Array], points: int
) -> list[Array]:
    def batched(*parts):
        return list(transform(jnp.stack(parts)))

    def separate(*parts):
        return [transform(part) for part in parts]

    if points < SEPARATE_FROM:
        return batched(*arrays)
    return jax.lax.platform_dependent(*arrays, cpu=separate, default=batched)
