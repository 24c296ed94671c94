"""Closures of two-layer QG that are formulas of the streamfunction: what each adds to ∂q/∂t.

Eddy velocities and their derivatives are spectral, products are not dealiased. Each keeps the mean
of each layer.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Complex, Float

from subgrid.closures.formula import AbstractFormula, as_parameter, held
from subgrid.closures.operators import mean_product, root, times, times_i, to_real, wavenumbers
from subgrid.grids import PeriodicGrid, derivative_wavenumbers
from subgrid.nn import Fixed, fixed_as
from subgrid.systems import AbstractSystem, TwoLayerQG
from subgrid.systems.qg import QGState

# Weights w₁ … w₇ (rows) for the upper and the lower layer, SI units; Ross et al. 2023, notebook
PUBLISHED_WEIGHTS = np.array(
    [
        [1.4077349573135765e7, 5.196460289865505e6],
        [1.9300721349777748e15, 7.031351150824246e14],
        [2.3311494532833229e22, 1.130130768679029e11],
        [1.18280244300e9, 8.654265196250e8],
        [1.1410567621344224e17, 7.496556547888773e16],
        [-6.7029178551956909e10, -8.300923156070618e11],
        [8.9901990193476257e10, 9.790139405295905e11],
    ]
)


class Smagorinsky(AbstractFormula[TwoLayerQG]):
    """Smagorinsky's (1963) eddy viscosity in each layer of two-layer QG: takes energy out.

        ∂q/∂t += ∂x F_y - ∂y F_x,   ν = (C Δ)² √(2 (S_xx² + S_yy² + 2 S_xy²))
        F_x = 2 [∂x(ν S_xx) + ∂y(ν S_xy)],   F_y = 2 [∂x(ν S_xy) + ∂y(ν S_yy)]

    S_xx = ∂x u = -S_yy, S_xy = ½ (∂y u + ∂x v) with eddy velocities, in 1/s; ν in m²/s; Δ = √(Δx
    Δy) in m (pyqg uses Δx; the same on square cells). C = `constant`, dimensionless: 0.15 in Ross
    et al. 2023 (JAMES 15, e2022MS003258), 0.1 in pyqg. The increment is quadratic in the state; the
    power that it takes from each layer is exactly <2 ν (S_xx² + S_yy² + 2 S_xy²)> in discrete sums.

    Source: Smagorinsky 1963, Mon. Weather Rev. 91, 99. Raises TypeError for another system.
    """

    citations = ("smagorinsky1963",)
    claims = ("conserves mean", "dissipates energy", "translation invariant")

    _system: Fixed[TwoLayerQG] = eqx.field(metadata=fixed_as("system"))
    constant: Float[Array, ""]

    def __init__(self, system: AbstractSystem, constant: ArrayLike = 0.15):
        self._system = held(system, TwoLayerQG, "Smagorinsky")
        self.constant = as_parameter("constant", constant, system)

    def increment(self, state: QGState) -> QGState:
        """Return the increment, 1/s²."""
        grid = self.system.grid
        stretch, shear = _half_strain(_streamfunction_hat(self.system, state), grid)
        viscosity = _eddy_viscosity(stretch, shear, self.constant, grid)
        return QGState(2 * _curl_of_stress(viscosity * stretch, viscosity * shear, grid))


class BackscatterBiharmonic(AbstractFormula[TwoLayerQG]):
    """Biharmonic Smagorinsky dissipation with a uniform negative viscosity that returns its energy.

        ∂q/∂t += d - C_b B [Σ_i H_i <ψ_i d_i>] / [Σ_i H_i <ψ_i B_i>]
        B = ∇⁴ψ,   d = -∇²(Δ² ν B),   ν = (C_s Δ)² √(2 (S_xx² + S_yy² + 2 S_xy²))

    C_s = `smagorinsky_constant`, C_b = `backscatter_constant`, dimensionless; Δ = √(Δx Δy) in m;
    <·> is the domain mean. -Σ H_i <ψ_i d_i> is the power that d takes from the flow; the second
    term returns C_b of it, at larger scales, so the increment as a whole changes the energy by (1 -
    C_b) times what d does: C_b = 1 conserves it. Quadratic in the state. Defaults: eddy
    configuration of Ross et al. 2023 (JAMES 15, e2022MS003258), √0.007 and 1.2; its jet needs other
    constants (√0.005 and 0.8 in Perezhogin et al. 2023). pyqg's defaults are 0.08 and 0.99.

    Source: Jansen & Held 2014, Ocean Modelling 80, doi:10.1016/j.ocemod.2014.06.002; Jansen et al.
    2015, Ocean Modelling 94, doi:10.1016/j.ocemod.2015.05.007. Raises TypeError for another system.
    """

    citations = ("jansen2014", "ross2023")
    claims = ("conserves mean", "translation invariant")

    _system: Fixed[TwoLayerQG] = eqx.field(metadata=fixed_as("system"))
    smagorinsky_constant: Float[Array, ""]
    backscatter_constant: Float[Array, ""]

    def __init__(
        self,
        system: AbstractSystem,
        smagorinsky_constant: ArrayLike = 0.007**0.5,
        backscatter_constant: ArrayLike = 1.2,
    ):
        self._system = held(system, TwoLayerQG, "BackscatterBiharmonic")
        self.smagorinsky_constant = as_parameter(
            "smagorinsky_constant", smagorinsky_constant, system
        )
        self.backscatter_constant = as_parameter(
            "backscatter_constant", backscatter_constant, system
        )

    def increment(self, state: QGState) -> QGState:
        """Return the increment, 1/s²."""
        grid, weights = self.system.grid, self.system.layer_weights
        kappa2 = grid.wavenumber_squared
        psi = _streamfunction_hat(self.system, state)
        biharmonic = times(kappa2**2, psi)
        viscosity = _eddy_viscosity(*_half_strain(psi, grid), self.smagorinsky_constant, grid)
        damped = grid.dx * grid.dy * viscosity * to_real(biharmonic, grid)
        dissipation = times(kappa2, jnp.fft.rfft2(damped))
        removed = jnp.sum(weights * mean_product(psi, dissipation, grid))
        scale = jnp.sum(weights * mean_product(psi, biharmonic, grid))
        # `scale` is a mean square, zero only at rest, where `removed` is zero as well
        share = removed / jnp.where(scale > 0, scale, 1.0)
        total = dissipation - times(self.backscatter_constant * share, biharmonic)
        return QGState(to_real(total, grid))


class ZannaBolton2020(AbstractFormula[TwoLayerQG]):
    """Zanna & Bolton's (2020) momentum closure found by relevance vector machines, as PV forcing.

        ∂q/∂t += ∂x F_y - ∂y F_x
        F_x = κ [∂x(½ (ζ² + D² + E²) - ζ D) + ∂y(ζ E)]
        F_y = κ [∂y(½ (ζ² + D² + E²) + ζ D) + ∂x(ζ E)]

    ζ = ∂x v - ∂y u, D = ∂x v + ∂y u, E = ∂x u - ∂y v with eddy velocities, in 1/s. The isotropic
    part ½ (ζ² + D² + E²) is a pressure and drops out of the curl, so it is never computed. κ =
    `kappa` in m², negative; -46761284 m² is pyqg's value, fitted at one resolution and not scaled
    with Δ. Quadratic in the state, linear in κ. Its energy exchange has no fixed sign. Against the
    forcing of 256² flow on 64² by operator 1 (eddy) its correlation was measured at -0.2 to -0.4 in
    the upper layer, 0 in the lower: that coarsening is not the Gaussian one for which it was found.

    Source: Zanna & Bolton 2020, Geophys. Res. Lett. 47, doi:10.1029/2020GL088376. Raises TypeError
    for another system.
    """

    citations = ("zanna2020",)
    claims = ("conserves mean", "translation invariant")

    _system: Fixed[TwoLayerQG] = eqx.field(metadata=fixed_as("system"))
    kappa: Float[Array, ""]

    def __init__(self, system: AbstractSystem, kappa: ArrayLike = -46761284.0):
        self._system = held(system, TwoLayerQG, "ZannaBolton2020")
        self.kappa = as_parameter("kappa", kappa, system)

    def increment(self, state: QGState) -> QGState:
        """Return the increment, 1/s²."""
        grid = self.system.grid
        k, l = derivative_wavenumbers(grid)
        psi = _streamfunction_hat(self.system, state)
        factors = (-(k**2 + l**2), l**2 - k**2, 2 * k * l)
        vorticity, shear, stretch = to_real(jnp.stack([times(f, psi) for f in factors]), grid)
        return QGState(self.kappa * _curl_of_stress(-vorticity * shear, vorticity * stretch, grid))


class HybridSymbolic(AbstractFormula[TwoLayerQG]):
    """The hybrid symbolic closure of Ross et al. (2023): seven terms found by genetic programming.

        ∂q/∂t += w₁ ∇²Aq + w₂ ∇⁴Aq + w₃ ∇⁶Aq + w₄ ∇⁴q + w₅ ∇⁶q + w₆ AA(∂x ∇²v) + w₇ AA(∂y ∇²u)
        Ax = ∂x((u + U) x) + ∂y(v x)

    w_i = `weights` [7, level] in SI units (w₁: m², w₂: m⁴, w₃: m⁶, w₄: m⁴/s, w₅: m⁶/s, w₆, w₇:
    m²·s). The default ones were fitted to the forcing of 256² flow on 64² by operator 1 in the eddy
    configuration (correlation there about 0.87 and 0.82). They carry dimensions and know no grid
    length: on other grids, filters or configurations fit them again. Linear in `weights`.

    Source: Ross et al. 2023, JAMES 15, e2022MS003258, doi:10.1029/2022MS003258. Raises TypeError
    for another system.
    """

    citations = ("ross2023",)
    claims = ("conserves mean", "translation invariant")

    _system: Fixed[TwoLayerQG] = eqx.field(metadata=fixed_as("system"))
    weights: Float[Array, "7 level"]

    def __init__(self, system: AbstractSystem, weights: ArrayLike = PUBLISHED_WEIGHTS):
        self._system = held(system, TwoLayerQG, "HybridSymbolic")
        self.weights = as_parameter("weights", weights, system, (7, 2))

    def increment(self, state: QGState) -> QGState:
        """Return the increment, 1/s²."""
        grid, w = self.system.grid, self.weights[:, :, None, None]
        k, l = wavenumbers(grid)
        # powers are formed in float64: a product of single-precision wavenumbers would lose digits
        squared, fourth, sixth = (jnp.asarray((k**2 + l**2) ** n, state.q.dtype) for n in (1, 2, 3))
        psi = _streamfunction_hat(self.system, state)
        # A is linear, so the last two terms share both advections: A A (w₆ ∂x∇²v + w₇ ∂y∇²u)
        curvature = w[5] * jnp.asarray(k**2, w.dtype) - w[6] * jnp.asarray(l**2, w.dtype)
        fields = to_real(
            jnp.stack([times_i(-l, psi), times_i(k, psi), times(squared * curvature, psi)]), grid
        )
        velocity = (fields[0] + self.system.background_velocity, fields[1])
        advected_q, advected = self._advect(velocity, jnp.stack([state.q, fields[2]]))
        twice_advected = self._advect(velocity, to_real(advected, grid)[None])[0]
        of_advection = -w[0] * squared + w[1] * fourth - w[2] * sixth
        of_vorticity = w[3] * fourth - w[4] * sixth
        total = times(of_advection, advected_q) + twice_advected
        total = total + times(of_vorticity, jnp.fft.rfft2(state.q))
        return QGState(to_real(total, grid))

    def _advect(
        self, velocity: tuple[Array, Array], fields: Float[Array, "field level y x"]
    ) -> Array:
        """Return the transforms of ∂x((u + U) x) + ∂y(v x) for each field x."""
        k, l = wavenumbers(self.system.grid)
        east, north = (component[None] for component in velocity)
        hat = jnp.fft.rfft2(jnp.stack([east * fields, north * fields]))
        return times_i(k, hat[0]) + times_i(l, hat[1])


def _streamfunction_hat(system: TwoLayerQG, state: QGState) -> Complex[Array, "level l k"]:
    """Return the transform of ψ in m²/s."""
    psi = system.invert(state)
    return jax.lax.complex(psi.real, psi.imag)


def _half_strain(
    psi: Complex[Array, "level l k"], grid: PeriodicGrid
) -> tuple[Float[Array, "level y x"], Float[Array, "level y x"]]:
    """Return S_xx = ∂x u and S_xy = ½ (∂y u + ∂x v) in 1/s; S_yy is -S_xx."""
    k, l = derivative_wavenumbers(grid)
    fields = to_real(jnp.stack([times(k * l, psi), times((l**2 - k**2) / 2, psi)]), grid)
    return fields[0], fields[1]


def _eddy_viscosity(
    stretch: Float[Array, "level y x"],
    shear: Float[Array, "level y x"],
    constant: Float[Array, ""],
    grid: PeriodicGrid,
) -> Float[Array, "level y x"]:
    """Return ν = 2 (C Δ)² √(S_xx² + S_xy²) in m²/s."""
    return 2 * (grid.dx * grid.dy) * constant**2 * root(stretch**2 + shear**2)


def _curl_of_stress(
    diagonal: Float[Array, "level y x"], cross: Float[Array, "level y x"], grid: PeriodicGrid
) -> Float[Array, "level y x"]:
    """Return ∂x F_y - ∂y F_x of the force F = (∂x a + ∂y b, ∂x b - ∂y a), a traceless stress.

    a = `diagonal`, b = `cross`; in spectra the curl is 2 k l â + (l² - k²) b̂: one transform of
    each.
    """
    k, l = derivative_wavenumbers(grid)
    hat = jnp.fft.rfft2(jnp.stack([diagonal, cross]))
    return to_real(times(2 * k * l, hat[0]) + times(l**2 - k**2, hat[1]), grid)
