"""Where free runs begin, and the frames that follow, against those of the store."""

import numpy as np
import pytest

from subgrid.data import Following, Starts, choose_starts, open_dataset
from subgrid.data.store import update_attributes
from subgrid.errors import ConfigError, RunFolderError

# the store has two trajectories of six frames


def test_the_first_frames_are_those_of_trajectories_of_their_own(plain, copy):
    assert choose_starts(plain.path, 8, 2, 5) == Starts((0, 1), (0, 0))
    assert choose_starts(plain.path, 8, 1, 5, "first", seed=7) == Starts((0,), (0,))
    # fewer where there are no more, and none of a trajectory that failed
    assert len(choose_starts(plain.path, 8, 9, 5)) == 2
    update_attributes(copy, {"failed": [0]})
    assert choose_starts(copy, 8, 9, 5) == Starts((1,), (0,))


def test_random_starts_depend_on_the_seed_alone_and_leave_room_for_the_run(plain):
    many = choose_starts(plain.path, 8, 200, 4, "random", seed=3)
    assert many == choose_starts(plain.path, 8, 200, 4, "random", seed=3)
    assert many != choose_starts(plain.path, 8, 200, 4, "random", seed=4)
    assert len(many) == 200
    # four frames after frame 1 end with the last: both starts of both trajectories occur
    assert set(zip(many.trajectories, many.frames, strict=True)) == {
        (trajectory, frame) for trajectory in (0, 1) for frame in (0, 1)
    }
    assert set(choose_starts(plain.path, 8, 50, 5, "random").frames) == {0}


@pytest.mark.parametrize("seed", range(8))
def test_random_starts_leave_no_trajectory_out(plain, seed):
    # drawn with replacement, half of the seeds would start both runs in one of the two
    assert set(choose_starts(plain.path, 8, 2, 4, "random", seed).trajectories) == {0, 1}
    five = choose_starts(plain.path, 8, 5, 4, "random", seed).trajectories
    assert sorted((five.count(0), five.count(1))) == [2, 3]


def test_random_starts_are_in_no_trajectory_that_failed(copy):
    update_attributes(copy, {"failed": [0]})
    assert set(choose_starts(copy, 8, 50, 4, "random").trajectories) == {1}


def test_runs_that_do_not_fit_are_refused(plain, copy):
    with pytest.raises(ConfigError, match=r"runs of 6 frames .* trajectories of 6 frames"):
        choose_starts(plain.path, 8, 2, 6, "random")
    update_attributes(copy, {"complete": False})
    with pytest.raises(RunFolderError, match="not finished"):
        choose_starts(copy, 8, 2, 2)


@pytest.mark.parametrize(("stride", "length"), [(1, 4), (2, 2)])
@pytest.mark.parametrize("first", [0, 1])
def test_what_follows_are_the_frames_of_the_store(plain, stride, length, first):
    starts = choose_starts(plain.path, 8, 5, 4, "random", seed=1)
    assert len(set(zip(starts.trajectories, starts.frames, strict=True))) > 2
    names = ("q_forcing", "q")
    following = Following(plain.path, 8, names, starts, length, stride, first)
    data = open_dataset(plain.path, 8).load()
    assert following.shape == (5, length)
    got, part, last = following[:, :], following[1:4, 1:2], following[:, -1:]
    assert tuple(got) == names
    for name in names:
        wanted = np.stack(
            [
                data[name].values[trajectory, frame + stride * (i + first)]
                for trajectory, frame in zip(starts.trajectories, starts.frames, strict=True)
                for i in range(length)
            ]
        ).reshape(5, length, 2, 8, 8)
        assert got[name].dtype == np.float32
        np.testing.assert_array_equal(got[name], wanted)
        np.testing.assert_array_equal(part[name], wanted[1:4, 1:2])
        np.testing.assert_array_equal(last[name], wanted[:, -1:])
    np.testing.assert_array_equal(following.times, data["time"].values[list(starts.frames)])


def test_frames_are_read_only_when_they_are_asked_for(copy):
    following = Following(copy, 8, ("q",), Starts((0, 1), (0, 1)), 4)
    kept = following[:, :]
    for part in (copy / "scale_8/q/c/1").rglob("*"):
        if part.is_file():
            part.unlink()
    np.testing.assert_array_equal(following[:1, 2:]["q"], kept["q"][:1, 2:])
    with pytest.raises(Exception, match="trajectory 1"):
        following[:, 2:]
