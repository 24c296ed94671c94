"""The named stacks: counts of the paper, shapes, equivariance, learning, names."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from subgrid.errors import ConfigError, ShapeError, UnknownNameError
from subgrid.nn import NETWORKS, ConvNet, build, flops, parameter_count, trainable

KEY = jax.random.key(0)


@pytest.mark.parametrize(
    ("name", "inputs", "count"),
    [
        ("small", 2, 267426),
        ("small", 4, 273826),
        ("large", 2, 839842),
        ("large", 4, 860578),
        ("md8", 2, 839842),
        ("psm4", 2, 95266),
        ("pmd8", 4, 373154),
    ],
)
def test_parameter_counts_of_the_paper(name, inputs, count):
    network = eqx.filter_eval_shape(build, name, in_channels=inputs, out_channels=2, key=KEY)
    assert sum(leaf.size for leaf in jax.tree.leaves(network)) == count


def test_parameter_count_counts_weights_and_biases():
    assert parameter_count(build("psm4", in_channels=3, out_channels=2, key=KEY)) == 96418


@pytest.mark.parametrize("name", [*NETWORKS.names(), "lg3", "plg2", "sm1", "6x5-4x3-x1"])
def test_every_name_maps_channels_on_any_grid(name):
    def run(key, field):
        return build(name, in_channels=3, out_channels=2, key=key)(field)

    result = jax.eval_shape(run, KEY, jax.ShapeDtypeStruct((3, 6, 10), jnp.float32))
    assert result.shape == (2, 6, 10)


def test_explicit_name_and_width_set_the_layers():
    network = build("64x5-32x3-x1", in_channels=2, out_channels=4, key=KEY, width=0.5)
    layers = [(one.in_channels, one.out_channels, one.kernel_size) for one in network.layers]
    assert layers == [(2, 32, 5), (32, 16, 3), (16, 4, 1)]


def test_network_is_its_layers_with_relu_between():
    network = build("psm4", in_channels=2, out_channels=2, key=KEY, width=0.1)
    field = jax.random.normal(KEY, (2, 6, 8))
    wanted = field
    for layer in network.layers[:-1]:
        wanted = jax.nn.relu(layer(wanted))
    wanted = network.layers[-1](wanted)
    # the same products, fused otherwise
    np.testing.assert_allclose(network(field), wanted, rtol=1e-5, atol=1e-6)


def test_network_commutes_with_shifts():
    network = eqx.filter_jit(build("sm4", in_channels=2, out_channels=2, key=KEY, width=0.25))
    field = jax.random.normal(KEY, (2, 12, 16))
    shifted = network(jnp.roll(field, (3, -5), (1, 2)))
    # exact but for the order in which a matrix product sums rows near its edge
    np.testing.assert_allclose(shifted, jnp.roll(network(field), (3, -5), (1, 2)), atol=1e-6)


def test_network_overfits_one_batch():
    keys = jax.random.split(KEY, 3)
    network = build("16x3-16x3-x3", in_channels=2, out_channels=1, key=keys[0])
    fields = jax.random.normal(keys[1], (4, 2, 8, 8))
    targets = jnp.mean(fields, axis=1, keepdims=True) * jnp.roll(fields[:, :1], 1, axis=-1)
    optimiser = optax.adam(1e-2)

    def loss(network):
        return jnp.mean((jax.vmap(network)(fields) - targets) ** 2)

    @eqx.filter_jit
    def train(network):
        def body(carry, _):
            network, memory = carry
            updates, memory = optimiser.update(jax.grad(loss)(network), memory)
            return (eqx.apply_updates(network, updates), memory), None

        return jax.lax.scan(body, (network, optimiser.init(network)), length=300)[0][0]

    # a twentieth after 300 updates (a hundredth was measured) shows that all layers learn
    assert loss(train(network)) < 0.05 * loss(network)


def test_float64_input_is_computed_in_float64(float64):
    network = build("psm4", in_channels=2, out_channels=2, key=KEY, width=0.1)
    for dtype in (jnp.float32, jnp.float64):
        assert jax.eval_shape(network, jax.ShapeDtypeStruct((2, 4, 4), dtype)).dtype == dtype


def test_cost_of_small_is_the_published_one():
    network = build("psm4", in_channels=2, out_channels=2, key=KEY)
    weights = parameter_count(network) - (128 + 64 + 32 + 2)
    assert flops(network, 64, 64) == 2 * weights * 64 * 64


def test_cost_of_a_network_that_does_not_say_it():
    with pytest.raises(TypeError, match="flops"):
        flops(eqx.nn.Identity(), 4, 4)


def test_all_arrays_of_a_stack_are_weights():
    network = build("psm4", in_channels=2, out_channels=2, key=KEY, width=0.1)
    assert all(jax.tree.leaves(trainable(network)))


def test_unknown_name_lists_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'small'"):
        build("smal", in_channels=2, out_channels=2, key=KEY)


def test_own_network_by_module_and_class():
    found = NETWORKS.get("subgrid.nn:ConvNet")
    assert found is ConvNet


@pytest.mark.parametrize("width", [0.0, -1.0, float("nan")])
def test_width_must_be_positive(width):
    with pytest.raises(ConfigError, match="width"):
        build("psm4", in_channels=2, out_channels=2, key=KEY, width=width)


def test_kernel_sizes_must_fit_the_layers():
    with pytest.raises(ConfigError, match="kernel"):
        ConvNet(2, 2, (8, 8), (3, 3), key=KEY)


def test_even_kernel_in_a_name_is_refused():
    with pytest.raises(ConfigError, match="odd"):
        build("8x4-x3", in_channels=2, out_channels=2, key=KEY)


def test_wrong_channels_are_refused():
    network = build("psm4", in_channels=2, out_channels=2, key=KEY, width=0.1)
    with pytest.raises(ShapeError, match=r"\[2, y, x\]"):
        network(jnp.zeros((4, 8, 8)))
    with pytest.raises(TypeError, match="float16"):
        network(jnp.zeros((2, 8, 8), jnp.float16))
