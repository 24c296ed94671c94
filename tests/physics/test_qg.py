"""Laws of the two-layer QG system: dispersion, instability, conservation, symmetry, gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from subgrid.stepping import RK4, rollout
from subgrid.systems import TwoLayerQG
from subgrid.systems.qg_budget import TERMS

pytestmark = pytest.mark.usefixtures("float64")
QUIET = {"bottom_drag": 0.0, "filter_sharpness": 0.0}


def _turbulence(system: TwoLayerQG, amplitude: float = 1e-5) -> jax.Array:
    """Return smooth random q: white noise cut to the lower third of the wavenumbers."""
    hat = jnp.fft.rfft2(jax.random.normal(jax.random.key(3), (2, *system.grid.shape)))
    keep = system.grid.wavenumber_squared < (system.grid.nyquist / 3) ** 2
    q = jnp.fft.irfft2(hat * keep[None], s=system.grid.shape)
    return amplitude * q / q.std()


def _linear_matrix(system: TwoLayerQG, k: float, l: float) -> np.ndarray:
    """Return L of dq̂/dt = L q̂ for one wave of infinitesimal amplitude."""
    c = {name: float(value) for name, value in system.constants.items()}
    upper = c["deformation_radius"] ** -2 / (1 + c["thickness_ratio"])
    lower = c["thickness_ratio"] * upper
    kappa2 = k**2 + l**2
    to_pv = np.array([[-kappa2 - upper, upper], [lower, -kappa2 - lower]])
    invert = np.linalg.inv(to_pv)
    shear = c["upper_velocity"] - c["lower_velocity"]
    gradient = np.diag([c["beta"] + upper * shear, c["beta"] - lower * shear])
    velocity = np.diag([c["upper_velocity"], c["lower_velocity"]])
    drag = np.diag([0.0, c["bottom_drag"] * kappa2])
    return -1j * k * (velocity + gradient @ invert) + drag @ invert


def _wave(system: TwoLayerQG, mode: tuple[int, int], vector: np.ndarray) -> jax.Array:
    """Return a real wave whose complex amplitudes are `vector`, x-index first in `mode`."""
    k, l = 2 * np.pi * mode[0] / system.grid.length_x, 2 * np.pi * mode[1] / system.grid.length_y
    phase = k * system.grid.x[None, :] + l * system.grid.y[:, None]
    return jnp.asarray((vector[:, None, None] * np.exp(1j * phase)).real)


@pytest.mark.parametrize("mode", [(1, 0), (3, 2), (5, 0)])
@pytest.mark.parametrize("configuration", ["eddy", "jet"])
def test_waves_grow_and_turn_as_the_dispersion_relation_says(configuration, mode):
    """Baroclinic growth rates and Rossby-wave frequencies of both eigenmodes."""
    system = TwoLayerQG(32, ny=24, configuration=configuration, dtype=jnp.float64)
    k, l = 2 * np.pi * mode[0] / system.grid.length_x, 2 * np.pi * mode[1] / system.grid.length_y
    values, vectors = np.linalg.eig(_linear_matrix(system, k, l))
    steps, dt = 400, 1800.0
    for value, vector in zip(values, vectors.T, strict=True):
        amplitude = 1e-14 * vector  # so small that the flow is linear
        start = system.State(_wave(system, mode, amplitude))
        end = rollout(system.model(dt, scheme=RK4()), start, steps, steps).states.q[0]
        expected = _wave(system, mode, amplitude * np.exp(value * steps * dt))
        # RK4's error over 8 days: (|λ| dt)⁵/120 per step, far below; the rest is rounding
        np.testing.assert_allclose(
            end, expected, rtol=0, atol=1e-6 * float(jnp.abs(expected).max())
        )


def test_eddy_configuration_is_baroclinically_unstable_near_the_deformation_radius():
    system = TwoLayerQG(32, dtype=jnp.float64)
    waves = 2 * np.pi / system.grid.length_x * np.arange(1, 16)
    growth = [np.linalg.eigvals(_linear_matrix(system, k, 0.0)).real.max() for k in waves]
    assert 1 / max(growth) < 180 * 86400  # e-folding within half a year
    assert 0.3 < waves[int(np.argmax(growth))] * 15000.0 < 1.5


def test_rossby_wave_without_shear_has_the_barotropic_frequency():
    system = TwoLayerQG(32, dtype=jnp.float64, upper_velocity=0.0, bottom_drag=0.0)
    k, l = 2 * np.pi * 2 / 1e6, 2 * np.pi * 1 / 1e6
    frequency = -np.linalg.eigvals(_linear_matrix(system, k, l)).imag
    barotropic = -1.5e-11 * k / (k**2 + l**2)
    baroclinic = -1.5e-11 * k / (k**2 + l**2 + 15000.0**-2)
    np.testing.assert_allclose(sorted(frequency), sorted([barotropic, baroclinic]), rtol=1e-9)


def test_energy_and_enstrophy_are_conserved_without_drag_shear_and_filter():
    # β = 0: with β the enstrophy of q alone is not conserved, only that of q + βy
    system = TwoLayerQG(48, dtype=jnp.float64, upper_velocity=0.0, beta=0.0, dealias=True, **QUIET)
    start = system.State(_turbulence(system))

    def invariants(state):
        found = system.diagnostics(state)
        energy = found["kinetic_energy"] + found["available_potential_energy"]
        return jnp.array([energy, *found["enstrophy_layers"]])

    end = rollout(system.model(900.0, scheme=RK4()), start, 200, 200).states
    before, after = invariants(start), invariants(jax.tree.map(lambda q: q[0], end))
    # RK4 at a Courant number of 0.05: relative drift per step below 1e-9
    np.testing.assert_allclose(after, before, rtol=1e-6)


@pytest.mark.parametrize("shift", [1, 7])
def test_shifting_in_x_commutes_with_a_step(shift):
    system = TwoLayerQG(32, ny=16, dtype=jnp.float64)
    q = _turbulence(system)
    model = system.model(3600.0)
    moved = rollout(model, system.State(jnp.roll(q, shift, axis=-1)), 5, 5).states.q
    then_moved = jnp.roll(rollout(model, system.State(q), 5, 5).states.q, shift, axis=-1)
    np.testing.assert_allclose(moved, then_moved, rtol=0, atol=1e-12 * float(jnp.abs(q).max()))


def test_mean_pv_is_conserved():
    system = TwoLayerQG(32, dtype=jnp.float64)
    q = _turbulence(system) + jnp.array([3e-6, -1e-6])[:, None, None]
    end = rollout(system.model(3600.0), system.State(q), 50, 50).states.q[0]
    np.testing.assert_allclose(end.mean((-2, -1)), q.mean((-2, -1)), rtol=1e-10)


def test_gradient_through_a_rollout_agrees_with_finite_differences():
    system = TwoLayerQG(16, dtype=jnp.float64)
    q = _turbulence(system)
    direction = 1e-5 * jax.random.normal(jax.random.key(9), q.shape)
    model = system.model(3600.0)

    def loss(q):
        return 1e10 * jnp.mean(
            rollout(model, system.State(q), 10, 10, checkpoint=True).states.q ** 2
        )

    exact = jnp.vdot(jax.grad(loss)(q), direction)
    step = 1e-4
    difference = (loss(q + step * direction) - loss(q - step * direction)) / (2 * step)
    # central difference: error of order step², 1e-8 relative to the third derivative
    np.testing.assert_allclose(exact, difference, rtol=1e-6)


def test_a_sweep_over_constants_compiles_once():
    traces = []

    @jax.jit
    def energy(system, q):
        traces.append(1)
        return system.diagnostics(system.State(q))["kinetic_energy"]

    q = _turbulence(TwoLayerQG(16, dtype=jnp.float64))
    energies = {
        float(energy(TwoLayerQG(16, dtype=jnp.float64, deformation_radius=radius), q))
        for radius in (10e3, 15e3, 20e3)
    }
    assert len(energies) == 3
    assert len(traces) == 1


def test_spectral_budget_sums_to_the_change_of_energy():
    system = TwoLayerQG(32, ny=24, dtype=jnp.float64)
    state = system.State(_turbulence(system))
    increment = system.State(1e-6 * _turbulence(system, 1e-5))
    terms = system.spectral_budget(state, increment)
    assert tuple(terms) == TERMS
    half = np.full(system.grid.nx // 2 + 1, 2.0)
    half[[0, -1]] = 1.0
    total = sum(float(jnp.sum(term * half[None, :])) for term in terms.values())

    def energy(q):
        found = system.diagnostics(system.State(q))
        return found["kinetic_energy"] + found["available_potential_energy"]

    rate = system.tendency(state, increment).q
    change = jnp.vdot(jax.grad(energy)(state.q), rate)
    # the same sum of products in another order
    np.testing.assert_allclose(total, float(change), rtol=1e-9)


def test_filter_dissipation_is_a_loss_where_the_filter_acts():
    system = TwoLayerQG(32, dtype=jnp.float64)
    noise = 1e-5 * jax.random.normal(jax.random.key(0), (2, 32, 32))
    terms = system.spectral_budget(system.State(noise), dt=3600.0)
    assert float(terms["filter_dissipation"].sum()) < 0
    assert float(jnp.abs(terms["filter_dissipation"][:8, :8]).max()) == 0
