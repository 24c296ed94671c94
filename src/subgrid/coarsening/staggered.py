"""Coarsening of velocities on a C grid."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from subgrid.coarsening.operators import AbstractGridCoarsener, check_pair, check_whole_ratios
from subgrid.computing import promoting
from subgrid.grids import PeriodicGrid, interpolate
from subgrid.grids.staggered import (
    X,
    Y,
    ahead,
    behind,
    laplacian_eigenvalues,
    rotated_gradient,
    staggered_vorticity,
)


class StaggeredMean(AbstractGridCoarsener):
    """Averages velocities over the faces of the coarse cells.

        ū = mean of u over the ρ_y fine faces that make the coarse cell's east face; v̄ likewise

    Fluxes through faces are kept, so a state without discrete divergence has none on the coarse
    grid. Takes states with `u` on east and `v` on north faces; the ratios must be whole, since
    coarse faces are made of fine ones: D (`subgrid.grids.downscale`) reaches other sizes, but
    keeps neither divergence nor the places of the values. Source: jax-cfd,
    `downsample_staggered_velocity`; Otness, Zanna & Bruna 2025.
    """

    positions = ("east", "north")

    fine_grid: PeriodicGrid = eqx.field(static=True)
    coarse_grid: PeriodicGrid = eqx.field(static=True)

    def __init__(self, fine_grid: PeriodicGrid, coarse_grid: PeriodicGrid):
        check_pair(fine_grid, coarse_grid)
        instead = "coarsen to one of these and go on with subgrid.grids.downscale"
        check_whole_ratios(fine_grid, coarse_grid, "StaggeredMean", instead)
        self.fine_grid, self.coarse_grid = fine_grid, coarse_grid

    def __call__(self, state: PyTree) -> PyTree:
        """Return the state on the coarse grid.

        Raises TypeError for a state that is not velocities on faces, ShapeError for another grid.
        """
        _check_velocities(state)
        self.check_shapes(state)
        return type(state)(self._on_east_faces(state.u), self._on_north_faces(state.v))

    @promoting()
    def refine(self, state: PyTree) -> PyTree:
        """Return a state of the coarse grid on the fine one, without divergence.

        Its means and its streamfunction at the corners, interpolated (`subgrid.grids.interpolate`);
        what divergence it has is left out. A coarse corner is a fine one, so coarsening gives a
        state without divergence back to rounding. Raises as a call does.
        """
        _check_velocities(state)
        self.check_shapes(state, self.coarse_grid.shape, "the coarse grid")
        eigenvalues = laplacian_eigenvalues(self.coarse_grid)
        eigenvalues[0, 0] = np.inf  # ψ has no mean
        hat = jnp.fft.rfft2(staggered_vorticity(state.u, state.v, self.coarse_grid))
        inverse = jnp.broadcast_to(jnp.asarray(1 / eigenvalues, state.u.dtype), hat.shape)
        psi = jnp.fft.irfft2(hat * inverse, s=self.coarse_grid.shape)
        # a corner of index i lies i + 1 cells from the origin, on either grid
        finer = interpolate(behind(behind(psi, X), Y), *self.fine_grid.shape)
        u, v = rotated_gradient(ahead(ahead(finer, X), Y), self.fine_grid)
        means = (field.mean(axis=(-2, -1), keepdims=True) for field in (state.u, state.v))
        return type(state)(*(c + mean for c, mean in zip((u, v), means, strict=True)))

    def coarsen(self, field: Float[Array, "*batch Y X"]) -> Float[Array, "*batch y x"]:
        """Raise TypeError: where a field sits must be known."""
        raise TypeError("StaggeredMean coarsens states; a single field has no place on the grid")

    def _on_east_faces(self, u: Float[Array, "*batch Y X"]) -> Float[Array, "*batch y x"]:
        blocks = self._blocks(u)  # [..., y, fine y, x, fine x]
        return blocks[..., -1].mean(axis=-2)

    def _on_north_faces(self, v: Float[Array, "*batch Y X"]) -> Float[Array, "*batch y x"]:
        return self._blocks(v)[..., -1, :, :].mean(axis=-1)

    def _blocks(self, field: Array) -> Array:
        fine, (ny, nx) = self.fine_grid, self.coarse_grid.shape
        return field.reshape(*field.shape[:-2], ny, fine.ny // ny, nx, fine.nx // nx)


def _check_velocities(state: PyTree) -> None:
    if tuple(getattr(state, "__dataclass_fields__", ())) != ("u", "v"):
        raise TypeError(
            "StaggeredMean takes velocities u on east and v on north faces, but got "
            f"{type(state).__name__}; use operator1 for fields at the centres of cells"
        )
