"""The scaler: its inverse, its errors, its precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subgrid.errors import ConfigError, ShapeError
from subgrid.nn import Scaler, parameter_count, trainable


def test_normalised_field_has_mean_zero_and_size_one():
    field = np.random.default_rng(0).standard_normal((2, 32, 32)) * [[[8e-6]], [[1e-6]]] + 5e-7
    scaler = Scaler(field.mean((1, 2)), field.std((1, 2)))
    found = np.asarray(scaler.normalise(jnp.asarray(field, jnp.float32)), np.float64)
    # float32 rounding of the field, averaged over 1024 points
    np.testing.assert_allclose(found.mean((1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(found.std((1, 2)), 1, rtol=1e-6)


@settings(max_examples=30, deadline=None)
@given(mean=st.floats(-1e-3, 1e-3), power=st.integers(-14, 3), seed=st.integers(0, 1000))
def test_denormalise_inverts_normalise(mean, power, seed):
    scale = 10.0**power
    field = mean + scale * np.random.default_rng(seed).standard_normal((1, 3, 4))
    scaler = Scaler([mean], [scale])
    field = jnp.asarray(field, jnp.float32)
    found = scaler.denormalise(scaler.normalise(field))
    # a few roundings of the largest of mean and field
    np.testing.assert_allclose(found, field, rtol=0, atol=1e-6 * float(abs(mean) + 5 * scale))


def test_identity_changes_nothing():
    field = jnp.arange(8.0).reshape(2, 2, 2)
    np.testing.assert_array_equal(Scaler.identity(2).normalise(field), field)
    np.testing.assert_array_equal(Scaler.identity(2).denormalise(field), field)


def test_precision_is_that_of_the_field(float64):
    scaler = Scaler([0.0], [2.0])
    for dtype in (jnp.float32, jnp.float64):
        assert scaler.normalise(jnp.ones((1, 2, 2), dtype)).dtype == dtype


def test_a_scaler_is_no_weight():
    assert parameter_count(Scaler.identity(3)) == 0
    assert not any(jax.tree.leaves(trainable(Scaler.identity(3))))


@pytest.mark.parametrize("scale", [[1.0, 0.0], [1.0, -1.0], [1.0, np.nan], [1.0, np.inf]])
def test_scales_must_be_positive(scale):
    with pytest.raises(ConfigError):
        Scaler([0.0, 0.0], scale)


def test_shapes_must_fit():
    with pytest.raises(ShapeError, match="one mean and one scale"):
        Scaler([0.0, 0.0], [1.0])
    with pytest.raises(ShapeError, match=r"\[2, y, x\]"):
        Scaler.identity(2).normalise(jnp.ones((3, 4, 4)))
    with pytest.raises(ShapeError, match="vmap"):
        Scaler.identity(2).denormalise(jnp.ones((3, 4, 4)))


def test_may_be_made_inside_a_compiled_function():
    made = jax.jit(lambda scale: Scaler(jnp.zeros(1), scale))(jnp.full(1, 2.0))
    assert made.scale[0] == 2
