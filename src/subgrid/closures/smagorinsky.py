"""Smagorinsky's eddy viscosity."""

import equinox as eqx
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Complex, Float, PyTree

from subgrid.closures._of_system import AbstractClosureOfSystem, checked_system
from subgrid.closures._parameters import as_parameter
from subgrid.closures._quasigeostrophic import streamfunction_hat
from subgrid.closures._spectral import curl_of_stress, times, to_real
from subgrid.grids import PeriodicGrid, derivative_wavenumbers
from subgrid.nn import Fixed, fixed_as
from subgrid.systems import AbstractSystem, TwoLayerQG
from subgrid.systems.qg import QGState


class Smagorinsky(AbstractClosureOfSystem[TwoLayerQG]):
    """Smagorinsky's (1963) eddy viscosity in each layer of two-layer QG: takes energy out.

        ∂q/∂t += ∂x F_y - ∂y F_x,   ν = (C Δ)² √(2 (S_xx² + S_yy² + 2 S_xy²))
        F_x = 2 [∂x(ν S_xx) + ∂y(ν S_xy)],   F_y = 2 [∂x(ν S_xy) + ∂y(ν S_yy)]

    S_xx = ∂x u = -S_yy, S_xy = ½ (∂y u + ∂x v) with eddy velocities, in 1/s; ν in m²/s; Δ = √(Δx
    Δy) in m (pyqg uses Δx; the same on square cells). C = `constant`, dimensionless: 0.15 in Ross
    et al. 2023 (JAMES 15, e2022MS003258), 0.1 in pyqg. The increment is quadratic in the state,
    keeps each layer's mean, and takes the power <2 ν (S_xx² + S_yy² + 2 S_xy²)> from each layer,
    exactly so in the discrete sums. Derivatives are spectral, products not dealiased.

    Source: Smagorinsky 1963, Mon. Weather Rev. 91, 99. Raises TypeError for another system.
    """

    citations = ("smagorinsky1963",)

    _system: Fixed[TwoLayerQG] = eqx.field(metadata=fixed_as("system"))
    constant: Float[Array, ""]

    def __init__(self, system: AbstractSystem, constant: ArrayLike = 0.15):
        self._system = Fixed(checked_system(system, TwoLayerQG, "Smagorinsky"))
        self.constant = as_parameter("constant", constant, self.system)

    @property
    def claims(self) -> tuple[str, ...]:
        """Return what holds of every increment."""
        return ("conserves mean", "dissipates energy", "translation invariant")

    def __call__(
        self, state: QGState, memory: PyTree = None, forcing: PyTree = None
    ) -> tuple[QGState, PyTree]:
        """Return the increment (1/s²) and the memory it got."""
        grid = self.system.grid
        stretch, shear = half_strain(streamfunction_hat(self.system, state), grid)
        viscosity = eddy_viscosity(stretch, shear, self.constant, grid)
        return QGState(2 * curl_of_stress(viscosity * stretch, viscosity * shear, grid)), memory


def half_strain(
    psi: Complex[Array, "level l k"], grid: PeriodicGrid
) -> tuple[Float[Array, "level y x"], Float[Array, "level y x"]]:
    """Return S_xx = ∂x u and S_xy = ½ (∂y u + ∂x v) in 1/s; S_yy is -S_xx."""
    k, l = derivative_wavenumbers(grid)
    fields = to_real(jnp.stack([times(k * l, psi), times((l**2 - k**2) / 2, psi)]), grid)
    return fields[0], fields[1]


def eddy_viscosity(
    stretch: Float[Array, "level y x"],
    shear: Float[Array, "level y x"],
    constant: Float[Array, ""],
    grid: PeriodicGrid,
) -> Float[Array, "level y x"]:
    """Return ν = 2 (C Δ)² √(S_xx² + S_xy²) in m²/s."""
    return 2 * (grid.dx * grid.dy) * constant**2 * root(stretch**2 + shear**2)


def root(square: Float[Array, "*batch y x"]) -> Float[Array, "*batch y x"]:
    """Return √; its gradient at 0 is 0, not NaN."""
    moving = square > 0
    return jnp.where(moving, jnp.sqrt(jnp.where(moving, square, 1.0)), 0.0)
