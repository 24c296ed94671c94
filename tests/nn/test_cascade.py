"""The cascade of any number of scales, its stages, and the stacked twin."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cascade_stages import stage_output, stage_target

from subgrid.errors import ConfigError, ShapeError, UnknownNameError
from subgrid.grids import downscale, upscale
from subgrid.nn import Cascade, Stacked, build, build_cascade, flops, parameter_count, trainable

KEY = jax.random.key(0)
STATE = jax.random.normal(jax.random.key(1), (2, 16, 16))
TARGET = jax.random.normal(jax.random.key(2), (2, 16, 16))


@functools.cache
def small_cascade(sizes=(16, 12, 8)):
    names = ["4x3-x3"] * len(sizes)
    return build_cascade(names, sizes, state_channels=2, out_channels=2, key=KEY)


@eqx.filter_jit
def predictions(cascade, state=STATE):
    return [cascade.predict(state, level) for level in range(len(cascade.sizes))]


def close(found, wanted):
    # float32 transforms of fields of order one
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


COUNTS = [(("psm4", "pmd8"), 468420), (("md8", "md8"), 1700420)]


@pytest.mark.parametrize(("names", "count"), COUNTS)
def test_cascade_and_stack_have_the_published_count(names, count):
    cascade = build_cascade(names, (64, 48), state_channels=2, out_channels=2, key=KEY)
    assert parameter_count(cascade) == count
    assert parameter_count(Stacked(*cascade.networks)) == count


@pytest.mark.parametrize("sizes", [(16,), (16, 8), (16, 12, 8), (16, 12, 8, 4)])
def test_any_number_of_levels(sizes):
    cascade = small_cascade(sizes)
    for level, size in enumerate(reversed(sizes)):
        assert cascade.stage_size(level) == size
        result = jax.eval_shape(lambda s, level=level: cascade.predict(s, level), STATE)
        assert result.shape == (2, size, size)
    assert jax.eval_shape(cascade, STATE).shape == (2, 16, 16)


def test_prediction_is_the_residual_formula():
    cascade = small_cascade()

    @eqx.filter_jit
    def formula(networks):
        first, second, third = networks
        s0 = downscale(first(STATE), 8, 8)
        s1 = second(jnp.concatenate([downscale(STATE, 12, 12), upscale(s0, 12, 12)]))
        s1 = s1 + upscale(s0, 12, 12)
        s2 = third(jnp.concatenate([STATE, upscale(s0, 16, 16), upscale(s1, 16, 16)]))
        return s0, s1, s2 + upscale(s1, 16, 16)

    for found, wanted in zip(predictions(cascade), formula(cascade.networks), strict=True):
        close(found, wanted)
    close(eqx.filter_jit(cascade)(STATE), predictions(cascade)[-1])


@pytest.mark.parametrize("level", [0, 1, 2])
def test_stage_output_equal_to_its_target_gives_the_truth(level):
    """Prediction = D†(earlier) + scale · output, so output = target means S_level = D(truth)."""
    cascade = small_cascade()
    cascade = Cascade(cascade.networks, cascade.sizes, jnp.array([0.5, 2.0, 3.0]))
    size = cascade.stage_size(level)

    @eqx.filter_jit
    def errors(cascade):
        error = stage_output(cascade, STATE, level) - stage_target(cascade, TARGET, STATE, level)
        wanted = cascade.predict(STATE, level) - downscale(TARGET, size, size)
        return cascade.scales[level] * error, wanted

    close(*errors(cascade))


def test_scales_multiply_each_stage():
    cascade = small_cascade((16, 8))
    halved = Cascade(cascade.networks, cascade.sizes, jnp.array([0.5, 1.0]))
    close(predictions(halved)[0], 0.5 * predictions(cascade)[0])


def test_a_stage_trains_its_own_network_only():
    cascade = small_cascade()

    def loss(cascade):
        target = stage_target(cascade, TARGET, STATE, 1)
        return jnp.mean((stage_output(cascade, STATE, 1) - target) ** 2)

    gradient = eqx.filter_jit(eqx.filter_grad(loss))(cascade)
    size = [sum(jnp.sum(jnp.abs(g)) for g in jax.tree.leaves(net)) for net in gradient.networks]
    assert size[0] == 0
    assert size[1] > 0
    assert size[2] == 0


def test_call_is_differentiable_end_to_end():
    loss = eqx.filter_grad(lambda c: jnp.mean(c(STATE) ** 2))
    gradient = eqx.filter_jit(loss)(small_cascade())
    for network in gradient.networks:
        assert jnp.any(network.layers[0].weight != 0)


def test_scales_are_no_weights():
    cascade = small_cascade()
    weights = eqx.filter(cascade, trainable(cascade))
    assert not jax.tree.leaves(weights._scales)
    assert parameter_count(cascade) == sum(parameter_count(one) for one in cascade.networks)


def test_rows_follow_the_aspect_of_the_state():
    cascade = small_cascade()
    result = jax.eval_shape(lambda s: cascade.predict(s, 1), STATE[:, :8])
    assert result.shape == (2, 6, 12)


def test_shift_by_a_common_cell_shifts_the_prediction():
    """A shift by 4 of 16 cells is one of 3 of 12 and 2 of 8, so all levels shift by whole cells."""
    cascade = eqx.filter_jit(small_cascade())
    close(cascade(jnp.roll(STATE, (4, -8), (1, 2))), jnp.roll(cascade(STATE), (4, -8), (1, 2)))


def test_cost_counts_each_network_on_its_grid():
    cascade = small_cascade()
    first, second, third = cascade.networks
    wanted = flops(first, 16, 16) + flops(second, 12, 12) + flops(third, 16, 16)
    assert flops(cascade, 16, 16) == wanted


def test_stack_adds_a_correction():
    keys = jax.random.split(KEY)
    first, second = (
        build("4x3-x3", in_channels=count, out_channels=2, key=key)
        for count, key in zip((2, 4), keys, strict=True)
    )
    guess = eqx.filter_jit(first)(STATE)
    wanted = guess + eqx.filter_jit(second)(jnp.concatenate([STATE, guess]))
    close(eqx.filter_jit(Stacked(first, second))(STATE), wanted)
    assert flops(Stacked(first, second), 8, 8) == flops(first, 8, 8) + flops(second, 8, 8)


@pytest.mark.parametrize("sizes", [(8, 16), (16, 16), (16, 7), (16,), (16, 12, 8)])
def test_sizes_must_fall_be_even_and_fit_the_networks(sizes):
    networks = small_cascade((16, 8)).networks
    with pytest.raises(ConfigError):
        Cascade(networks, sizes)


def test_channels_of_the_stages_must_fit():
    network = build("4x3-x3", in_channels=2, out_channels=2, key=KEY)
    with pytest.raises(ConfigError, match="network 1 maps 2 to 2"):
        Cascade((network, network), (16, 8))
    with pytest.raises(ConfigError, match="network 1 maps 2 to 2"):
        Stacked(network, network)


def test_scales_must_be_one_per_level():
    with pytest.raises(ShapeError, match="scales"):
        Cascade(small_cascade((16, 8)).networks, (16, 8), jnp.ones(3))


@pytest.mark.parametrize("shape", [(2, 12, 12), (2, 15, 16), (3, 16, 16)])
def test_states_that_do_not_fit_are_refused(shape):
    with pytest.raises(ShapeError):
        small_cascade()(jnp.zeros(shape))


def test_unknown_network_is_named():
    with pytest.raises(UnknownNameError, match="psm44"):
        build_cascade(["psm4", "psm44"], (16, 8), state_channels=2, out_channels=2, key=KEY)
