"""Construction, checks and diagnostics of the two-layer QG system."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from subgrid.errors import ConfigError
from subgrid.systems import SYSTEMS, TwoLayerQG


def test_settings_build_the_same_system_again():
    system = TwoLayerQG(16, ny=24, configuration="jet", beta=2e-11, filter_sharpness=5.0)
    again = TwoLayerQG(**system.settings())
    assert jax.tree.structure(again) == jax.tree.structure(system)
    jax.tree.map(np.testing.assert_array_equal, again, system)


def test_another_size_keeps_constants_and_domain():
    coarse = TwoLayerQG(32, ny=48, configuration="jet", beta=2e-11).at(16)
    assert coarse.grid.shape == (24, 16)
    assert coarse.grid.length_y == pytest.approx(1.5e6)
    assert float(coarse.constants["beta"]) == pytest.approx(2e-11)
    assert coarse.configuration == "jet"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"configuration": "edy"}, "Did you mean 'eddy'"),
        ({"betta": 1.0}, "Did you mean 'beta'"),
        ({"nx": 15}, "even"),
        ({"deformation_radius": 0.0}, "deformation_radius must be positive"),
        ({"bottom_drag": -1.0}, "must not be negative"),
        ({"dtype": jnp.float16}, "float32 or float64"),
        ({"dtype": np.float64}, "jax_enable_x64"),
    ],
)
def test_bad_arguments_are_named(arguments, text):
    with pytest.raises((ConfigError, ValueError), match=text):
        TwoLayerQG(**{"nx": 16, **arguments})


def test_registry_knows_the_system():
    assert SYSTEMS.get("qg") is TwoLayerQG


def test_stable_step_is_the_courant_limit_of_the_total_velocity():
    system = TwoLayerQG(32)
    state = system.initial_state(key=jax.random.key(0))
    state = jax.tree.map(lambda q: 100 * q, state)
    east, north = system.velocity(state)
    total = east + jnp.array([0.025, 0.0])[:, None, None]
    fastest = max(float(jnp.abs(total).max()), float(jnp.abs(north).max()))
    wanted = 0.7 * system.grid.dx / fastest
    np.testing.assert_allclose(float(system.largest_dt(state)), wanted, rtol=1e-6)


def test_diagnostics_of_one_wave_match_the_integrals_by_hand():
    """ψ₁ = a cos(kx), ψ₂ = 0: KE₁ = ¼ a²k², APE = ¼ r_d⁻² δ₁ δ₂ a²."""
    system = TwoLayerQG(32)
    k, a = 2 * np.pi * 3 / 1e6, 1e3
    f_upper, f_lower = (float(f) for f in system.stretching)
    psi = a * np.cos(k * system.grid.x)[None, :] * np.ones((32, 1))
    q = np.stack([-(k**2 + f_upper) * psi, f_lower * psi]).astype(np.float32)
    found = system.diagnostics(system.State(jnp.asarray(q)))
    np.testing.assert_allclose(found["kinetic_energy_layers"][0], a**2 * k**2 / 4, rtol=1e-5)
    np.testing.assert_allclose(found["kinetic_energy"], 0.2 * a**2 * k**2 / 4, rtol=1e-5)
    ape = 0.2 * 0.8 * a**2 / 15000.0**2 / 4
    np.testing.assert_allclose(found["available_potential_energy"], ape, rtol=1e-5)
    np.testing.assert_allclose(found["enstrophy_layers"], 0.5 * (q**2).mean((-2, -1)), rtol=1e-5)


def test_streamfunction_gives_back_pv():
    system = TwoLayerQG(32)
    q = 1e-5 * jax.random.normal(jax.random.key(2), (2, 32, 32))
    psi = system.streamfunction(system.State(q))
    hat = np.fft.rfft2(np.asarray(psi, np.float64))
    laplacian = np.fft.irfft2(-system.grid.wavenumber_squared * hat)
    f_upper, f_lower = (float(f) for f in system.stretching)
    again = laplacian + np.stack([f_upper * (psi[1] - psi[0]), f_lower * (psi[0] - psi[1])])
    wanted = q - q.mean((-2, -1), keepdims=True)
    # float32 inversion: ψ carries 1e-7 of its largest scales into the smallest
    np.testing.assert_allclose(again, wanted, rtol=0, atol=1e-4 * float(jnp.abs(q).max()))
