"""Which wavenumbers gain and lose energy in two-layer quasi-geostrophic flow, and by what."""

from typing import TYPE_CHECKING

import jax.numpy as jnp
from jaxtyping import Array, Float

from subgrid.grids import derivative_wavenumbers, two_thirds_mask

if TYPE_CHECKING:
    from subgrid.systems.qg import QGState, TwoLayerQG

TERMS = (
    "kinetic_energy_flux",
    "potential_energy_flux",
    "potential_energy_generation",
    "bottom_drag",
    "filter_dissipation",
    "closure",
)


def spectral_budget(
    system: "TwoLayerQG",
    state: "QGState",
    closure_increment: "QGState | None" = None,
    dt: float | None = None,
) -> dict[str, Float[Array, "l k"]]:
    """Return the spectral density [ny, nx//2+1] of each term of the energy budget, m²/s³.

    The energy per wavenumber, ½ Σ_i δ_i κ²|ψ̂_i|² + ½ δ₁ F₁ |ψ̂₁ - ψ̂₂|² over M², changes by
    -Σ_i δ_i Re{ψ̂_i* (∂q̂_i/∂t)}/M², and each term of ∂q/∂t gives one term of the budget, with
    A_i(a) = F(∇·(u_i a)), ξ_i = ∇²ψ_i, S₁ = F₁(ψ₂ - ψ₁), S₂ = F₂(ψ₁ - ψ₂), δ_i = H_i/H:

    | key | density (positive = gain) |
    |---|---|
    | kinetic_energy_flux | Σ δ_i Re{ψ̂_i* A_i(ξ_i)} |
    | potential_energy_flux | Σ δ_i Re{ψ̂_i* A_i(S_i)} |
    | potential_energy_generation | Σ δ_i U_i k Re{i ψ̂_i* Ŝ_i} |
    | bottom_drag | -r δ₂ κ² |ψ̂₂|² |
    | filter_dissipation | -Σ δ_i Re{ψ̂_i* (filter - 1)(q̂_i + dt ∂q̂_i/∂t)}/dt; 0 without `dt` |
    | closure | -Σ δ_i Re{ψ̂_i* ĉ_i} for the increment c; 0 without one |

    All but the filter's sum exactly to the change of energy by the tendency: products are formed
    as in the tendency, so nothing is lost to aliasing (but of Nyquist waves, where there are any,
    since a real field holds only a part of them). In a statistically steady state the time
    mean of the sum of all terms vanishes. Definitions follow pyqg's diagnostics (KEflux, APEflux,
    APEgenspec, KEfrictionspec, Dissspec, paramspec), whose potential-energy flux differs from this
    one by aliasing only. `dt`: the step of the model in seconds.
    """
    weights = system.layer_weights[:, None, None]
    f_upper, f_lower = system.stretching
    psi = system.invert(state)
    psi_hat = psi.real + 1j * psi.imag
    kappa2 = jnp.asarray(system.grid.wavenumber_squared, system.dtype)[None]
    k = jnp.asarray(derivative_wavenumbers(system.grid)[0], system.dtype)[None]
    difference = psi_hat[1] - psi_hat[0]
    stretching = jnp.stack([f_upper * difference, -f_lower * difference])

    def work(rate: Array) -> Float[Array, "l k"]:
        power = jnp.sum(weights * (psi_hat.conj() * rate).real, axis=0)
        return -power / system.grid.size**2

    vorticity_flux = _advection(system, state, -kappa2 * psi_hat)
    stretching_flux = _advection(system, state, stretching)
    drag = jnp.stack([jnp.zeros_like(psi_hat[1]), system.constants["bottom_drag"] * psi_hat[1]])
    background = system.background_velocity
    zero = jnp.zeros(system.grid.spectral_shape, system.dtype)
    terms = {
        "kinetic_energy_flux": work(-vorticity_flux),
        "potential_energy_flux": work(-stretching_flux),
        "potential_energy_generation": work(-1j * k * background * stretching),
        "bottom_drag": work(kappa2 * drag),
        "filter_dissipation": zero,
        "closure": zero,
    }
    if dt is not None:
        terms["filter_dissipation"] = work(_filtered_away(system, state, closure_increment, dt))
    if closure_increment is not None:
        terms["closure"] = work(jnp.fft.rfft2(closure_increment.q))
    return terms


def _advection(system: "TwoLayerQG", state: "QGState", hat: Array) -> Array:
    """Return the transform of ∇·(u a), u the eddy velocity, from the transform of a."""
    east, north = system.velocity(state)
    field = jnp.fft.irfft2(hat, s=system.grid.shape)
    mask = two_thirds_mask(system.grid)[None] if system.dealias else 1.0
    k, l = (jnp.asarray(w, system.dtype)[None] for w in derivative_wavenumbers(system.grid))
    flux = 1j * k * jnp.fft.rfft2(east * field) + 1j * l * jnp.fft.rfft2(north * field)
    return flux * mask


def _filtered_away(
    system: "TwoLayerQG", state: "QGState", increment: "QGState | None", dt: float
) -> Array:
    """Return the rate at which the filter changes q̂ at the end of a step from `state`."""
    evolved = system.to_evolved(state)
    rate = system.evolved_tendency(evolved, increment)
    before = type(evolved)(evolved.real + dt * rate.real, evolved.imag + dt * rate.imag)
    after = system.after_step(before)
    return ((after.real - before.real) + 1j * (after.imag - before.imag)) / dt
