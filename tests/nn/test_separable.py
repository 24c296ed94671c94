"""The depthwise-separable convolution against its definition, and networks made of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from subgrid import nn
from subgrid.errors import ConfigError, ShapeError
from subgrid.nn.convolution import _by_convolution, correlate_each


def draw(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("taps", [1, 3, 5])
def test_a_layer_equals_its_definition(taps, float64):
    layer = nn.SeparableConv2d(4, 6, taps, key=jax.random.key(0))
    field = draw((4, 10, 14))
    depthwise, pointwise, bias = (
        np.asarray(a, np.float64) for a in (layer.depthwise, layer.pointwise, layer.bias)
    )
    mixed = sum(
        np.roll(field, (taps // 2 - i, taps // 2 - j), (1, 2)) * depthwise[i, j][:, None, None]
        for i in range(taps)
        for j in range(taps)
    )
    wanted = np.tensordot(pointwise.T, mixed, 1) + bias[:, None, None]
    # float64 sums of at most 25 + 4 terms of order one
    np.testing.assert_allclose(layer(jnp.asarray(field)), wanted, atol=1e-13)


def test_gradients_agree_with_the_grouped_convolution(float64):
    field, weight = jnp.asarray(draw((5, 8, 12))), jnp.asarray(draw((3, 3, 5), 1))
    towards = jnp.asarray(draw((5, 8, 12), 2))

    def grouped(field, weight):
        return _by_convolution(jnp.pad(field, ((0, 0), (1, 1), (1, 1)), mode="wrap"), weight)

    ours, theirs = (jax.vjp(f, field, weight)[1](towards) for f in (correlate_each, grouped))
    for found, wanted in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_a_network_by_name_counts_its_weights_and_operations():
    network = nn.build("16x3-8s5-x3", in_channels=2, out_channels=3, key=jax.random.key(0))
    kinds = [type(layer).__name__ for layer in network.layers]
    assert kinds == ["Conv2d", "SeparableConv2d", "Conv2d"]
    weights = (9 * 2 + 1) * 16 + (25 * 16 + (16 + 1) * 8) + (9 * 8 + 1) * 3
    assert nn.parameter_count(network) == weights
    assert nn.flops(network, 6, 10) == 2 * 60 * (9 * 2 * 16 + 16 * (25 + 8) + 9 * 8 * 3)
    out = network(jnp.asarray(draw((2, 6, 10)), jnp.float32))
    assert out.shape == (3, 6, 10)
    shifted = network(jnp.asarray(np.roll(draw((2, 6, 10)), (2, 3), (1, 2)), jnp.float32))
    np.testing.assert_allclose(shifted, np.roll(out, (2, 3), (1, 2)), atol=1e-5)


@pytest.mark.parametrize("name", ["16s3", "s", "16x3-x", "x3-16s3", "16s3--x3", "s3-s3"])
def test_names_that_are_no_network_are_refused(name):
    with pytest.raises(ConfigError, match="unknown network"):
        nn.build(name, in_channels=2, out_channels=2, key=jax.random.key(0))


def test_wrong_sizes_are_refused():
    with pytest.raises(ConfigError, match="kernel_size = 4"):
        nn.SeparableConv2d(2, 2, 4, key=jax.random.key(0))
    with pytest.raises(ConfigError, match="at least one channel"):
        nn.SeparableConv2d(0, 2, 3, key=jax.random.key(0))
    with pytest.raises(ShapeError):
        nn.SeparableConv2d(2, 2, 3, key=jax.random.key(0))(jnp.ones((3, 4, 4)))
