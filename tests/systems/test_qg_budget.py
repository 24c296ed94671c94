"""The terms of the spectral budget against waves whose interaction is worked out by hand.

cos and sin have a mean square of 1/2, a product of two sines in x and y one of 1/4. Constants of
the eddy configuration; domain 10⁶ m.
"""

import jax.numpy as jnp
import numpy as np
import pytest

from subgrid.systems import TwoLayerQG

KX, LY = 3, 2  # waves per domain
UNIT = 2 * np.pi / 1.0e6
K, L = KX * UNIT, LY * UNIT
A, B, C = 2.0e3, -1.5e3, 0.7e3  # amplitudes of ψ, m²/s


@pytest.fixture
def system(float64):
    return TwoLayerQG(32, dtype=jnp.float64)


@pytest.fixture
def phases(system):
    """Return kx and ly on the grid."""
    x, y = np.meshgrid(system.grid.x, system.grid.y)
    return K * x, L * y


def state_of(system, upper, lower):
    """Return the state with these streamfunctions, by the definition of q."""
    f_upper, f_lower = (float(f) for f in system.stretching)

    def laplacian(field):
        hat = -system.grid.wavenumber_squared * np.fft.rfft2(field)
        return np.fft.irfft2(hat, s=field.shape)

    return system.State(
        jnp.asarray(
            np.stack(
                [
                    laplacian(upper) + f_upper * (lower - upper),
                    laplacian(lower) + f_lower * (upper - lower),
                ]
            )
        )
    )


def gain(density, kx, ly):
    """Return what the waves (±kx, ±ly) gain: the half plane stands for both of its halves."""
    rows = {ly % density.shape[0], -ly % density.shape[0]}
    return sum(2 * float(density[row, kx]) for row in rows)


def weights(system):
    return [float(w) for w in np.ravel(system.layer_weights)]


def test_kinetic_energy_goes_to_the_third_wave_of_a_triad(system, phases):
    # J(ψ, ∇²ψ) of a cos kx + b cos ly is a b k l (k² - l²) sin kx sin ly
    kx, ly = phases
    upper = A * np.cos(kx) + B * np.cos(ly) + C * np.sin(kx) * np.sin(ly)
    budget = system.spectral_budget(state_of(system, upper, 0 * upper))
    wanted = weights(system)[0] * A * B * C * K * L * (K**2 - L**2) / 4
    assert gain(budget["kinetic_energy_flux"], KX, LY) == pytest.approx(wanted, rel=1e-9)
    scale = abs(wanted)
    # the stretching is along ψ: its advection does nothing
    np.testing.assert_allclose(budget["potential_energy_flux"], 0, atol=1e-9 * scale)
    np.testing.assert_allclose(budget["bottom_drag"], 0, atol=1e-9 * scale)
    # the triad as a whole gains nothing
    total = sum(
        gain(budget["kinetic_energy_flux"], *wave) for wave in ((KX, LY), (KX, 0))
    ) + 2 * float(budget["kinetic_energy_flux"][LY, 0])
    assert total == pytest.approx(0, abs=1e-9 * scale)


def test_potential_energy_goes_where_the_layers_advect_each_other(system, phases):
    # the upper layer advects F₁ψ₂: J(a cos kx, F₁ b cos ly) = F₁ a b k l sin kx sin ly
    kx, ly = phases
    upper = A * np.cos(kx) + C * np.sin(kx) * np.sin(ly)
    budget = system.spectral_budget(state_of(system, upper, B * np.cos(ly)))
    f_upper = float(system.stretching[0])
    wanted = weights(system)[0] * f_upper * A * B * C * K * L / 4
    assert gain(budget["potential_energy_flux"], KX, LY) == pytest.approx(wanted, rel=1e-9)
    assert gain(budget["kinetic_energy_flux"], KX, LY) == pytest.approx(0, abs=1e-9 * abs(wanted))


def test_shear_generates_and_drag_takes_by_hand(system, phases):
    # ψ₁ = a cos kx, ψ₂ = b sin kx: U₁ ⟨ψ₁ ∂S₁/∂x⟩ with S₁ = F₁(ψ₂ - ψ₁); U₂ = 0
    kx, _ = phases
    state = state_of(system, A * np.cos(kx), B * np.sin(kx))
    budget = system.spectral_budget(state)
    upper, lower = weights(system)
    velocity, f_upper = float(system.constants["upper_velocity"]), float(system.stretching[0])
    generation = upper * velocity * f_upper * A * B * K / 2
    assert gain(budget["potential_energy_generation"], KX, 0) == pytest.approx(generation, rel=1e-9)
    drag = -lower * float(system.constants["bottom_drag"]) * K**2 * B**2 / 2
    assert gain(budget["bottom_drag"], KX, 0) == pytest.approx(drag, rel=1e-9)


def test_the_work_of_a_closure_is_shared_out_by_hand(system, phases):
    # an increment s cos kx of q₁ on ψ₁ = a cos kx, ψ₂ = 0: -δ₁ a s/2, of which the kinetic part is
    # the share (k² + F₂)/(k² + F₁ + F₂) that the inversion leaves to ψ₁
    kx, _ = phases
    state = state_of(system, A * np.cos(kx), 0 * kx)
    amplitude = 3.0e-12
    increment = system.State(jnp.asarray(np.stack([amplitude * np.cos(kx), 0 * kx])))
    without, with_closure = system.observe(state), system.observe(state, increment)
    f_upper, f_lower = (float(f) for f in system.stretching)
    total = -weights(system)[0] * A * amplitude / 2
    share = (K**2 + f_lower) / (K**2 + f_upper + f_lower)

    def added(name):
        return gain(with_closure[name] - without[name], KX, 0)

    assert added("kinetic_energy_flux") == pytest.approx(share * total, rel=1e-9)
    assert added("potential_energy_flux") == pytest.approx((1 - share) * total, rel=1e-9)
