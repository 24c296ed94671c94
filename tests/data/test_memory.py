"""Samples of a user's own dataset, in memory."""

import numpy as np
import pytest
import xarray as xr

from subgrid.data import MemorySamples
from subgrid.errors import ConfigError


def _data(**changes) -> xr.Dataset:
    random = np.random.default_rng(0)
    dims = ("time", "level", "y", "x")
    values = random.normal(size=(6, 2, 3, 4))
    found = {"q": (dims, values), "q_forcing": (dims, 2 * values)}
    return xr.Dataset({**found, **changes})


def test_samples_run_over_all_dims_that_count_them():
    data = xr.concat([_data(), 3 * _data()], "member").transpose("y", "time", ...)
    samples = MemorySamples(data, ("y", "x"))
    assert len(samples) == 12
    batch = samples.batch([7, 0])
    assert batch["q"].dtype == np.float32
    np.testing.assert_array_equal(batch["q"][0], data["q"].isel(member=1, time=1).transpose(
        "level", "y", "x").values.astype(np.float32))  # fmt: skip
    order = samples.batches(seed=1, batch_size=5)
    np.testing.assert_array_equal(order(3)["q"], order(3)["q"])
    twice = np.concatenate([order(n)["q"] for n in range(12)])
    # 60 draws are five passes over all twelve
    np.testing.assert_allclose(twice.sum(), 5 * samples.batch(np.arange(12))["q"].sum(), rtol=1e-4)


def test_statistics_are_per_channel():
    data = _data()
    found = MemorySamples(data, ("y", "x")).statistics()["q_forcing"]
    wanted = data["q_forcing"]
    np.testing.assert_allclose(found.mean, wanted.mean(("time", "y", "x")), atol=1e-6)
    np.testing.assert_allclose(found.std, wanted.std(("time", "y", "x")), rtol=1e-6)
    assert found.count == 6 * 3 * 4
    line = MemorySamples(data.isel(y=0, level=0), ("x",)).statistics()["q"]
    assert line.mean.shape == ()


def test_other_data_have_another_hash():
    assert MemorySamples(_data(), ("y", "x")).content_hash != (
        MemorySamples(2 * _data(), ("y", "x")).content_hash
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (_data().rename(x="lon"), "needs those of the domain"),
        (_data().isel(time=0), "count samples"),
        (_data().where(_data()["q"] > 0), "not finite; drop them"),
    ],
)
def test_data_that_do_not_fit_are_refused(data, message):
    with pytest.raises(ConfigError, match=message):
        MemorySamples(data, ("y", "x"))
