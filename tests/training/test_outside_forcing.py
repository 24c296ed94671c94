"""What drives a system from outside reaches its closures in training and in the offline scores."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from jaxtyping import Array
from small_systems import Tracer, TracerState

from subgrid.closures import AbstractClosure, Features, LearnedClosure, Output
from subgrid.data import MemorySamples
from subgrid.evaluation import evaluate_offline
from subgrid.grids import MaskedBasin
from subgrid.nn import ConvNet
from subgrid.randomness import random_key
from subgrid.training import Adam, Constant, Plan, train_offline

MASK = np.ones((4, 5), bool)
MASK[0, 0] = False
SYSTEM = Tracer(MaskedBasin(MASK, dx=1.0, dy=1.0), speed=0.8)
SHARE = 0.7  # of the wind's exchange that the coarse model lacks


class Carried(AbstractClosure):
    """A share of the wind."""

    share: Array

    def __call__(self, state, memory=None, forcing=None):
        return TracerState(self.share * forcing.east), memory


def dataset(count=60):
    """Return states at their times, and SHARE of the wind then."""
    times = np.linspace(0, 6, count)
    c = np.random.default_rng(0).random((count, *MASK.shape))
    wind = 0.8 * np.sin(times)[:, None, None] * np.ones(MASK.shape)
    dims = ("time", "y", "x")
    return xr.Dataset({"c": (dims, c), "c_forcing": (dims, SHARE * wind)}, {"time": times})


@pytest.fixture
def closure():
    return Carried(jnp.zeros(()))


def test_a_closure_that_sees_it_learns_its_share(closure, tmp_path):
    settings = {"batch_size": 20, "validation_samples": 20, "validate_every": 50, "chunk": 20}
    plan = Plan(Adam(Constant(2e-2)), 200, **settings)
    samples = MemorySamples(dataset(), ("y", "x"))
    given = {"folder": tmp_path, "seed": 1, "system": SYSTEM}
    trained = train_offline(closure, samples, samples, plan, **given).closure
    # Adam at a constant rate stays within a few of its steps
    assert float(trained.share) == pytest.approx(SHARE, abs=0.05)


def test_a_network_that_sees_it_learns_its_share(tmp_path):
    network = ConvNet(2, 1, (), (1,), key=random_key(0))  # one product and one bias
    closure = LearnedClosure(Features(("c", "forcing")), network, Output(), SYSTEM)
    settings = {"batch_size": 20, "validation_samples": 20, "validate_every": 50, "chunk": 20}
    plan = Plan(Adam(Constant(2e-2)), 200, **settings)
    samples = MemorySamples(dataset(), ("y", "x"))
    trained = train_offline(closure, samples, samples, plan, folder=tmp_path, seed=1).closure
    assert np.min(np.ravel(trained.features.scaler.scale)) > 0.1
    state = TracerState(jnp.full(MASK.shape, 0.4))
    for time in (0.5, 2.0, 4.0):
        wind = SYSTEM.forcing_at(jnp.asarray(time))
        np.testing.assert_allclose(trained(state, None, wind)[0].c, SHARE * wind.east, atol=0.05)


def test_offline_scores_are_of_the_times_of_the_states(closure):
    data = dataset()
    fields, forcing = (data[name].values[:, None] for name in ("c", "c_forcing"))
    right = Carried(jnp.asarray(SHARE))
    given = {"system": SYSTEM, "scale": forcing.std()}
    times = data["time"].values
    scores = evaluate_offline(right, [(fields, forcing, times)], **given)
    np.testing.assert_allclose(scores["mse"], 0.0, atol=1e-10)  # float32
    without = evaluate_offline(right, [(fields, forcing)], **given)  # as at time 0: no wind
    mask, variance = jnp.asarray(MASK), forcing.std() ** 2
    wet = np.mean(np.square(forcing[..., mask])) / variance
    np.testing.assert_allclose(without["mse"], wet, rtol=1e-5)


def test_samples_in_memory_know_their_times():
    samples = MemorySamples(dataset(), ("y", "x"))
    np.testing.assert_allclose(samples.batch([0, 59])["start_time"], [0.0, 6.0])
    assert jax.tree.map(np.shape, samples.batch([1]))["c"] == (1, *MASK.shape)
    dated = dataset().assign_coords(time=np.arange(60).astype("datetime64[D]"))
    assert not MemorySamples(dated, ("y", "x")).batch([3])["start_time"].any()
