"""Biharmonic dissipation that gives part of its energy back at large scales."""

import equinox as eqx
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PyTree

from subgrid.closures._of_system import AbstractClosureOfSystem, checked_system
from subgrid.closures._parameters import as_parameter
from subgrid.closures._quasigeostrophic import streamfunction_hat
from subgrid.closures._spectral import mean_product, times, to_real
from subgrid.closures.smagorinsky import eddy_viscosity, half_strain
from subgrid.nn import Fixed, fixed_as
from subgrid.systems import AbstractSystem, TwoLayerQG
from subgrid.systems.qg import QGState


class BackscatterBiharmonic(AbstractClosureOfSystem[TwoLayerQG]):
    """Biharmonic Smagorinsky dissipation with a uniform negative viscosity that returns its energy.

        ∂q/∂t += d - C_b B [Σ_i H_i <ψ_i d_i>] / [Σ_i H_i <ψ_i B_i>]
        B = ∇⁴ψ,   d = -∇²(Δ² ν B),   ν = (C_s Δ)² √(2 (S_xx² + S_yy² + 2 S_xy²))

    C_s = `smagorinsky_constant`, C_b = `backscatter_constant`, dimensionless; Δ = √(Δx Δy) in m;
    <·> is the domain mean. -Σ H_i <ψ_i d_i> is the power that d takes from the flow; the second
    term returns C_b of it, at larger scales, so the increment as a whole changes the energy by (1 -
    C_b) times what d does: C_b = 1 conserves it. Quadratic in the state; keeps each layer's mean.
    Defaults: eddy configuration of Ross et al. 2023 (JAMES 15, e2022MS003258), √0.007 and 1.2; its
    jet needs other constants (√0.005 and 0.8 in Perezhogin et al. 2023). pyqg's defaults are 0.08
    and 0.99.

    Source: Jansen & Held 2014, Ocean Modelling 80, doi:10.1016/j.ocemod.2014.06.002; Jansen et al.
    2015, Ocean Modelling 94, doi:10.1016/j.ocemod.2015.05.007. Raises TypeError for another system.
    """

    citations = ("jansen2014", "ross2023")

    _system: Fixed[TwoLayerQG] = eqx.field(metadata=fixed_as("system"))
    smagorinsky_constant: Float[Array, ""]
    backscatter_constant: Float[Array, ""]

    def __init__(
        self,
        system: AbstractSystem,
        smagorinsky_constant: ArrayLike = 0.007**0.5,
        backscatter_constant: ArrayLike = 1.2,
    ):
        self._system = Fixed(checked_system(system, TwoLayerQG, "BackscatterBiharmonic"))
        given = {
            "smagorinsky_constant": smagorinsky_constant,
            "backscatter_constant": backscatter_constant,
        }
        for name, value in given.items():
            setattr(self, name, as_parameter(name, value, self.system))

    @property
    def claims(self) -> tuple[str, ...]:
        """Return what holds of every increment."""
        return ("conserves mean", "translation invariant")

    def __call__(
        self, state: QGState, memory: PyTree = None, forcing: PyTree = None
    ) -> tuple[QGState, PyTree]:
        """Return the increment (1/s²) and the memory it got."""
        grid, weights = self.system.grid, self.system.layer_weights
        kappa2 = grid.wavenumber_squared
        psi = streamfunction_hat(self.system, state)
        biharmonic = times(kappa2**2, psi)
        viscosity = eddy_viscosity(*half_strain(psi, grid), self.smagorinsky_constant, grid)
        damped = grid.dx * grid.dy * viscosity * to_real(biharmonic, grid)
        dissipation = times(kappa2, jnp.fft.rfft2(damped))
        removed = jnp.sum(weights * mean_product(psi, dissipation, grid))
        scale = jnp.sum(weights * mean_product(psi, biharmonic, grid))
        # `scale` is a mean square, zero only at rest, where `removed` is zero as well
        share = removed / jnp.where(scale > 0, scale, 1.0)
        total = dissipation - times(self.backscatter_constant * share, biharmonic)
        return QGState(to_real(total, grid)), memory
