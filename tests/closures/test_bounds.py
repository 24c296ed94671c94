"""Increments that keep a state within its bounds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_systems import SMALL, TracerState

from subgrid.closures import CONSTRAINTS, Bounds, Features, LearnedClosure, Output
from subgrid.errors import ConfigError
from subgrid.nn import Conv2d, Scaler
from subgrid.randomness import random_key

SYSTEM = SMALL["basin"]  # a tracer from 0 to 1


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**16), st.floats(1e-3, 1e3), st.floats(1e-2, 1e2))
def test_a_step_stays_within_the_bounds_and_what_fits_is_kept(seed, dt, size):
    value, added = jax.random.uniform(random_key(seed), (2, *SYSTEM.domain.shape))
    added = size * (added - 0.5) / dt
    limited = Bounds.for_system(SYSTEM, dt=dt).in_run(TracerState(added), TracerState(value)).c
    after = value + dt * limited
    assert jnp.all((after >= -1e-6) & (after <= 1 + 1e-6))  # float32
    fits = (value + dt * added > 1e-6) & (value + dt * added < 1 - 1e-6)
    np.testing.assert_array_equal(limited[fits], added[fits])


def test_a_state_outside_is_brought_back():
    state = TracerState(jnp.full(SYSTEM.domain.shape, 1.5))
    limited = Bounds.for_system(SYSTEM, dt=2.0).in_run(TracerState(jnp.zeros_like(state.c)), state)
    np.testing.assert_allclose(state.c + 2.0 * limited.c, 1.0)


def test_a_closure_has_it_in_runs_alone():
    output = Output(Scaler.identity(1), [Bounds.for_system(SYSTEM, dt=0.5)])
    network = Conv2d(1, 1, 3, key=random_key(0))
    network = jax.tree.map(lambda leaf: 100 * leaf, network)
    closure = LearnedClosure(Features(), network, output, SYSTEM)
    state = SYSTEM.initial_state(key=random_key(1))
    increment = closure(state)[0]
    after = state.c + 0.5 * increment.c
    assert jnp.all((after >= -1e-6) & (after <= 1 + 1e-6))
    assert jnp.max(jnp.abs(closure.predict(state.c[None])[0][0] - increment.c)) > 1
    assert output.in_words == ["no step of 0.5 beyond the bounds of the variables"]


def test_where_it_does_not_apply():
    kind = CONSTRAINTS.get("bounds")
    with pytest.raises(ConfigError, match="Advection has none for"):
        kind.for_system(SMALL["line"], dt=0.1)
    with pytest.raises(ConfigError, match="dt"):
        kind.for_system(SYSTEM, dt=0.0)
