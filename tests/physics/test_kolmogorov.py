"""Laws of Kolmogorov flow: divergence, momentum, laminar flow, order, symmetries, gradients."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from subgrid.grids.staggered import laplacian_eigenvalues, staggered_laplacian
from subgrid.stepping import rollout
from subgrid.systems import KolmogorovFlow, KolmogorovState
from subgrid.systems.van_leer import advection

pytestmark = pytest.mark.usefixtures("float64")


def _system(nx: int = 32, ny: int | None = None, **settings) -> KolmogorovFlow:
    return KolmogorovFlow(nx, ny, dtype=jnp.float64, **settings)


def _flow(system: KolmogorovFlow, steps: int = 40) -> KolmogorovState:
    """Return a state that is `steps` steps away from the random start."""
    model = system.model(0.5 * system.grid.dx / 7)
    start = system.initial_state(key=jax.random.key(2))
    return jax.tree.map(lambda x: x[-1], rollout(model, start, steps, steps).states)


def test_initial_states_are_as_published():
    """Largest speed 7, and amplitudes that follow the log-normal density over κ."""
    system = _system(32)
    keys = jax.random.split(jax.random.key(0), 64)
    states = jax.vmap(lambda key: system.initial_state(key=key))(keys)
    fastest = jnp.sqrt(jnp.max(states.u**2 + states.v**2, axis=(1, 2)))
    np.testing.assert_allclose(fastest, 7.0, rtol=1e-12)
    power = jnp.abs(jnp.fft.rfft2(states.u)) ** 2 + jnp.abs(jnp.fft.rfft2(states.v)) ** 2
    kappa = np.sqrt(system.grid.wavenumber_squared)
    ratios = []
    for ring in (1.0, 2.0, 4.0, 6.0):
        inside = np.abs(kappa - ring) < 0.25
        density = (
            np.exp(-((np.log(4) + 0.25 - np.log(kappa[inside])) ** 2) / 0.5) / kappa[inside] ** 2
        )
        ratios.append(float(np.mean(np.asarray(power)[:, inside] / density**2)))
    # of 64 draws of some ten waves and more: 4 % sampling error of each mean
    np.testing.assert_allclose(np.array(ratios) / ratios[1], 1.0, atol=0.2)


def test_there_is_no_divergence_after_a_step():
    system = _system(48)
    state = _flow(system)
    gradients = float(jnp.abs(jnp.diff(state.u)).max()) / system.grid.dx
    assert float(jnp.abs(system.divergence(state)).max()) < 1e-13 * gradients


def test_the_projection_keeps_what_has_no_divergence_and_removes_gradients():
    system = _system(32, 24)
    state = _flow(system)
    pressure = jax.random.normal(jax.random.key(4), system.grid.shape, jnp.float64)
    dx, dy = system.grid.dx, system.grid.dy
    gradient = KolmogorovState(
        (jnp.roll(pressure, -1, 1) - pressure) / dx, (jnp.roll(pressure, -1, 0) - pressure) / dy
    )
    both = jax.tree.map(jnp.add, state, gradient)
    for kept, wanted in ((system.project(state), state), (system.project(both), state)):
        np.testing.assert_allclose(kept.u, wanted.u, rtol=0, atol=1e-12)
        np.testing.assert_allclose(kept.v, wanted.v, rtol=0, atol=1e-12)


def test_advection_conserves_momentum_and_drag_takes_it():
    """d<u>/dt = -r <u>: fluxes, pressure, viscosity and the sine have no mean."""
    system = _system(drag=0.3)
    state = jax.tree.map(lambda c: c + 0.7, _flow(system))
    dt = 0.01
    after = system.advance(state, dt)
    for name in ("u", "v"):
        before, now = jnp.mean(getattr(state, name)), jnp.mean(getattr(after, name))
        np.testing.assert_allclose(now, before * (1 - 0.3 * dt), rtol=1e-13)
    rates = advection(state.u, state.v, system.grid, dt)
    for rate in rates:  # a sum of 1024 terms of order 10 that cancel
        assert abs(float(jnp.mean(rate))) < 1e-13


@pytest.mark.parametrize("steps_of", ["advance", "tendency"])
def test_laminar_flow_is_steady(steps_of):
    """u = A sin(k y)/(r - ν λ): forcing, drag and discrete viscosity in balance."""
    system = _system(domain_scale=1, viscosity=0.05)
    grid = system.grid
    wave = jnp.asarray(np.sin(4 * grid.y))[:, None] * jnp.ones((1, grid.nx))
    eigenvalue = (2 * np.cos(4 * grid.dy) - 2) / grid.dy**2
    dt = 0.01
    strength = 1.0 / (0.1 - 0.05 * eigenvalue)
    if steps_of == "advance":  # drag acts before, viscosity after: (1 - r dt) + dt A/u = 1 - ν dt λ
        state = KolmogorovState(strength * wave, jnp.zeros_like(wave))
        after = system.advance(state, dt)
        np.testing.assert_allclose(after.u, state.u, rtol=0, atol=1e-14)
        np.testing.assert_allclose(after.v, 0.0, atol=1e-14)
    else:
        state = KolmogorovState(strength * wave, jnp.zeros_like(wave))
        rate = system.tendency(state)
        np.testing.assert_allclose(rate.u, 0.0, atol=1e-13)
        np.testing.assert_allclose(rate.v, 0.0, atol=1e-13)


def _taylor_green(system: KolmogorovFlow) -> KolmogorovState:
    """u = sin x cos y + 1, v = -cos x sin y + ½, without discrete divergence: moves and decays."""
    grid = system.grid
    east, north = grid.x + grid.dx / 2, grid.y + grid.dy / 2
    u = np.sin(east)[None, :] * np.cos(grid.y)[:, None] + 1.0
    v = -np.cos(grid.x)[None, :] * np.sin(north)[:, None] + 0.5
    return KolmogorovState(jnp.asarray(u), jnp.asarray(v))


def _moved(system: KolmogorovFlow, time: float, viscosity: float) -> KolmogorovState:
    """Return the exact solution: carried by (1, ½), decaying as exp(-2 ν t)."""
    grid, decay = system.grid, np.exp(-2 * viscosity * time)
    east, north = grid.x + grid.dx / 2 - time, grid.y + grid.dy / 2 - time / 2
    x, y = grid.x - time, grid.y - time / 2
    u = decay * np.sin(east)[None, :] * np.cos(y)[:, None] + 1.0
    v = -decay * np.cos(x)[None, :] * np.sin(north)[:, None] + 0.5
    return KolmogorovState(jnp.asarray(u), jnp.asarray(v))


def test_it_converges_to_an_exact_solution_of_the_equations():
    """Moving Taylor-Green vortices: first order in the joint limit, as the steps are Euler's."""
    errors = []
    for nx in (32, 64, 128):
        system = _system(nx, domain_scale=1, viscosity=0.05, drag=0.0, forcing_amplitude=0.0)
        steps = 2 * nx
        dt = 0.5 / steps
        end = rollout(system.model(dt), _taylor_green(system), steps, steps).states
        exact = _moved(system, 0.5, 0.05)
        errors.append(float(jnp.sqrt(jnp.mean((end.u[0] - exact.u) ** 2))))
    assert errors[0] < 0.01
    orders = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    assert np.all(orders > 0.9), orders


@pytest.mark.slow
def test_space_is_second_order_but_for_the_limiter():
    """The mean error of the tendency falls faster than first order; extrema are of first order."""
    errors = []
    for nx in (32, 64, 128):
        system = _system(nx, domain_scale=1, viscosity=0.05, drag=0.0, forcing_amplitude=0.0)
        grid = system.grid
        rate = system.tendency(_taylor_green(system))
        east, y = grid.x + grid.dx / 2, grid.y
        cosine, sine = np.cos(east)[None, :], np.sin(east)[None, :]
        exact = (
            -cosine * np.cos(y)[:, None]
            + 0.5 * sine * np.sin(y)[:, None]
            - 2 * 0.05 * sine * np.cos(y)[:, None]
        )
        errors.append(float(jnp.mean(jnp.abs(rate.u - exact))))
    orders = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    assert np.all(orders > 1.6), orders


def test_eigenvalues_are_those_of_the_laplacian():
    grid = _system(16, 24).grid
    field = jax.random.normal(jax.random.key(0), grid.shape, jnp.float64)
    spectral = jnp.fft.irfft2(jnp.fft.rfft2(field) * laplacian_eigenvalues(grid), s=grid.shape)
    np.testing.assert_allclose(spectral, staggered_laplacian(field, grid), atol=1e-10)


def test_shifts_by_a_cell_commute_with_a_step():
    """Along x by any number of cells, along y by the forcing's wavelength."""
    system = _system(32)
    state, dt = _flow(system), 0.01
    wave = round(2 * np.pi / 4 / system.grid.dy)
    for axis, cells in ((1, 3), (0, wave)):
        moved = jax.tree.map(lambda c, a=axis, n=cells: jnp.roll(c, n, a), state)
        after = system.advance(moved, dt)
        wanted = jax.tree.map(
            lambda c, a=axis, n=cells: jnp.roll(c, n, a), system.advance(state, dt)
        )
        np.testing.assert_allclose(after.u, wanted.u, rtol=0, atol=1e-13)
        np.testing.assert_allclose(after.v, wanted.v, rtol=0, atol=1e-13)


def test_a_turn_by_half_a_circle_commutes_with_a_step():
    """(x, y) → (-x, -y), (u, v) → (-u, -v): sin(4y) changes its sign with u."""

    def turn(state: KolmogorovState) -> KolmogorovState:
        # cell centres go to cell centres; an east face becomes a west one
        u = jnp.roll(-state.u[::-1, ::-1], -1, axis=1)
        return KolmogorovState(u, jnp.roll(-state.v[::-1, ::-1], -1, axis=0))

    system = _system(32)
    state, dt = _flow(system), 0.01
    after, wanted = system.advance(turn(state), dt), turn(system.advance(state, dt))
    np.testing.assert_allclose(after.u, wanted.u, rtol=0, atol=1e-13)
    np.testing.assert_allclose(after.v, wanted.v, rtol=0, atol=1e-13)


def test_the_mirror_image_in_x_commutes_with_a_step_without_forcing():
    """(x, y) → (-x, y), (u, v) → (-u, v)."""

    def mirror(state: KolmogorovState) -> KolmogorovState:
        u = jnp.roll(-state.u[:, ::-1], -1, axis=1)
        return KolmogorovState(u, state.v[:, ::-1])

    system = _system(32, forcing_amplitude=0.0)
    state, dt = _flow(system), 0.01
    after, wanted = system.advance(mirror(state), dt), mirror(system.advance(state, dt))
    np.testing.assert_allclose(after.u, wanted.u, rtol=0, atol=1e-13)
    np.testing.assert_allclose(after.v, wanted.v, rtol=0, atol=1e-13)


def _loss(system: KolmogorovFlow, state: KolmogorovState) -> jax.Array:
    end = rollout(system.model(0.01), state, 5, 5, checkpoint=True).states
    return jnp.sum(end.u**3) + jnp.sum(end.v**2)


def test_the_gradient_agrees_with_finite_differences():
    system = _system(16)
    state = _flow(system, 10)
    direction = system.initial_state(key=jax.random.key(7))
    gradient = jax.grad(lambda x: _loss(system, x))(state)
    along = sum(
        float(jnp.sum(g * d))
        for g, d in zip(jax.tree.leaves(gradient), jax.tree.leaves(direction), strict=True)
    )
    size = 1e-6

    def shifted(sign: int) -> float:
        moved = jax.tree.map(lambda x, d: x + sign * size * d, state, direction)
        return float(_loss(system, moved))

    # the limiter has kinks: a few cells cross one within the difference
    assert along == pytest.approx((shifted(1) - shifted(-1)) / (2 * size), rel=1e-4)


@pytest.mark.parametrize("kind", ["at rest", "uniform", "laminar"])
def test_the_gradient_is_finite_where_the_limiter_has_nothing_to_divide(kind):
    system = _system(16)
    still = jax.tree.map(jnp.zeros_like, _flow(system, 1))
    state = {
        "at rest": still,
        "uniform": jax.tree.map(lambda c: c + 1.0, still),
        "laminar": KolmogorovState(still.u + np.sin(4 * system.grid.y)[:, None], still.v),
    }[kind]
    gradient = jax.grad(lambda x: _loss(system, x))(state)
    assert all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(gradient))


@pytest.mark.parametrize("name", ["viscosity", "drag", "forcing_amplitude", "forcing_wavenumber"])
def test_every_constant_acts_in_the_step_and_has_a_gradient(name):
    """So that a sweep compiles once, and constants can be fitted."""
    system = _system(32)
    state = _flow(system, 10)

    def loss(value):
        changed = eqx.tree_at(lambda s: s.constants[name], system, value)
        return jnp.sum(changed.advance(state, 0.01).u ** 2)

    value = system.constants[name]
    size = 1e-4 * value
    slope = (loss(value + size) - loss(value - size)) / (2 * size)
    assert abs(float(slope)) > 1e-6
    np.testing.assert_allclose(jax.grad(loss)(value), slope, rtol=1e-5)
