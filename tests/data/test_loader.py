"""Statistics against numpy, and batches that depend on seed and number only."""

import importlib
import json

import numpy as np
import pytest

from subgrid.data import Samples, describe_left_out, open_dataset, statistics
from subgrid.data.shards import ShardWriter
from subgrid.data.store import update_attributes
from subgrid.errors import ConfigError

# the package's name `statistics` is the function
statistics_module = importlib.import_module("subgrid.data.statistics")


def _rewrite(store, array, trajectory, frames):
    writer = ShardWriter(store.parent / "part", len(frames))
    writer.append(frames)
    writer.finish(store / array, frames.ndim + 1, trajectory)


def test_statistics_agree_with_numpy(copy):
    found = statistics(copy, 8)
    for name, values in open_dataset(copy, 8).load().data_vars.items():
        exact = values.values.astype(np.float64)
        axes = (0, 1, 3, 4)
        # float64 sums in another order
        np.testing.assert_allclose(found[name].mean, exact.mean(axes), rtol=1e-12, atol=1e-30)
        np.testing.assert_allclose(found[name].variance, exact.var(axes), rtol=1e-12)
        np.testing.assert_allclose(found[name].std, exact.std(axes), rtol=1e-12)
        np.testing.assert_array_equal(found[name].minimum, exact.min(axes))
        np.testing.assert_array_equal(found[name].maximum, exact.max(axes))
        assert found[name].count == 2 * 6 * 64
        assert found[name].excluded == ()


def test_statistics_are_kept_until_the_data_change(copy, monkeypatch):
    first = statistics(copy, 8)
    reads = []
    one_pass = statistics_module._one_pass
    monkeypatch.setattr(
        statistics_module, "_one_pass", lambda *given: reads.append(1) or one_pass(*given)
    )
    _assert_same(statistics(copy, 8), first)
    assert not reads
    update_attributes(copy, {"content_hash": "another"})
    _assert_same(statistics(copy, 8), first)
    assert len(reads) == len(first)


@pytest.mark.parametrize("damage", ["value", "hash", "truncated", "no table", "not UTF-8"])
def test_damaged_statistics_are_made_anew(copy, damage):
    """Every way to alter the file ends in the numbers, and the bytes, it held before."""
    first = statistics(copy, 8)
    cache = copy.with_suffix(".statistics.json")
    sound = cache.read_text()
    content = json.loads(sound)
    match damage:
        case "value":  # still valid JSON: only the checksum tells
            content["scales"]["8"]["q"]["mean"][0] += 1e-6
        case "hash":
            content["sha256"] = "0" * 64
        case "no table":
            content = [1, 2]
    cache.write_text(sound[:-30] if damage == "truncated" else json.dumps(content, indent=1))
    if damage == "not UTF-8":
        cache.write_bytes(b"\xff" + sound.encode()[1:])
    assert cache.read_bytes() != sound.encode()
    _assert_same(statistics(copy, 8), first)
    assert cache.read_text() == sound


def _assert_same(found, wanted):
    assert found.keys() == wanted.keys()
    for name, values in found.items():
        for part in ("mean", "variance", "minimum", "maximum"):
            np.testing.assert_array_equal(getattr(values, part), getattr(wanted[name], part))
        assert (values.count, values.excluded) == (wanted[name].count, wanted[name].excluded)


def test_frames_that_are_not_finite_are_counted_and_left_out(copy):
    frames = open_dataset(copy, 8).q.values[1].copy()
    frames[2, 0, 3, 3] = np.nan
    frames[4] = np.inf
    _rewrite(copy, "scale_8/q", 1, frames)
    found = statistics(copy, 8)
    assert found["q"].excluded == ((1, 2), (1, 4))
    assert found["q_forcing"].excluded == ()
    assert found["q"].count == 10 * 64
    kept = np.concatenate([open_dataset(copy, 8).q.values[0], frames[[0, 1, 3, 5]]])
    np.testing.assert_allclose(found["q"].mean, kept.mean((0, 2, 3), np.float64), rtol=1e-12)
    samples = Samples(copy, 8)
    assert len(samples) == 10
    assert [samples.origin(i) for i in range(6, 10)] == [(1, 0), (1, 1), (1, 3), (1, 5)]
    assert samples.left_out == ((1, 2, 2),)
    assert describe_left_out(samples) == (
        "2 of 12 frames of train.zarr at scale 8 hold values of q or q_forcing that are not finite "
        "and are left out: trajectory 1 (2 from frame 2 on)."
    )
    # only the arrays that are read count
    assert describe_left_out(Samples(copy, 8, variables=("q_forcing",))) is None


def test_nothing_is_told_of_whole_data(plain):
    samples = Samples(plain.path, 8)
    assert (samples.left_out, describe_left_out(samples)) == ((), None)
    assert samples.stored == len(samples) == 12


@pytest.mark.parametrize("in_memory", [True, False, "auto"])
def test_batches_are_the_frames_of_the_store(plain, in_memory):
    samples = Samples(plain.path, 8, in_memory=in_memory)
    data = open_dataset(plain.path, 8).load()
    batch = samples.batch([11, 0, 7])
    for name in ("q", "q_forcing"):
        values = data[name].values.reshape(12, 2, 8, 8)
        np.testing.assert_array_equal(batch[name], values[[11, 0, 7]])
        assert batch[name].dtype == np.float32
    assert samples.in_memory == (in_memory is not False)
    assert samples.nbytes == 12 * 2 * 2 * 64 * 4
    assert samples.content_hash == plain.content_hash


def test_batches_depend_on_seed_and_number_only(plain):
    samples = Samples(plain.path, 8, variables=("q",))
    load = samples.batches(3, 5)
    forward = [load(update)["q"] for update in range(6)]
    again = Samples(plain.path, 8, variables=("q",), in_memory=False).batches(3, 5)
    for update in reversed(range(6)):
        np.testing.assert_array_equal(again(update)["q"], forward[update])
    other = samples.batches(4, 5)(0)["q"]
    assert not np.array_equal(other, forward[0])


def test_every_sample_once_per_epoch(plain):
    samples = Samples(plain.path, 8, variables=("q",))
    load = samples.batches(0, 5)
    stream = np.concatenate([load(update)["q"] for update in range(5)])[:24]
    everything = {frame.tobytes() for frame in samples.batch(range(12))["q"]}
    for epoch in (stream[:12], stream[12:]):
        assert {frame.tobytes() for frame in epoch} == everything
    assert not np.array_equal(stream[:12], stream[12:])


def test_unknown_variable_and_empty_batches_are_refused(plain):
    with pytest.raises(ConfigError, match="no variable 'psi' but q, q_forcing"):
        Samples(plain.path, 8, variables=("psi",))
    with pytest.raises(ConfigError, match="at least 1"):
        Samples(plain.path, 8).batches(0, 0)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_gives_the_draws_of_another_is_refused(seed, plain):
    with pytest.raises(ConfigError, match=f"seed is {seed}; .* from 0 to 4294967295"):
        Samples(plain.path, 8).batches(seed, 1)
