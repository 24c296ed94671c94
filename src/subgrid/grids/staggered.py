"""Velocities on the faces of cells (Arakawa's C grid, also called MAC): discrete derivatives.

Arrays are [..., y, x], doubly periodic. u[j, i] sits on the east face of cell (j, i), v[j, i] on
its north face, vorticity and streamfunction at its north-east corner, pressure and divergence at
its centre. Differences are over one cell, so with D the divergence, G the gradient and C the curl

    D C⊥ = 0,   C G = 0,   D G = C C⊥ = L,   L the 5-point Laplacian,

to rounding: a field is its mean, plus a gradient, plus C⊥ψ = (-∂ψ/∂y, ∂ψ/∂x), exactly.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import NDArray

from subgrid.grids.periodic import PeriodicGrid

X, Y = -1, -2  # axes


def ahead(field: Float[Array, "*batch y x"], axis: int) -> Float[Array, "*batch y x"]:
    """Return the values one cell east (axis -1) or north (axis -2)."""
    return jnp.roll(field, -1, axis)


def behind(field: Float[Array, "*batch y x"], axis: int) -> Float[Array, "*batch y x"]:
    """Return the values one cell west (axis -1) or south (axis -2)."""
    return jnp.roll(field, 1, axis)


def staggered_divergence(
    u: Float[Array, "*batch y x"], v: Float[Array, "*batch y x"], grid: PeriodicGrid
) -> Float[Array, "*batch y x"]:
    """Return ∂u/∂x + ∂v/∂y at cell centres; raises ShapeError for fields of another grid."""
    grid.check_fields(u, v)
    return (u - behind(u, X)) / grid.dx + (v - behind(v, Y)) / grid.dy


def staggered_vorticity(
    u: Float[Array, "*batch y x"], v: Float[Array, "*batch y x"], grid: PeriodicGrid
) -> Float[Array, "*batch y x"]:
    """Return ∂v/∂x - ∂u/∂y at north-east corners; raises ShapeError for another grid."""
    grid.check_fields(u, v)
    return (ahead(v, X) - v) / grid.dx - (ahead(u, Y) - u) / grid.dy


def staggered_laplacian(
    field: Float[Array, "*batch y x"], grid: PeriodicGrid
) -> Float[Array, "*batch y x"]:
    """Return the 5-point Laplacian, wherever the field sits; ShapeError for another grid."""
    grid.check_fields(field)
    east_west = ahead(field, X) - 2 * field + behind(field, X)
    north_south = ahead(field, Y) - 2 * field + behind(field, Y)
    return east_west / grid.dx**2 + north_south / grid.dy**2


def rotated_gradient(
    psi: Float[Array, "*batch y x"], grid: PeriodicGrid
) -> tuple[Float[Array, "*batch y x"], Float[Array, "*batch y x"]]:
    """Return C⊥ψ = (-∂ψ/∂y, ∂ψ/∂x) on east and north faces, ψ at north-east corners.

    Without divergence, and each component without mean, to rounding. See also
    `rotated_gradient_symbols`. Raises ShapeError for another grid.
    """
    grid.check_fields(psi)
    return -(psi - behind(psi, Y)) / grid.dy, (psi - behind(psi, X)) / grid.dx


def laplacian_eigenvalues(grid: PeriodicGrid) -> NDArray[np.float64]:
    """Return the eigenvalues λ ≤ 0 of the 5-point Laplacian [ny, nx//2+1]: those of its rfft2."""
    east_west = (2 * np.cos(grid.k * grid.dx) - 2) / grid.dx**2
    north_south = (2 * np.cos(grid.l * grid.dy) - 2) / grid.dy**2
    return east_west[None, :] + north_south[:, None]


def rotated_gradient_symbols(
    grid: PeriodicGrid,
) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """Return the factors [ny, 1] and [1, nx//2+1] that make û and v̂ of ψ̂: u = -∂ψ/∂y, v = ∂ψ/∂x."""
    along_y = np.asarray((1 - np.exp(-1j * grid.l * grid.dy)) / grid.dy, np.complex128)
    along_x = np.asarray((1 - np.exp(-1j * grid.k * grid.dx)) / grid.dx, np.complex128)
    return -along_y[:, None], along_x[None, :]
