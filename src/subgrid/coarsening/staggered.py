"""Coarsening of velocities on a C grid, and what the coarse model's step misses of the fine one's.

The solver of Kolmogorov flow is a step, not a tendency: its limiter and its projection act within
it. So the subgrid forcing of Otness, Zanna & Bruna 2025 is the defect of one coarse step, per time.
It contains the numerical diffusion of the coarse scheme, and depends on the step.
"""

from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float, PyTree

from subgrid.coarsening.operators import AbstractCoarsener, check_pair, check_whole_ratios
from subgrid.grids import PeriodicGrid


class StaggeredMean(AbstractCoarsener):
    """Averages velocities over the faces of the coarse cells.

        ū = mean of u over the ρ_y fine faces that make the coarse cell's east face; v̄ likewise

    Fluxes through faces are kept, so a state without discrete divergence has none on the coarse
    grid. Takes states with `u` on east and `v` on north faces; the ratios must be whole, since
    coarse faces are made of fine ones: D (`subgrid.grids.downscale`) reaches other sizes, but
    keeps neither divergence nor the places of the values. Source: jax-cfd,
    `downsample_staggered_velocity`; Otness, Zanna & Bruna 2025.
    """

    fine_grid: PeriodicGrid = eqx.field(static=True)
    coarse_grid: PeriodicGrid = eqx.field(static=True)

    def __init__(self, fine_grid: PeriodicGrid, coarse_grid: PeriodicGrid):
        check_pair(fine_grid, coarse_grid)
        instead = "a factor between scales of a cascade, which D reaches from one that does"
        check_whole_ratios(fine_grid, coarse_grid, "StaggeredMean", instead)
        self.fine_grid, self.coarse_grid = fine_grid, coarse_grid

    def __call__(self, state: PyTree) -> PyTree:
        """Return the state on the coarse grid.

        Raises TypeError for a state that is not velocities on faces, ShapeError for another grid.
        """
        if tuple(getattr(state, "__dataclass_fields__", ())) != ("u", "v"):
            raise TypeError(
                "StaggeredMean takes velocities u on east and v on north faces, but got "
                f"{type(state).__name__}; use operator1 for fields at the centres of cells"
            )
        self.check_shapes(state)
        return type(state)(self._on_east_faces(state.u), self._on_north_faces(state.v))

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


def coarse_state_and_defect(
    fine: Any,
    coarse: Any,
    coarsener: AbstractCoarsener,
    state: PyTree,
    dt: float,
    substeps: int = 1,
) -> tuple[PyTree, PyTree]:
    """Return C x and S = [C T_f(x) - T_c(C x)]/dt: what to add, per time, after a coarse step.

    T_c: one step of `coarse.advance` over `dt`; T_f: `substeps` steps of `fine.advance` over
    dt/substeps each. x + dt S is then exact to rounding. With one substep both take the same step
    (Otness, Zanna & Bruna 2025, who run coarse models at the step of the truth); with more, the
    coarse model takes longer steps, and S holds what that costs, too. S has no discrete divergence
    where C and both steps make none. Raises ShapeError for a state on another grid.

    In float32 S carries a rounding error of about 1e-4 of itself (256² to 64²).
    """
    seen = coarsener(state)

    def substep(x: PyTree, _: None) -> tuple[PyTree, None]:
        return fine.advance(x, dt / substeps), None

    later, _ = jax.lax.scan(substep, state, None, length=substeps)
    exact, resolved = coarsener(later), coarse.advance(seen, dt)
    return seen, jax.tree.map(lambda a, b: (a - b) / dt, exact, resolved)
