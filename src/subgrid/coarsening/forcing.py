"""What the coarse equations miss: the subgrid forcing S, and as a flux for two-layer QG.

Signs, the trap of this field: S is the correction, to be ADDED to the coarse tendency. Ross et al.
2023 also publish `q_subgrid_forcing` = C[∇·(u q)] - ∇·(ū q̄), which is -S; here the flux is
C[u q] - ū q̄, and S is minus its divergence.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PyTree

from subgrid.coarsening.operators import AbstractCoarsener
from subgrid.grids import PeriodicGrid
from subgrid.systems import AbstractSystem, TwoLayerQG


class SubgridFlux(eqx.Module):
    """The subgrid flux of q per layer, m/s²: `x` eastward, `y` northward, each [level, y, x]."""

    x: Float[Array, "*batch level y x"]
    y: Float[Array, "*batch level y x"]


def subgrid_forcing(
    fine: AbstractSystem,
    coarse: AbstractSystem,
    coarsener: AbstractCoarsener,
    state: PyTree,
    time: ArrayLike = 0.0,
) -> PyTree:
    """Return S = C[f(x)] - f_c(C x): what to ADD to the coarse tendency.

    f, f_c: the tendencies of the fine and the coarse system, without small-scale filters, each
    driven as its system is at `time`; x = `state` of the fine system; C = `coarsener`. S is like a
    coarse state, in its units per second (QG: `q[level, y, x]`, 1/s²). With it the coarse tendency
    at C x equals the coarsened fine one. Pure and without arrays of its own: jit and vmap it
    freely.

    Both systems must have the constants of the model that made `state`: make the coarse one with
    `fine.at((ny, nx))`. (The generator of Otness, Zanna & Bruna 2025 used eddy constants for
    jet states: its stored jet forcings are off by about 25 % in the upper and 150 % in the lower
    layer.)

    The difference of two tendencies loses digits; docs/coarsening.md has the error of float32.
    Raises ShapeError if a system is not one that the coarsener connects.
    """
    return coarse_state_and_forcing(fine, coarse, coarsener, state, time)[1]


def coarse_state_and_forcing(
    fine: AbstractSystem,
    coarse: AbstractSystem,
    coarsener: AbstractCoarsener,
    state: PyTree,
    time: ArrayLike = 0.0,
) -> tuple[PyTree, PyTree]:
    """Return C x and S (see `subgrid_forcing`), both for little more than the price of S.

    Where the systems step spectra and C multiplies them, nothing is transformed to the fine grid
    and back: a third less time than by the definition, the same but for rounding.
    """
    coarsener.check_systems(fine, coarse)
    outside, inside = fine.forcing_at(jnp.asarray(time)), coarse.forcing_at(jnp.asarray(time))
    if not (fine.evolves_spectra and coarsener.multiplies_spectra):
        seen = coarsener(state)
        exact, resolved = coarsener(fine.tendency(state, outside)), coarse.tendency(seen, inside)
        return seen, jax.tree.map(jnp.subtract, exact, resolved)
    spectral: Any = coarsener
    evolved = fine.to_evolved(state)
    seen = spectral.coarsen_spectrum(evolved)
    exact = spectral.coarsen_spectrum(fine.evolved_tendency(evolved, outside))
    missing = jax.tree.map(jnp.subtract, exact, coarse.evolved_tendency(seen, inside))
    return coarse.to_state(seen), coarse.to_state(missing)


def subgrid_flux(
    fine: TwoLayerQG, coarse: TwoLayerQG, coarsener: AbstractCoarsener, state: PyTree
) -> SubgridFlux:
    """Return C[(u + U) q] - (ū + U) q̄ and C[v q] - v̄ q̄ of two-layer QG, m/s².

    u, v: eddy velocities [level, y, x]; U: the background flow; bars belong to the coarse system at
    C q. For operators 1 and 2, which commute with derivatives and with the inversion, the β-term,
    the background PV gradient and the drag cancel, and S = -∇·flux to rounding, provided both
    systems have the same constants and do not dealias. For operator 3 it holds only approximately.

    Raises ShapeError as `subgrid_forcing` does.
    """
    coarsener.check_systems(fine, coarse)
    exact = coarsener(SubgridFlux(*fine.advective_flux(state)))
    resolved = SubgridFlux(*coarse.advective_flux(coarsener(state)))
    return jax.tree.map(jnp.subtract, exact, resolved)


def flux_divergence(flux: SubgridFlux, grid: PeriodicGrid) -> Float[Array, "*batch level y x"]:
    """Return ∂(flux.x)/∂x + ∂(flux.y)/∂y [level, y, x] by spectral derivatives; S is minus this.

    The domain mean of the result is zero to rounding, whatever the flux. The Nyquist waves, whose
    derivative does not exist on the grid, are treated as in `TwoLayerQG`: only the part that a real
    field can hold is kept. Raises ShapeError for fluxes of another grid or of two shapes.
    """
    grid.check_fields(flux.x, flux.y)
    hat_x, hat_y = jnp.fft.rfft2(flux.x), jnp.fft.rfft2(flux.y)
    real = hat_x.real.dtype
    along = jnp.broadcast_to(jnp.asarray(grid.k, real), hat_x.shape)
    across = jnp.broadcast_to(jnp.asarray(grid.l[:, None], real), hat_y.shape)
    hat = 1j * (along * hat_x + across * hat_y)
    return jnp.fft.irfft2(hat, s=grid.shape).astype(flux.x.dtype)
