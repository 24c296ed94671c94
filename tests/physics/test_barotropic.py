"""Laws of the barotropic vorticity equation, and its agreement with the finite-volume solver."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from subgrid.errors import ConfigError
from subgrid.grids.staggered import staggered_vorticity
from subgrid.stepping import AB3, rollout
from subgrid.systems import BarotropicState, BarotropicVorticity, KolmogorovFlow, KolmogorovState

pytestmark = pytest.mark.usefixtures("float64")
QUIET = {"viscosity": 0.0, "drag": 0.0, "forcing_amplitude": 0.0}


def _system(nx: int = 32, ny: int | None = None, **settings) -> BarotropicVorticity:
    return BarotropicVorticity(nx, ny, **{"length_x": 2 * np.pi, "dtype": jnp.float64, **settings})


def _end(system: BarotropicVorticity, state: BarotropicState, dt: float, steps: int, scheme=None):
    run = rollout(system.model(dt, scheme=scheme), state, steps, steps)
    assert int(run.blew_up_at) < 0
    return jax.tree.map(lambda x: x[0], run.states)


@pytest.mark.parametrize("mode", [(1, 0), (2, 3), (4, -1)])
def test_rossby_waves_turn_and_decay_as_the_dispersion_relation_says(mode):
    """A single wave does not advect itself: ω = -β k/κ² - i (r + ν κ²), whatever its amplitude."""
    system = _system(32, 48, beta=3.0, viscosity=0.02, drag=0.1, forcing_amplitude=0.0)
    k, l = mode[0], mode[1] / 1.5  # the domain is 2π by 3π
    phase = k * system.grid.x[None, :] + l * system.grid.y[:, None]
    kappa2, time = k**2 + l**2, 1.0
    end = _end(system, BarotropicState(jnp.asarray(np.cos(phase))), 0.01, 100)
    wanted = np.exp(-(0.1 + 0.02 * kappa2) * time) * np.cos(phase + 3.0 * k / kappa2 * time)
    # RK4: (|λ| dt)⁵/120 a step, |λ| at most 3.1
    np.testing.assert_allclose(end.vorticity, wanted, rtol=0, atol=1e-7)


def test_a_rossby_wave_drifts_west():
    """c = -β/κ²: the crest of cos(2x) moves from x = 0 by -β t/4."""
    system = _system(64, beta=3.0, **QUIET)
    start = BarotropicState(jnp.asarray(np.cos(2 * system.grid.x))[None] * jnp.ones((64, 1)))
    end = _end(system, start, 0.01, 40)
    angle = np.angle(np.fft.rfft(np.asarray(end.vorticity[0]))[2])
    # the crest is where 2 (x - first x) + angle is zero; errors of RK4 as above
    assert system.grid.x[0] - angle / 2 == pytest.approx(-3.0 / 4 * 0.4, abs=1e-7)


def test_the_published_forces_do_the_work_that_is_stated():
    """½<F²> = 3.024 at any phase; A (cos k_f x + cos k_f y) on the β-plane."""
    rest = BarotropicState(jnp.zeros((64, 64)))
    turning = _system(64, configuration="graham2013")
    for time in (0.0, 0.7, 12.3):
        phases = turning.forcing_at(jnp.asarray(time))
        force = turning.tendency(rest, phases).vorticity
        assert float(0.5 * jnp.mean(force**2)) == pytest.approx(3.024, rel=1e-12)
        x, y = 4 * turning.grid.x[None], 4 * turning.grid.y[:, None]
        wanted = np.cos(y + np.pi * np.sin(0.48 * np.pi * time))
        wanted = wanted - np.cos(x + np.pi * np.sin(1.44 * time))
        np.testing.assert_allclose(force, np.sqrt(6.048) * wanted, atol=1e-12)
    steady = _system(64, configuration="frezat2024")
    assert steady.forcing_at(jnp.asarray(1.0)) is None
    x, y = steady.grid.x[None], steady.grid.y[:, None]
    wanted = 10 * (np.cos(15 * x) + np.cos(15 * y))
    np.testing.assert_allclose(steady.tendency(rest).vorticity, wanted, atol=1e-11)


def test_energy_and_enstrophy_are_conserved_without_sources():
    system = _system(48, **QUIET)
    start = system.initial_state(key=jax.random.key(1))
    before = system.diagnostics(start)
    changes = []
    for steps in (50, 100):
        after = system.diagnostics(_end(system, start, 1.0 / steps, steps))
        changes.append([abs(float(after[name] / before[name] - 1)) for name in before])
    assert max(changes[1]) < 1e-6
    # the fifth order of RK4's amplitude error, less what rounding hides
    assert all(late < early / 8 for early, late in zip(*changes, strict=True))


def test_laminar_flow_is_steady():
    """ω = -A k_f cos(k_f y)/(r + ν k_f²)."""
    system = _system(viscosity=0.05)
    strength = -4.0 / (0.1 + 0.05 * 16)
    state = BarotropicState(
        jnp.asarray(strength * np.cos(4 * system.grid.y))[:, None] * jnp.ones((1, 32))
    )
    np.testing.assert_allclose(system.tendency(state).vorticity, 0.0, atol=1e-12)


def test_a_mirror_in_y_turns_vorticity_around():
    """y → -y, ω → -ω; the force A sin(k_f y) x̂ turns with u where there is none."""
    system = _system(forcing_amplitude=0.0)
    state = system.initial_state(key=jax.random.key(2))
    mirror = lambda s: BarotropicState(-s.vorticity[::-1])  # noqa: E731
    got, wanted = system.tendency(mirror(state)), mirror(system.tendency(state))
    np.testing.assert_allclose(got.vorticity, wanted.vorticity, atol=1e-12)


def test_the_gradient_agrees_with_finite_differences():
    system = _system(16)
    state = system.initial_state(key=jax.random.key(3))
    direction = system.initial_state(key=jax.random.key(4)).vorticity

    def loss(vorticity):
        return jnp.sum(_scan(system, vorticity) ** 3)

    along = float(jnp.sum(jax.grad(loss)(state.vorticity) * direction))
    size = 1e-5
    plus, minus = (float(loss(state.vorticity + s * size * direction)) for s in (1, -1))
    # a central difference: its error is of second order in the size
    assert along == pytest.approx((plus - minus) / (2 * size), rel=1e-6)


def _scan(system, vorticity):
    return rollout(system.model(0.01), BarotropicState(vorticity), 5, 5).states.vorticity[0]


def test_a_known_error_is_said():
    with pytest.raises(ConfigError, match="Did you mean 'viscosity'"):
        BarotropicVorticity(16, viscositi=1.0)
    with pytest.raises(ValueError, match=r"drag must not be negative, got -1\.0"):
        BarotropicVorticity(16, drag=-1.0)
    with pytest.raises(ConfigError, match="over the width"):
        BarotropicVorticity(16, 32, "frezat2024", length_x=np.pi, length_y=2 * np.pi)
    for system in (BarotropicVorticity, KolmogorovFlow):
        with pytest.raises(ValueError, match="a whole number must fit"):
            system(16, forcing_wavenumber=4.1)
    again = BarotropicVorticity(**_system(16, beta=0.5).settings())
    assert again.settings() == _system(16, beta=0.5).settings()


def test_a_member_that_grows_is_found():
    system = _system(16, vorticity_bound=6.0, **{**QUIET, "drag": 0.0}, beta=0.0)
    run = rollout(system.model(5.0, scheme=AB3()), system.initial_state(key=jax.random.key(0)), 50)
    assert int(run.blew_up_at) > 0


def _streamfunction(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.cos(x)[None, :] * np.cos(2 * y)[:, None] + 0.5 * np.sin(2 * x[None, :] + y[:, None])


def _finite_volumes(nx: int) -> tuple[KolmogorovFlow, KolmogorovState]:
    """Return a system and velocities that are the discrete curl of `_streamfunction` at corners."""
    system = KolmogorovFlow(nx, domain_scale=1, viscosity=0.02, dtype=jnp.float64)
    grid = system.grid
    psi = _streamfunction(grid.x + grid.dx / 2, grid.y + grid.dy / 2)
    u, v = -(psi - np.roll(psi, 1, 0)) / grid.dy, (psi - np.roll(psi, 1, 1)) / grid.dx
    return system, KolmogorovState(jnp.asarray(u), jnp.asarray(v))


def _at_corners(system: BarotropicVorticity, state: BarotropicState, nx: int) -> np.ndarray:
    """Return the vorticity at the corners (i + 1) 2π/nx of a coarser grid."""
    grid = system.grid
    back = np.exp(-0.5j * (grid.k[None, :] * grid.dx + grid.l[:, None] * grid.dy))
    corners = np.fft.irfft2(np.fft.rfft2(np.asarray(state.vorticity)) * back, s=grid.shape)
    ratio = grid.nx // nx
    return np.roll(corners, -ratio, (0, 1))[::ratio, ::ratio]


def test_both_formulations_of_kolmogorov_flow_agree_as_resolution_grows():
    time = 0.5
    spectral = _system(128, viscosity=0.02)
    kappa_psi = _streamfunction(spectral.grid.x, spectral.grid.y)
    vorticity = np.fft.irfft2(-spectral.grid.wavenumber_squared * np.fft.rfft2(kappa_psi))
    reference = _end(spectral, BarotropicState(jnp.asarray(vorticity)), time / 400, 400)
    errors = []
    for nx in (32, 64, 128):
        system, state = _finite_volumes(nx)
        steps = 4 * nx
        end = rollout(system.model(time / steps), state, steps, steps).states
        got = staggered_vorticity(end.u[0], end.v[0], system.grid)
        errors.append(float(jnp.sqrt(jnp.mean((got - _at_corners(spectral, reference, nx)) ** 2))))
    size = float(jnp.std(reference.vorticity))
    assert errors[-1] < 0.02 * size
    # first order in time and at extrema, second elsewhere
    orders = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    assert np.all(orders > 0.9), (errors, orders)


def test_the_published_size_can_be_watched():
    """2048² cells: the square of their number is beyond 32 bits."""
    system = BarotropicVorticity(2048, configuration="graham2013")
    like = jax.eval_shape(lambda key: system.initial_state(key=key), jax.random.key(0))
    evolved = jax.eval_shape(system.to_evolved, like)
    assert jax.eval_shape(system.is_healthy, evolved).shape == ()
