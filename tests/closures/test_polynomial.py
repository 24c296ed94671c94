"""Local polynomials, with and without noise that remembers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from subgrid.closures import (
    CLOSURES,
    AutoregressivePolynomial,
    LocalPolynomial,
    Wilks2005,
    check_closure,
    in_system,
    load_closure,
    save_closure,
)
from subgrid.errors import ConfigError
from subgrid.stepping import rollout
from subgrid.systems import Lorenz96, Lorenz96State


def _system() -> Lorenz96:
    return Lorenz96(8, 32).at(8)


def _frames(values: np.ndarray, targets: np.ndarray, dt: float = 0.05) -> xr.Dataset:
    """Return data of one trajectory, [time, k]."""
    found = {"x": (("time", "k"), values), "x_forcing": (("time", "k"), targets)}
    return xr.Dataset(found, {"time": dt * np.arange(len(values))})


@settings(deadline=None, max_examples=20)
@given(st.lists(st.floats(-2, 2, width=32), min_size=1, max_size=5), st.integers(0, 100))
def test_a_fit_finds_the_polynomial_that_made_the_data(coefficients, seed):
    values = np.random.default_rng(seed).uniform(-5, 5, (20, 8))
    targets = np.polyval(coefficients[::-1], values)
    fitted = LocalPolynomial.fit(_system(), _frames(values, targets), len(coefficients) - 1)
    # coefficients are kept in float32
    np.testing.assert_allclose(fitted.coefficients[0], coefficients, rtol=1e-5, atol=1e-5)
    increment, _ = fitted(Lorenz96State(jnp.asarray(values[0], jnp.float32)))
    np.testing.assert_allclose(increment.x, targets[0], rtol=1e-4, atol=1e-2)


def test_the_published_polynomial_is_close_to_what_least_squares_gives():
    """It leaves at most 5 % more of the coupling's variance: he fit to tendencies of long steps."""
    truth = Lorenz96(8, 32)
    start = jax.vmap(lambda key: truth.initial_state(key=key))(
        jax.random.split(jax.random.key(0), 8)
    )
    run = jax.jit(jax.vmap(lambda s: rollout(truth.model(0.005), s, 6000, 20)))(start)
    x, coupling = np.asarray(run.states.x)[:, 50:], -np.asarray(run.states.y).sum(-1)[:, 50:]
    fitted = LocalPolynomial.fit(_system(), _frames(x.reshape(-1, 8), coupling.reshape(-1, 8)), 4)
    states = Lorenz96State(jnp.asarray(x.reshape(-1, 8)))
    published, ours = (jax.vmap(c)(states)[0].x.ravel() for c in (Wilks2005(_system()), fitted))
    left = [float(np.mean((s - coupling.ravel()) ** 2) / coupling.var()) for s in (published, ours)]
    assert left[1] < left[0] < left[1] + 0.05
    assert left[1] == pytest.approx(0.153, abs=0.01)  # over 8 runs of 190 units: 0.1531


def test_the_published_polynomial_is_refused_elsewhere():
    with pytest.raises(ConfigError, match=r"F = 18 or 20, got \{'F': 10.0"):
        Wilks2005(Lorenz96(8, 0, F=10.0))


def test_noise_is_fitted_and_drawn_with_its_persistence_and_spread():
    random = np.random.default_rng(1)
    noise = np.zeros((4000, 8))
    for n in range(1, 4000):
        noise[n] = 0.8 * noise[n - 1] + 0.6 * random.standard_normal(8)
    values = random.uniform(-5, 5, noise.shape)
    data = _frames(values, 1.0 - 2.0 * values + noise)
    closure = AutoregressivePolynomial.fit(_system(), data, degree=1, dt=0.025)
    np.testing.assert_allclose(closure.polynomial.coefficients[0], [1.0, -2.0], atol=0.03)
    # half of the interval of the frames: √0.8. 32,000 values correlated over 5: 1 % in each
    assert float(closure.persistence[0]) == pytest.approx(0.8**0.5, abs=0.01)
    assert float(closure.spread[0]) == pytest.approx(1.0, abs=0.03)
    still = Lorenz96State(jnp.zeros(8))

    def step(memory, _):
        increment, memory = closure(still, memory)
        return memory, increment.x - closure.polynomial(still)[0].x

    _, drawn = jax.lax.scan(step, closure.init(still, key=jax.random.key(2)), None, 4000)
    assert float(jnp.std(drawn)) == pytest.approx(float(closure.spread[0]), rel=0.05)
    lagged = float(jnp.mean(drawn[1:] * drawn[:-1]) / jnp.mean(drawn**2))
    assert lagged == pytest.approx(float(closure.persistence[0]), abs=0.02)


def test_a_trajectory_without_values_is_left_out():
    random = np.random.default_rng(2)
    values = random.normal(size=(2, 50, 8))
    targets = 1.0 - values + 0.1 * random.normal(size=values.shape)
    whole = [_frames(v, t) for v, t in zip(values, targets, strict=True)]
    failed = xr.concat([*whole, whole[0] * np.nan], "trajectory")
    for fit in (LocalPolynomial.fit, AutoregressivePolynomial.fit):
        found, wanted = (
            fit(_system(), data, degree=1, dt=0.05)
            for data in (failed, failed.isel(trajectory=slice(2)))
        )
        assert jax.tree.all(jax.tree.map(jnp.array_equal, found, wanted))


def test_a_run_with_noise_depends_on_its_key_alone():
    system = _system()
    closure = AutoregressivePolynomial(system, [0.0, -0.8], 0.9, 1.5)
    check_closure(closure, system)
    start = system.initial_state(key=jax.random.key(0))
    ends = [
        rollout(system.model(0.01, closure), start, 20, 20, key=jax.random.key(seed)).states.x
        for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(ends[0], ends[1])
    assert float(jnp.max(jnp.abs(ends[0] - ends[2]))) > 0.1
    with pytest.raises(ConfigError, match="give the run a random key"):
        rollout(system.model(0.01, closure), start, 20)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("polynomial", {"coefficients": [0.5, -0.8, 0.01]}),
        ("wilks-2005", {}),
        ("autoregressive", {"coefficients": [0.5], "persistence": 0.5, "spread": 1.0}),
    ],
)
def test_by_name_stored_and_read_again(name, arguments, tmp_path):
    system = _system()
    closure = CLOSURES.get(name)(system, **arguments)
    save_closure(closure, tmp_path)
    state = system.initial_state(key=jax.random.key(3))
    memory = closure.init(state, key=jax.random.key(4))
    got, wanted = load_closure(tmp_path)(state, memory), closure(state, memory)
    assert jax.tree.all(jax.tree.map(jnp.array_equal, got, wanted))


def test_wrong_numbers_are_named():
    with pytest.raises(ConfigError, match=r"coefficients must be \[1, 2\] numbers"):
        LocalPolynomial(_system(), [[1.0, 2.0], [3.0, 4.0]])
    with pytest.raises(ConfigError, match="at least 0 and below 1"):
        AutoregressivePolynomial(_system(), [1.0], 1.0, 1.0)
    data = _frames(np.zeros((1, 8)), np.zeros((1, 8)))
    with pytest.raises(ConfigError, match="at least two times"):
        AutoregressivePolynomial.fit(_system(), data, 0, dt=1.0)


def test_what_holds_its_system_in_a_part_moves_unless_its_numbers_stay_behind():
    old, new = Lorenz96(8, 0, F=18.0), Lorenz96(8, 0, F=20.0)
    moved = in_system(AutoregressivePolynomial(old, [1.0, 0.5], 0.9, 0.1), new)
    new.model(0.01, moved)
    assert float(moved.system.constants["F"]) == 20.0
    with pytest.raises(ConfigError, match=r"F = 18\.0 .*Build it anew"):
        in_system(Wilks2005(old), new)
