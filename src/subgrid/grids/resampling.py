"""Moves periodic fields between grids by cutting and padding their spectra: D and D†.

With hat the unnormalised rfft2, ρ² = (number of fine cells)/(number of coarse cells):

    D  : keep the coarse wavenumbers, divide by ρ²      D† : pad with zeros, multiply by ρ²

The coarse Nyquist wavenumbers have no unique place in the fine spectrum (their two signs fall
together), so both directions set them to zero. Then D D† = I on fields without Nyquist content,
D† = ρ² Dᵀ, and both commute with reflections in x and y. `legacy=True` keeps them as the published
code of Otness, Zanna & Bruna 2025 does: D keeps column +Nyquist and row -Nyquist as they are, so
one mode is halved in D D† and row and column Nyquist modes are treated differently.

Sizes may be odd: such an axis has no Nyquist wavenumber, and all of its waves are kept.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Inexact

from subgrid.errors import ShapeError


def truncate_spectrum(
    hat: Inexact[Array, "*batch l k"], ny: int, nx: int, legacy: bool = False
) -> Inexact[Array, "*batch m n"]:
    """Cut a half-plane spectrum (or its real part) to the wavenumbers of an ny × nx grid, unscaled.

    Keeps the first ⌈ny/2⌉ rows and the last ⌊ny/2⌋, and columns 0 … ⌊nx/2⌋; without `legacy` the
    row and the column of the coarse Nyquist wavenumber, where a size is even, are zeroed. Raises
    ShapeError for sizes below 1 and for a spectrum of fewer rows or columns.
    """
    rows, columns = hat.shape[-2], nx // 2 + 1
    if not 1 <= ny <= rows or nx < 1 or columns > hat.shape[-1]:
        raise ShapeError(
            f"a spectrum {hat.shape[-2:]} cannot be cut to that of an {ny} x {nx} grid (ny, nx), "
            f"{(ny, columns)}"
        )
    cut = jnp.concatenate(
        [hat[..., : _ahead(ny), :columns], hat[..., rows - ny // 2 :, :columns]], axis=-2
    )
    return cut if legacy else _without_nyquist(cut, ny, nx)


def downscale(
    field: Float[Array, "*batch y x"], ny: int, nx: int, legacy: bool = False
) -> Float[Array, "*batch m n"]:
    """Return D(field): the field on the coarser ny × nx grid by spectral truncation.

    Returns the field as it is if the size is its own. Raises ShapeError if the target is finer or
    has no cell.
    """
    if field.shape[-2:] == (ny, nx):
        return field
    if not (1 <= ny <= field.shape[-2] and 1 <= nx <= field.shape[-1]):
        raise ShapeError(f"downscale goes to coarser grids: from {field.shape[-2:]} to {(ny, nx)}")
    ratio = field.shape[-2] * field.shape[-1] / (ny * nx)
    hat = truncate_spectrum(jnp.fft.rfft2(field), ny, nx, legacy)
    return jnp.fft.irfft2(hat / ratio, s=(ny, nx)).astype(field.dtype)


def upscale(
    field: Float[Array, "*batch m n"], ny: int, nx: int, legacy: bool = False
) -> Float[Array, "*batch y x"]:
    """Return D†(field): the field on the finer ny × nx grid by padding its spectrum with zeros.

    Returns the field as it is if the size is its own. Raises ShapeError if the target is coarser.
    """
    if field.shape[-2:] == (ny, nx):
        return field
    coarse_y, coarse_x = field.shape[-2:]
    if ny < coarse_y or nx < coarse_x:
        raise ShapeError(f"upscale goes to finer grids: from {field.shape[-2:]} to {(ny, nx)}")
    hat = jnp.fft.rfft2(field) * (ny * nx / (coarse_y * coarse_x))
    padded = _padded(hat if legacy else _without_nyquist(hat, coarse_y, coarse_x), ny, nx)
    return jnp.fft.irfft2(padded, s=(ny, nx)).astype(field.dtype)


def interpolate(field: Float[Array, "*batch m n"], ny: int, nx: int) -> Float[Array, "*batch y x"]:
    """Return the trigonometric interpolation of a field to the finer ny × nx grid.

    D† with both signs of the Nyquist wavenumbers in equal parts instead of none: values at points
    that both grids have stay, where a whole ratio makes them shared. Raises ShapeError unless the
    target is finer in both directions.
    """
    coarse_y, coarse_x = field.shape[-2:]
    if ny <= coarse_y or nx <= coarse_x:
        raise ShapeError(
            f"interpolate goes to finer grids: from {(coarse_y, coarse_x)} to {(ny, nx)}"
        )
    half, columns = coarse_y // 2, coarse_x // 2 + 1
    hat = jnp.fft.rfft2(field) * (ny * nx / (coarse_y * coarse_x))
    if coarse_y % 2 == 0:
        hat = hat.at[..., half, :].multiply(0.5)
    if coarse_x % 2 == 0:
        hat = hat.at[..., -1].multiply(0.5)
    padded = _padded(hat, ny, nx)
    if coarse_y % 2 == 0:
        padded = padded.at[..., half, :columns].set(hat[..., half, :])
    return jnp.fft.irfft2(padded, s=(ny, nx)).astype(field.dtype)


def _padded(hat: Inexact[Array, "*batch m n"], ny: int, nx: int) -> Inexact[Array, "*batch l k"]:
    """Return a half-plane spectrum among zeros in that of an ny × nx grid, unscaled."""
    rows, columns = hat.shape[-2:]
    first = _ahead(rows)
    padded = jnp.zeros((*hat.shape[:-2], ny, nx // 2 + 1), hat.dtype)
    padded = padded.at[..., :first, :columns].set(hat[..., :first, :])
    return padded.at[..., ny - rows // 2 :, :columns].set(hat[..., first:, :])


def low_pass(field: Float[Array, "*batch y x"], cut: float) -> Float[Array, "*batch y x"]:
    """Return the field without its scales beyond `cut`, a share of the Nyquist wavenumber.

    Keeps √((k Δx)² + (l Δy)²) ≤ cut π, the wavenumber by which small-scale filters go.
    """
    ny, nx = field.shape[-2:]
    w = 2 * np.pi * np.hypot(np.fft.rfftfreq(nx)[None, :], np.fft.fftfreq(ny)[:, None])
    hat = jnp.where(w <= cut * np.pi, jnp.fft.rfft2(field), 0)
    return jnp.fft.irfft2(hat, s=(ny, nx)).astype(field.dtype)


def _without_nyquist(
    hat: Inexact[Array, "*batch l k"], ny: int, nx: int
) -> Inexact[Array, "*batch l k"]:
    """Zero the row and the column of the Nyquist wavenumber; an odd size has none."""
    if ny % 2 == 0:
        hat = hat.at[..., ny // 2, :].set(0)
    return hat.at[..., :, -1].set(0) if nx % 2 == 0 else hat


def _ahead(rows: int) -> int:
    """Return how many rows of a spectrum hold wavenumbers from 0 up; negative ones follow."""
    return (rows + 1) // 2
