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


def _amplitude(system: TwoLayerQG, q: jax.Array, mode: tuple[int, int]) -> jax.Array:
    """Return the complex amplitude of a wave e^{i(kx + ly)} in q [..., level, y, x], by level."""
    phase = (
        2 * np.pi * mode[0] / system.grid.length_x * system.grid.x[None, :]
        + 2 * np.pi * mode[1] / system.grid.length_y * system.grid.y[:, None]
    )
    weights = jnp.asarray(np.exp(-1j * phase)).reshape((1,) * (q.ndim - 2) + phase.shape)
    return 2 * jnp.mean(q * weights, axis=(-2, -1))


@pytest.mark.parametrize(
    ("configuration", "slowest"), [("eddy", 180), pytest.param("jet", 300, marks=pytest.mark.slow)]
)
def test_the_flow_is_baroclinically_unstable_near_the_deformation_radius(configuration, slowest):
    """The fastest wave grows out of noise in a rollout, at the rate of the linear theory."""
    system = TwoLayerQG(32, configuration=configuration, dtype=jnp.float64)
    waves = 2 * np.pi / system.grid.length_x * np.arange(1, 16)
    growth = [np.linalg.eigvals(_linear_matrix(system, k, 0.0)).real.max() for k in waves]
    number = int(np.argmax(growth))
    assert 1 / max(growth) < slowest * 86400  # time to grow by e
    assert 0.3 < waves[number] * 15000.0 < 1.5
    noise = 1e-14 * jax.random.normal(jax.random.key(5), (2, 32, 32))  # linear to the end
    steps, dt = 12000, 7200.0  # 1000 days: what decays is gone after the first half
    run = rollout(system.model(dt, scheme=RK4()), system.State(noise), steps, steps // 2)
    first, second = jnp.abs(_amplitude(system, run.states.q, (number + 1, 0)))[:, 0]
    measured = float(jnp.log(second / first)) / (steps // 2 * dt)
    # the second mode decays by more than 1e-4 relative to the first in 500 days
    np.testing.assert_allclose(measured, max(growth), rtol=1e-3)


def test_without_shear_nothing_grows():
    system = TwoLayerQG(32, dtype=jnp.float64, upper_velocity=0.0)
    start = system.State(_turbulence(system))
    end = rollout(system.model(3600.0, scheme=RK4()), start, 2000, 2000).states

    def energy(state):
        found = system.diagnostics(state)
        return float(found["kinetic_energy"] + found["available_potential_energy"])

    assert 0 < energy(jax.tree.map(lambda q: q[0], end)) < energy(start)


@pytest.mark.parametrize("mode", [(2, 1), (1, 3)])
@pytest.mark.parametrize("kind", ["barotropic", "baroclinic"])
def test_rossby_waves_without_shear_have_their_frequencies(kind, mode):
    """ω = -βk/(κ² [+ 1/r_d²]), in the tendency and in the phase that turns during a rollout.

    A single wave does not advect itself, whatever its amplitude: the whole nonlinear model must
    turn it. Barotropic: ψ₁ = ψ₂; baroclinic: H₁ψ₁ = -H₂ψ₂.
    """
    system = TwoLayerQG(32, ny=24, dtype=jnp.float64, upper_velocity=0.0, bottom_drag=0.0)
    k, l = 2 * np.pi * mode[0] / system.grid.length_x, 2 * np.pi * mode[1] / system.grid.length_y
    screening = k**2 + l**2 + (0.0 if kind == "barotropic" else 15000.0**-2)
    frequency = -1.5e-11 * k / screening
    ratio = 0.25  # H₁/H₂; both modes have q = -screening ψ in each layer
    # so small that the instability of the wave itself does not grow from rounding to 1e-7 of it
    vector = 1e-8 * np.array([1.0, 1.0 if kind == "barotropic" else -ratio], complex)
    start = system.State(_wave(system, mode, vector))
    rate = _amplitude(system, system.tendency(start).q, mode)
    np.testing.assert_allclose(rate, -1j * frequency * vector, rtol=0, atol=1e-9 * abs(rate[0]))
    # 40 frames of a tenth of a period: four periods, and no phase is ambiguous
    dt = 2 * np.pi / abs(frequency) / 10 / 50
    run = rollout(system.model(dt, scheme=RK4()), start, 2000, 50)
    turned = np.unwrap(np.angle(_amplitude(system, run.states.q, mode)[:, 0]))
    measured = -(turned[-1] - turned[0]) / (39 * 50 * dt)
    # RK4's phase error: (ω dt)⁴/120 of the phase, 2e-9
    np.testing.assert_allclose(measured, frequency, rtol=1e-7)
    sizes = jnp.abs(_amplitude(system, run.states.q[-1], mode))
    np.testing.assert_allclose(sizes, np.abs(vector), rtol=1e-7)


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


@pytest.mark.parametrize("dealias", [False, True])
@pytest.mark.parametrize("sharpness", [0.0, 1.0, 20.0])
def test_spectral_budget_sums_to_the_change_of_energy(dealias, sharpness):
    """Without `dt` to the change by the tendency, with it to that of an Euler step with filter."""
    system = TwoLayerQG(32, ny=24, dtype=jnp.float64, dealias=dealias, filter_sharpness=sharpness)
    # up to the smallest scales, where the filter acts; a dealiased model leaves none above 2/3.
    # Nyquist waves, of which a real field holds a part only, are left out
    hat = jnp.fft.rfft2(1e-5 * jax.random.normal(jax.random.key(3), (2, 24, 32)))
    noise = system.State(jnp.fft.irfft2(hat.at[:, 12].set(0).at[:, :, 16].set(0)))
    state = system.to_state(system.after_step(system.to_evolved(noise)))
    increment = system.State(1e-6 * _turbulence(system, 1e-5))
    dt = 3600.0
    half = np.full(system.grid.nx // 2 + 1, 2.0)
    half[[0, -1]] = 1.0

    def total(terms):
        assert tuple(terms) == TERMS
        return sum(float(jnp.sum(term * half[None, :])) for term in terms.values())

    def energy(q):
        found = system.diagnostics(system.State(q))
        return found["kinetic_energy"] + found["available_potential_energy"]

    slope, rate = jax.grad(energy)(state.q), system.tendency(state, increment).q
    # the same sums of products in another order; terms of either sign cancel to a few percent
    np.testing.assert_allclose(
        total(system.spectral_budget(state, increment)), float(jnp.vdot(slope, rate)), rtol=1e-9
    )
    stepped = system.to_evolved(system.State(state.q + dt * rate))
    change = (system.to_state(system.after_step(stepped)).q - state.q) / dt
    terms = system.spectral_budget(state, increment, dt)
    np.testing.assert_allclose(total(terms), float(jnp.vdot(slope, change)), rtol=1e-9)
    assert (float(terms["filter_dissipation"].sum()) < 0) == (sharpness > 0 or dealias)


def test_filter_dissipation_is_a_loss_where_the_filter_acts():
    system = TwoLayerQG(32, dtype=jnp.float64)
    noise = 1e-5 * jax.random.normal(jax.random.key(0), (2, 32, 32))
    terms = system.spectral_budget(system.State(noise), dt=3600.0)
    assert float(terms["filter_dissipation"].sum()) < 0
    assert float(jnp.abs(terms["filter_dissipation"][:8, :8]).max()) == 0
