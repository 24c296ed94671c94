"""The layer around the correlation: weights, bias, layout, bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subgrid.errors import ConfigError, ShapeError
from subgrid.nn import Conv2d


def draw(shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


LAYER = Conv2d(2, 3, 5, key=jax.random.key(0))
run_layer = jax.jit(lambda field: LAYER(field))


@settings(max_examples=20, deadline=None)
@given(dy=st.integers(-9, 9), dx=st.integers(-9, 9), seed=st.integers(0, 1000))
def test_shift_of_the_input_shifts_the_output(dy, dx, seed):
    field = draw((2, 8, 10), seed, np.float32)
    shifted = run_layer(np.roll(field, (dy, dx), (1, 2)))
    wanted = np.roll(run_layer(field), (dy, dx), (1, 2))
    # the same numbers are summed, but a matrix product may sum rows near its edge in another order
    np.testing.assert_allclose(shifted, wanted, rtol=0, atol=2e-6)


def test_initial_weights_fill_their_interval():
    layer = Conv2d(16, 32, 3, key=jax.random.key(1))
    limit = 1 / np.sqrt(16 * 9)
    for values in (layer.weight, layer.bias):
        assert jnp.all(jnp.abs(values) <= limit)
    # 4608 uniform draws: the standard deviation is limit/√3 to about 1 %
    assert np.std(layer.weight) == pytest.approx(limit / np.sqrt(3), rel=0.05)


def test_bias_is_added_and_layout_is_channels_first():
    layer = Conv2d(1, 2, 3, key=jax.random.key(0))
    found = layer(jnp.zeros((1, 4, 6)))
    assert found.shape == (2, 4, 6)
    np.testing.assert_array_equal(found[:, 0, 0], layer.bias)


def test_cost_is_two_operations_per_tap():
    assert Conv2d(2, 3, 5, key=jax.random.key(0)).flops(4, 6) == 2 * 25 * 2 * 3 * 24


@pytest.mark.parametrize("arguments", [(2, 2, 4), (2, 2, 0), (0, 2, 3), (2, 0, 3)])
def test_impossible_sizes_are_refused(arguments):
    with pytest.raises(ConfigError):
        Conv2d(*arguments, key=jax.random.key(0))


def test_wrong_channels_are_refused():
    layer = Conv2d(2, 2, 3, key=jax.random.key(0))
    with pytest.raises(ShapeError, match=r"\[2, y, x\], got \[3, 8, 8\]"):
        layer(jnp.zeros((3, 8, 8)))


def test_half_precision_is_refused():
    layer = Conv2d(2, 2, 3, key=jax.random.key(0))
    with pytest.raises(TypeError, match="float16"):
        layer(jnp.zeros((2, 8, 8), jnp.float16))
