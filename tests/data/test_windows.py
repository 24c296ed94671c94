"""Windows against the frames of their store; their order, and what does not fit."""

import numpy as np
import pytest

from subgrid.data import Samples, Windows, open_dataset
from subgrid.data.shards import ShardWriter
from subgrid.errors import ConfigError

NAMES = ("q", "q_forcing")


def _spoil(store, trajectory, frames):
    """Write NaN into these frames of q."""
    values = open_dataset(store, 8).q.values[trajectory].copy()
    values[frames, 0, 3, 3] = np.nan
    writer = ShardWriter(store.parent / "part", len(values))
    writer.append(values)
    writer.finish(store / "scale_8/q", values.ndim + 1, trajectory)


@pytest.mark.parametrize("in_memory", [True, False, "auto"])
def test_windows_are_frames_in_a_row_of_one_trajectory(plain, in_memory):
    windows = Windows(plain.path, 8, NAMES, 3, in_memory)
    # six frames in each of two trajectories: starts at frames 0, 1 and 2
    origins = [(trajectory, start) for trajectory in (0, 1) for start in range(3)]
    assert [windows.origin(number) for number in range(len(windows))] == origins
    data = open_dataset(plain.path, 8).load()
    batch = windows.batch([5, 0, 3])
    for name in NAMES:
        wanted = [data[name].values[i, t : t + 4] for i, t in (origins[n] for n in (5, 0, 3))]
        np.testing.assert_array_equal(batch[name], wanted)
        assert batch[name].dtype == np.float32
    assert windows.interval == data.time.values[1] - data.time.values[0] == 3 * 7200.0
    assert (windows.path, windows.scale, windows.variables) == (plain.path, 8, NAMES)
    assert windows.content_hash == plain.content_hash
    np.testing.assert_array_equal(windows.spread(3), Samples.spread(windows, 3))
    np.testing.assert_array_equal(windows.spread(99), np.arange(6))


def test_no_window_holds_a_frame_that_is_left_out(copy):
    _spoil(copy, 0, [3])
    windows = Windows(copy, 8, NAMES, 2)
    assert [windows.origin(n) for n in range(len(windows))] == [
        (0, 0),
        *((1, start) for start in range(4)),
    ]
    assert np.isfinite(windows.batch(range(len(windows)))["q"]).all()
    # only the arrays that are read count
    assert len(Windows(copy, 8, ("q_forcing",), 2)) == 8


def test_batches_depend_on_seed_and_number_only_and_visit_all(plain):
    load = Windows(plain.path, 8, ("q",), 3).batches(3, 4)
    forward = [load(update)["q"] for update in range(3)]
    again = Windows(plain.path, 8, ("q",), 3, in_memory=False).batches(3, 4)
    for update in reversed(range(3)):
        np.testing.assert_array_equal(again(update)["q"], forward[update])
    everything = {one.tobytes() for one in Windows(plain.path, 8, ("q",), 3).batch(range(6))["q"]}
    stream = np.concatenate(forward)
    for epoch in (stream[:6], stream[6:]):
        assert {one.tobytes() for one in epoch} == everything
    other = Windows(plain.path, 8, ("q",), 3).batches(4, 4)(0)["q"]
    assert not np.array_equal(other, forward[0])


def test_what_does_not_fit_is_refused(plain, copy):
    assert len(Windows(plain.path, 8, ("q",), 5)) == 2
    with pytest.raises(ConfigError, match=r"7 frames in a row, .* at scale 8 have at most 6\. Ask"):
        Windows(plain.path, 8, ("q",), 6)
    for trajectory, frames in ((0, [1, 4]), (1, range(6))):
        _spoil(copy, trajectory, list(frames))
    assert len(Windows(copy, 8, ("q",), 1)) == 1
    with pytest.raises(ConfigError, match=r"at most 2\. .* 8 of 12 frames .* not finite"):
        Windows(copy, 8, ("q",), 2)
    for frames in (0, True):
        with pytest.raises(ConfigError, match="frames must be a whole number of at least 1, got"):
            Windows(plain.path, 8, ("q",), frames)
    with pytest.raises(ConfigError, match="batch_size must be a whole number of at least 1, got 0"):
        Windows(plain.path, 8, ("q",), 2).batches(0, 0)
    with pytest.raises(ConfigError, match="no variable 'psi'"):
        Windows(plain.path, 8, ("psi",), 2)
