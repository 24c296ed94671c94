"""The convolution against its definition, the library's own, and the laws it must obey."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subgrid.errors import ConfigError, ShapeError
from subgrid.nn import Conv2d
from subgrid.nn.convolution import correlate, correlate_by_convolution, correlate_by_products

# (channels in, out, kernel): gathered on both axes, on one, scattered on both, and a 1 × 1 kernel
CASES = [(2, 16, 5), (8, 6, 3), (16, 2, 5), (3, 4, 1)]


def draw(shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def by_definition(field, weight):
    """Σ w[i, j, c, o] field[y + i - p, x + j - p, c] with indices modulo the grid."""
    taps = weight.shape[0]
    out = np.zeros((*field.shape[:2], weight.shape[-1]), field.dtype)
    for i in range(taps):
        for j in range(taps):
            out += np.roll(field, (taps // 2 - i, taps // 2 - j), (0, 1)) @ weight[i, j]
    return out


@pytest.mark.parametrize("path", [correlate_by_products, correlate_by_convolution, correlate])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_each_path_equals_the_definition(path, case, dtype):
    inputs, out, taps = case
    field, weight = draw((10, 14, inputs)), draw((taps, taps, inputs, out), 1)
    wanted = by_definition(field, weight)
    with jax.enable_x64(dtype == np.float64):
        found = jax.jit(path)(jnp.asarray(field, dtype), jnp.asarray(weight, dtype))
    assert found.dtype == dtype
    # the sums have up to 400 terms of order one: rounding grows to some tens of epsilon
    np.testing.assert_allclose(found, wanted, rtol=0, atol=400 * np.finfo(dtype).eps)


@pytest.mark.parametrize("case", CASES)
def test_gradients_of_both_paths_agree(case, float64):
    inputs, out, taps = case
    field, weight = jnp.asarray(draw((8, 12, inputs))), jnp.asarray(draw((taps, taps, inputs, out)))
    towards = jnp.asarray(draw((8, 12, out), 2))

    def pull(path):
        return jax.jit(lambda f, w, g: jax.vjp(path, f, w)[1](g))(field, weight, towards)

    for found in (pull(correlate), pull(correlate_by_products)):
        for ours, wanted in zip(found, pull(correlate_by_convolution), strict=True):
            # sums of up to 400 float64 terms of order one
            np.testing.assert_allclose(ours, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_batched_gradient_inside_scan_agrees(case, float64):
    """The weight gradient summed over a batch and over the steps of a loop, as in training."""
    inputs, out, taps = case
    fields = jnp.asarray(draw((3, 6, 8, inputs)))
    weight = jnp.asarray(draw((taps, taps, inputs, out)))

    def loss(path, weight):
        def body(total, scale):
            results = jax.vmap(lambda field: path(scale * field, weight))(fields)
            return total + jnp.mean(results**3), None

        return jax.lax.scan(body, 0.0, jnp.arange(1.0, 3.0))[0]

    found = jax.jit(jax.grad(lambda w: loss(correlate, w)))(weight)
    wanted = jax.jit(jax.grad(lambda w: loss(correlate_by_convolution, w)))(weight)
    np.testing.assert_allclose(found, wanted, rtol=1e-10)  # float64 sums of cubes of one sign


def test_forward_mode_agrees_with_linearity(float64):
    field, weight = jnp.asarray(draw((6, 6, 4))), jnp.asarray(draw((3, 3, 4, 5)))
    tangent = jnp.asarray(draw((6, 6, 4), 3))
    _, found = jax.jvp(lambda f: correlate(f, weight), (field,), (tangent,))
    np.testing.assert_allclose(
        found, correlate(tangent, weight), atol=1e-13
    )  # rounding of 36 terms


@settings(max_examples=12, deadline=None)
@given(
    ny=st.integers(1, 6),
    nx=st.integers(1, 6),
    inputs=st.integers(1, 5),
    out=st.integers(1, 5),
    taps=st.sampled_from([1, 3, 5]),
    seed=st.integers(0, 1000),
)
def test_any_sizes_also_kernels_larger_than_the_grid(ny, nx, inputs, out, taps, seed):
    field = draw((ny, nx, inputs), seed, np.float32)
    weight = draw((taps, taps, inputs, out), seed + 1, np.float32)
    found = jax.jit(correlate_by_products)(field, weight)
    # 125 float32 terms of order one
    np.testing.assert_allclose(found, by_definition(field, weight), rtol=0, atol=1e-4)


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
