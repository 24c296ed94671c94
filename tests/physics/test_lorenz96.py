"""Laws of Lorenz 96, and the statistics of its standard ring."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from subgrid.errors import ConfigError
from subgrid.stepping import rollout
from subgrid.systems import Lorenz96, Lorenz96State


def _double(K: int = 6, J: int = 5, **constants) -> Lorenz96:
    return Lorenz96(K, J, dtype=jnp.float64, **constants)


@pytest.mark.usefixtures("float64")
def test_advection_and_coupling_conserve_energy():
    """d/dt(½ΣX² + ½ΣY²) = F ΣX - ΣX² - c ΣY²: damping and F alone change it."""
    system = _double(F=7.0, h=0.7, b=3.0, c=4.0)
    state = system.initial_state(key=jax.random.key(0))
    rate = system.tendency(state)
    power = jnp.sum(state.x * rate.x) + jnp.sum(state.y * rate.y)
    wanted = 7.0 * jnp.sum(state.x) - jnp.sum(state.x**2) - 4.0 * jnp.sum(state.y**2)
    assert float(power) == pytest.approx(float(wanted), rel=1e-12)


@pytest.mark.usefixtures("float64")
def test_a_shift_by_one_site_commutes_with_the_tendency():
    system = _double()
    state = system.initial_state(key=jax.random.key(1))
    shift = lambda s: jax.tree.map(lambda a: jnp.roll(a, 1, 0), s)  # noqa: E731
    got, wanted = system.tendency(shift(state)), shift(system.tendency(state))
    assert jax.tree.all(jax.tree.map(jnp.array_equal, got, wanted))


@pytest.mark.usefixtures("float64")
def test_the_fast_ring_runs_on_from_sector_to_sector():
    """The last fast variable of a sector is advected by the first two of the next sector."""
    system = _double(c=2.0, b=3.0, h=0.0)
    y = jnp.zeros((6, 5)).at[2, 4].set(1.0).at[3, 0].set(2.0).at[3, 1].set(5.0).at[2, 3].set(7.0)
    rate = system.tendency(Lorenz96State(jnp.zeros(6), y)).y
    assert float(rate[2, 4]) == pytest.approx(-2.0 * 3.0 * 2.0 * (5.0 - 7.0) - 2.0 * 1.0)


@pytest.mark.usefixtures("float64")
def test_the_uniform_state_is_steady():
    system = _double(J=0, F=6.0)
    rate = system.tendency(Lorenz96State(jnp.full(6, 6.0)))
    np.testing.assert_allclose(rate.x, 0.0, atol=1e-12)


@pytest.mark.usefixtures("float64")
def test_small_waves_grow_as_linear_theory_says():
    """X = F + ε e^{iφk}: growth rate F (cos φ - cos 2φ) - 1 (Lorenz & Emanuel 1998)."""
    system, size, time = _double(K=12, J=0, F=3.0), 1e-6, 0.5
    angle = 2 * np.pi * 2 / 12
    wave = np.exp(1j * angle * np.arange(12))
    run = rollout(system.model(0.005), Lorenz96State(jnp.asarray(3.0 + size * wave.real)), 100, 100)
    found = 2 * np.mean((np.asarray(run.states.x[0]) - 3.0) * wave.conj()) / size
    growth = 3.0 * (np.cos(angle) - np.cos(2 * angle)) - 1
    # what is left is of the order of the squared size
    assert np.log(abs(found)) / time == pytest.approx(growth, rel=1e-5)


@pytest.mark.usefixtures("float64")
def test_the_scheme_is_of_fourth_order():
    system = _double(K=8, J=8)
    start = system.initial_state(key=jax.random.key(2))
    start = jax.tree.map(lambda a: 0.2 * a, start)
    ends = [rollout(system.model(0.1 / n), start, n, n).states for n in (40, 80, 1280)]
    errors = [float(jnp.max(jnp.abs(end.y - ends[-1].y))) for end in ends[:-1]]
    assert 3.7 < np.log2(errors[0] / errors[1]) < 4.5


@pytest.mark.usefixtures("float64")
def test_the_gradient_agrees_with_finite_differences():
    system = _double()
    model, state = system.model(0.005), system.initial_state(key=jax.random.key(3))
    toward = system.initial_state(key=jax.random.key(4))

    def loss(size):
        moved = jax.tree.map(lambda a, b: a + size * b, state, toward)
        return jnp.sum(rollout(model, moved, 10, 10).states.x ** 3)

    difference = (loss(1e-5) - loss(-1e-5)) / 2e-5
    # the error of a central difference is of second order in the size
    assert float(jax.grad(loss)(0.0)) == pytest.approx(float(difference), rel=1e-6)


def test_climate_and_coupling_are_those_of_the_standard_ring():
    """K = 8, J = 20, F = 18: X 3.53 ± 5.36, coupling -2.27 ± 3.05, R² of a line in X 0.79.

    The ring of a known public code, whose Y are neighbours across sites, has 3.43 ± 5.33,
    -2.00 ± 3.52 and R² 0.61. The mean of one run of 100 units strays by 0.04 (8 runs measured);
    16 runs of 30 units here, so 0.1 is over five times what remains.
    """
    system = Lorenz96(8, 20, F=18.0)
    model = system.model(0.004)

    def run(key):
        start = rollout(model, system.initial_state(key=key), 2500, 2500).states
        return rollout(model, jax.tree.map(lambda a: a[0], start), 7500, 25)

    runs = jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(5), 16))
    assert bool(jnp.all(runs.blew_up_at < 0))
    x = np.asarray(runs.states.x, np.float64).ravel()
    coupling = -np.asarray(runs.states.y, np.float64).sum(-1).ravel()
    assert x.mean() == pytest.approx(3.53, abs=0.1)
    assert x.std() == pytest.approx(5.36, abs=0.1)
    assert coupling.mean() == pytest.approx(-2.27, abs=0.1)
    assert coupling.std() == pytest.approx(3.05, abs=0.1)
    assert np.corrcoef(x, coupling)[0, 1] ** 2 == pytest.approx(0.79, abs=0.01)


def test_at_keeps_the_slow_equations_alone():
    system = Lorenz96(8, 20, F=18.0)
    coarse = system.at(8)
    assert coarse.settings() == {**system.settings(), "J": 0}
    state = system.initial_state(key=jax.random.key(6))
    missing = system.tendency(state).x - coarse.tendency(Lorenz96State(state.x)).x
    # float32: the rates are of order 100
    np.testing.assert_allclose(missing, -jnp.sum(state.y, -1), atol=1e-4)
    assert [v.name for v in coarse.variables] == ["x"]
    assert list(coarse.coordinates()) == ["k"]


def test_a_member_that_leaves_its_bound_is_found():
    system = Lorenz96(8, 0, bound=30.0)
    run = rollout(system.model(0.5), system.initial_state(key=jax.random.key(0)), 10)
    assert int(run.blew_up_at) > 0


def test_wrong_settings_are_named():
    with pytest.raises(ConfigError, match="Known: F, h, b, c"):
        Lorenz96(8, force=1.0)
    with pytest.raises(ConfigError, match="J must be 0"):
        Lorenz96(8, 2)
    again = Lorenz96(**Lorenz96(8, 20, F=18.0).settings())
    assert again.settings() == Lorenz96(8, 20, F=18.0).settings()
