"""Where free runs begin in a store, and the frames of the truth that follow each start."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from subgrid.data.shards import ShardReader
from subgrid.data.statistics import array_names
from subgrid.data.store import complete_attributes, frame_times, group_name, present_trajectories
from subgrid.errors import ConfigError
from subgrid.randomness import Stream, generator


@dataclass(frozen=True)
class Starts:
    """The `trajectories` and `frames` of the initial states, one of each per member."""

    trajectories: tuple[int, ...]
    frames: tuple[int, ...]

    def __len__(self) -> int:
        """Return the number of members."""
        return len(self.trajectories)


def choose_starts(
    path: str | Path,
    scale: int,
    members: int,
    length: int,
    how: Literal["first", "random"] = "first",
    seed: int = 0,
) -> Starts:
    """Return where `members` free runs begin, each followed by `length` frames of the truth.

    "first": at the first frame of a trajectory of their own, in order, fewer where the store has
    fewer that did not fail, whatever their length. "random": each at a frame drawn by `seed`, in
    each trajectory as often as in every other, give or take one, in an order drawn by `seed`
    (Otness, Zanna & Bruna 2025 draw trajectories with replacement, which can leave some out).
    Raises ConfigError for these if trajectories are too short, RunFolderError for an unfinished
    store.
    """
    present = present_trajectories(complete_attributes(Path(path)))
    if how == "first":
        chosen = present[:members]
        return Starts(chosen, (0,) * len(chosen))
    name = next(iter(array_names(Path(path), scale)))
    times = ShardReader(path, f"{group_name(scale)}/{name}").shape[1]
    if times <= length:
        raise ConfigError(
            f"{path}: runs of {length} frames cannot start in trajectories of {times} frames"
        )
    random = generator(Stream.STARTS, seed)
    rounds = -(-members // len(present))
    rows = np.concatenate([random.permutation(len(present)) for _ in range(rounds)])[:members]
    frames = random.integers(0, times - length, members)
    return Starts(tuple(present[row] for row in rows), tuple(int(frame) for frame in frames))


class Following:
    """The truth from the start of every member on: slices like an array [member, time].

    `names`: variables of the store; a slice holds arrays by these names, [member, time, ...],
    float32. Time i is frame `stride` · (i + `first`) after the start; frames are read when they are
    asked for. `times` [member]: of the starts, since the start of their trajectories.
    """

    def __init__(
        self,
        path: str | Path,
        scale: int,
        names: Sequence[str],
        starts: Starts,
        length: int,
        stride: int = 1,
        first: int = 1,
    ):
        group = group_name(scale)
        self._readers = {name: ShardReader(path, f"{group}/{name}") for name in names}
        self._starts, self._stride, self._first = starts, stride, first
        self.shape = (len(starts), length)
        self.times = frame_times(path)[list(starts.frames)]

    def __getitem__(self, key: tuple[slice, slice]) -> dict[str, NDArray[np.float32]]:
        """Return the frames of a slice of members and of times."""
        members, times = key
        chosen = range(*members.indices(self.shape[0]))
        after = self._stride * (np.arange(*times.indices(self.shape[1])) + self._first)
        return {
            name: np.stack([self._read(reader, member, after) for member in chosen])
            for name, reader in self._readers.items()
        }

    def _read(
        self, reader: ShardReader, member: int, after: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        start = self._starts.frames[member]
        return reader.read(self._starts.trajectories[member], start + after)
