"""Training on a line, from a user's dataset in memory: networks, and formulas with memory."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from subgrid import nn
from subgrid.closures import (
    Features,
    FluxForm,
    LearnedClosure,
    LocalPolynomial,
    Output,
    ZeroMean,
    check_closure,
)
from subgrid.data import MemorySamples
from subgrid.errors import ConfigError
from subgrid.systems import Lorenz96
from subgrid.training import Adam, Constant, Plan, read_records, train_offline

SYSTEM = Lorenz96(8).at(8)  # the slow variable alone


def samples(seed, count=64):
    """Return states whose target is a polynomial of the value and of the one to the left."""
    random = np.random.default_rng(seed)
    x = 3 + 4 * random.normal(size=(count, 8))
    target = 0.5 - 1.2 * x + 0.3 * np.roll(x, 1, -1)
    data = {"x": (("sample", "k"), x), "x_forcing": (("sample", "k"), target)}
    return MemorySamples(xr.Dataset(data), ("k",))


def plan(rate, updates=200):
    settings = {"batch_size": 16, "validation_samples": 32, "validate_every": 50, "chunk": 16}
    return Plan(Adam(Constant(rate)), updates, **settings)


def last_loss(folder):
    return read_records(folder / "metrics.jsonl")[-1]["validation"]["loss"]


def test_a_network_of_a_line_learns_a_stencil(tmp_path):
    network = nn.build("x3", in_channels=1, out_channels=1, key=jax.random.key(0), spatial_dims=1)
    closure = LearnedClosure(Features(), network, Output())
    result = train_offline(closure, samples(0), samples(1), plan(3e-2), folder=tmp_path, seed=1)
    # a linear target of one stencil, which such a network holds exactly
    assert last_loss(tmp_path) < 1e-4
    check_closure(result.closure, SYSTEM)
    assert result.gflop_per_sample[0] == pytest.approx(3 * 2 * 3 * 8 / 1e9)


def test_named_features_and_constraints_are_those_of_the_line(tmp_path):
    features = Features(("tendency", "x"))
    network = nn.build("x1", in_channels=2, out_channels=1, key=jax.random.key(0), spatial_dims=1)
    closure = LearnedClosure(features, network, Output(None, [ZeroMean()]), SYSTEM)
    given = samples(0), samples(1)
    result = train_offline(closure, *given, plan(1e-2, 20), folder=tmp_path, seed=1)
    state = SYSTEM.State(jnp.asarray(given[0].batch([0])["x"][0]))
    increment = eqx.filter_jit(lambda c, x: c(x)[0])(result.closure, state).x
    assert abs(float(increment.mean())) < 1e-6 * float(np.abs(increment).max())  # float32 sums
    assert result.closure.features.scaler.mean.shape == (2,)
    with pytest.raises(ConfigError, match="flux-form takes derivatives on a doubly periodic plane"):
        FluxForm.for_system(SYSTEM)


def test_a_formula_is_trained_from_where_it_is(tmp_path):
    """The local part of the target is 0.5 - 1.2 x, and what its neighbour adds on average."""
    closure = LocalPolynomial(SYSTEM, [0.0, 0.0])
    given = samples(0), samples(1)
    result = train_offline(closure, *given, plan(2e-2, 400), folder=tmp_path, seed=1)
    x = given[0].batch(np.arange(64))
    slope, constant = np.polyfit(x["x"].ravel(), x["x_forcing"].ravel(), 1)
    # Adam at a constant rate stays within a few of its steps of the least squares
    np.testing.assert_allclose(result.closure.coefficients, [[constant, slope]], atol=0.1)
