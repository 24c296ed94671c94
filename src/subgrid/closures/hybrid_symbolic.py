"""The closure found by symbolic regression and fitted by least squares in Ross et al. (2023)."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PyTree

from subgrid.closures._of_system import AbstractClosureOfSystem, checked_system
from subgrid.closures._parameters import as_parameter
from subgrid.closures._quasigeostrophic import streamfunction_hat
from subgrid.closures._spectral import times, times_i, to_real, wavenumbers
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


class HybridSymbolic(AbstractClosureOfSystem[TwoLayerQG]):
    """The hybrid symbolic closure of Ross et al. (2023): seven terms found by genetic programming.

        ∂q/∂t += w₁ ∇²Aq + w₂ ∇⁴Aq + w₃ ∇⁶Aq + w₄ ∇⁴q + w₅ ∇⁶q + w₆ AA(∂x ∇²v) + w₇ AA(∂y ∇²u)
        Ax = ∂x((u + U) x) + ∂y(v x)

    w_i = `weights` [7, level] in SI units (w₁: m², w₂: m⁴, w₃: m⁶, w₄: m⁴/s, w₅: m⁶/s, w₆, w₇:
    m²·s). The default ones were fitted to the forcing of 256² flow on 64² by operator 1 in the eddy
    configuration (correlation there about 0.87 and 0.82). They carry dimensions and know no grid
    length: on other grids, filters or configurations fit them again. Linear in `weights`; keeps
    each layer's mean.

    Source: Ross et al. 2023, JAMES 15, e2022MS003258, doi:10.1029/2022MS003258. Raises TypeError
    for another system.
    """

    citations = ("ross2023",)

    _system: Fixed[TwoLayerQG] = eqx.field(metadata=fixed_as("system"))
    weights: Float[Array, "7 level"]

    def __init__(self, system: AbstractSystem, weights: ArrayLike = PUBLISHED_WEIGHTS):
        self._system = Fixed(checked_system(system, TwoLayerQG, "HybridSymbolic"))
        self.weights = as_parameter("weights", weights, self.system, (7, 2))

    @property
    def claims(self) -> tuple[str, ...]:
        """Return what holds of every increment."""
        return ("conserves mean", "translation invariant")

    def __call__(
        self, state: QGState, memory: PyTree = None, forcing: PyTree = None
    ) -> tuple[QGState, PyTree]:
        """Return the increment (1/s²) and the memory it got."""
        grid, w = self.system.grid, self.weights[:, :, None, None]
        k, l = wavenumbers(grid)
        # powers are formed in float64: a product of single-precision wavenumbers would lose digits
        squared, fourth, sixth = (jnp.asarray((k**2 + l**2) ** n, state.q.dtype) for n in (1, 2, 3))
        psi = streamfunction_hat(self.system, state)
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
        return QGState(to_real(total, grid)), memory

    def _advect(
        self, velocity: tuple[Array, Array], fields: Float[Array, "field level y x"]
    ) -> Array:
        """Return the transforms of ∂x((u + U) x) + ∂y(v x) for each field x."""
        k, l = wavenumbers(self.system.grid)
        east, north = (component[None] for component in velocity)
        hat = jnp.fft.rfft2(jnp.stack([east * fields, north * fields]))
        return times_i(k, hat[0]) + times_i(l, hat[1])
