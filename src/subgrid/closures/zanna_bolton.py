"""Zanna & Bolton's equation-discovery closure."""

import equinox as eqx
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PyTree

from subgrid.closures._of_system import AbstractClosureOfSystem, checked_system
from subgrid.closures._parameters import as_parameter
from subgrid.closures._quasigeostrophic import streamfunction_hat
from subgrid.closures._spectral import curl_of_stress, times, to_real
from subgrid.grids import derivative_wavenumbers
from subgrid.nn import Fixed, fixed_as
from subgrid.systems import AbstractSystem, TwoLayerQG
from subgrid.systems.qg import QGState


class ZannaBolton2020(AbstractClosureOfSystem[TwoLayerQG]):
    """Zanna & Bolton's (2020) momentum closure found by relevance vector machines, as PV forcing.

        ∂q/∂t += ∂x F_y - ∂y F_x
        F_x = κ [∂x(½ (ζ² + D² + E²) - ζ D) + ∂y(ζ E)]
        F_y = κ [∂y(½ (ζ² + D² + E²) + ζ D) + ∂x(ζ E)]

    ζ = ∂x v - ∂y u, D = ∂x v + ∂y u, E = ∂x u - ∂y v with eddy velocities, in 1/s. The isotropic
    part ½ (ζ² + D² + E²) is a pressure and drops out of the curl, so it is never computed. κ =
    `kappa` in m², negative; -46761284 m² is pyqg's value, fitted at one resolution and not scaled
    with Δ. Quadratic in the state, linear in κ; keeps each layer's mean. Its energy exchange has no
    fixed sign. Against the forcing of 256² flow on 64² by operator 1 (eddy) its correlation was
    measured at -0.2 to -0.4 in the upper layer, 0 in the lower: that coarsening is not the
    Gaussian one for which it was found.

    Source: Zanna & Bolton 2020, Geophys. Res. Lett. 47, doi:10.1029/2020GL088376. Raises TypeError
    for another system.
    """

    citations = ("zanna2020",)

    _system: Fixed[TwoLayerQG] = eqx.field(metadata=fixed_as("system"))
    kappa: Float[Array, ""]

    def __init__(self, system: AbstractSystem, kappa: ArrayLike = -46761284.0):
        self._system = Fixed(checked_system(system, TwoLayerQG, "ZannaBolton2020"))
        self.kappa = as_parameter("kappa", kappa, self.system)

    @property
    def claims(self) -> tuple[str, ...]:
        """Return what holds of every increment."""
        return ("conserves mean", "translation invariant")

    def __call__(
        self, state: QGState, memory: PyTree = None, forcing: PyTree = None
    ) -> tuple[QGState, PyTree]:
        """Return the increment (1/s²) and the memory it got."""
        grid = self.system.grid
        k, l = derivative_wavenumbers(grid)
        psi = streamfunction_hat(self.system, state)
        factors = (-(k**2 + l**2), l**2 - k**2, 2 * k * l)
        vorticity, shear, stretch = to_real(jnp.stack([times(f, psi) for f in factors]), grid)
        stress = curl_of_stress(-vorticity * shear, vorticity * stretch, grid)
        return QGState(self.kappa * stress), memory
