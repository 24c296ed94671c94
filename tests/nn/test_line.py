"""Networks on a periodic line."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from subgrid import nn
from subgrid.closures import Features, LearnedClosure, Output, ZeroMean
from subgrid.errors import ConfigError, ShapeError
from subgrid.nn import Conv1d, Conv2d, Scaler
from subgrid.nn.convolution import check_sample


def test_it_is_the_two_dimensional_convolution_of_fields_that_do_not_vary_along_y():
    line = Conv1d(3, 2, 5, key=jax.random.key(0))
    plane = Conv2d(3, 2, 5, key=jax.random.key(1))
    # a kernel of one row: the others are zero
    parts = jnp.zeros_like(plane.weight).at[2].set(line.weight), line.bias
    plane = eqx.tree_at(lambda layer: (layer.weight, layer.bias), plane, parts)
    field = jax.random.normal(jax.random.key(2), (3, 12))
    wanted = plane(jnp.broadcast_to(field[:, None], (3, 6, 12)))[:, 0]
    np.testing.assert_allclose(line(field), wanted, atol=2e-6)  # float32, sums of 15 of order one


def test_a_stencil_wider_than_the_domain_wraps():
    line = Conv1d(1, 1, 7, key=jax.random.key(0))
    field = jax.random.normal(jax.random.key(1), (1, 4))
    padded = np.tile(np.asarray(field[0]), 3)
    wanted = [np.dot(line.weight[:, 0, 0], padded[4 + x - 3 : 4 + x + 4]) for x in range(4)]
    np.testing.assert_allclose(line(field)[0] - line.bias[0], wanted, atol=1e-6)  # float32


@pytest.mark.parametrize("shift", [1, 5])
def test_a_stack_by_name_is_shift_equivariant_and_knows_its_cost(shift):
    network = nn.build(
        "8x5-x3", in_channels=1, out_channels=1, key=jax.random.key(0), spatial_dims=1
    )
    assert nn.dims_of(network) == network.spatial_dims == 1
    assert nn.flops(network, 8) == 2 * 8 * (5 * 8 + 3 * 8)
    field = jax.random.normal(jax.random.key(1), (1, 8))
    rolled = network(jnp.roll(field, shift, 1))
    np.testing.assert_allclose(rolled, jnp.roll(network(field), shift, 1), atol=1e-6)  # float32


def test_a_closure_of_a_line_takes_a_state_of_one_array():
    network = nn.build(
        "8x5-x3", in_channels=1, out_channels=1, key=jax.random.key(0), spatial_dims=1
    )
    output = Output(Scaler([0.0], [5.0]), [ZeroMean()])
    closure = LearnedClosure(Features(scaler=Scaler([2.0], [3.0])), network, output)
    state = {"x": jax.random.normal(jax.random.key(1), (8,))}
    increment = closure(state)[0]["x"]
    wanted = 5 * network((state["x"][None] - 2) / 3)[0]
    np.testing.assert_allclose(increment, wanted - jnp.mean(wanted), rtol=1e-5, atol=1e-5)
    with pytest.raises(ShapeError, match=r"arrays \[x\] or \[level, x\].*jax\.vmap"):
        closure({"x": jnp.zeros((2, 3, 8))})


def test_wrong_use_is_named():
    build = {"in_channels": 1, "out_channels": 1, "key": jax.random.key(0)}
    with pytest.raises(ConfigError, match="separable ones 2"):
        nn.build("8s5-x3", **build, spatial_dims=1)
    with pytest.raises(ConfigError, match="1 or 2 dimensions"):
        nn.build("8x5-x3", **build, spatial_dims=3)
    with pytest.raises(ShapeError, match=r"\[1, x\], got \[1, 4, 8\]"):
        check_sample(jnp.zeros((1, 4, 8)), 1, spatial_dims=1)
