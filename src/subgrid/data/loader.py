"""Batches of frames for training, the same for the same seed and update number."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np

from subgrid.data.shards import ShardReader
from subgrid.data.statistics import VariableStatistics, array_names, statistics
from subgrid.data.store import (
    complete_attributes,
    frame_times,
    group_name,
    listed,
    present_trajectories,
)
from subgrid.errors import ConfigError
from subgrid.machine import free_memory
from subgrid.numbers import whole_number
from subgrid.randomness import Stream, generator, require_seed

Batch = dict[str, np.ndarray]
TIME = "start_time"  # in a batch: when each sample or window starts, since its trajectory did


class Samples:
    """The frames of one coarse size of a store, in memory or read as they are needed.

    A sample is one frame of one trajectory that did not fail; frames with a value that is not
    finite are left out and listed by `left_out`. Samples are numbered by trajectory, then time.
    `variables`: the arrays that a batch holds, all of them by default. `in_memory`: True, False, or
    "auto": if `fits_in_memory` says so. Bytes from disk are checked in any case. `content_hash` is
    the store's: the same for the same bits.

    Raises RunFolderError for an unfinished store, ConfigError for an unknown size or variable, and
    CorruptFileError for a damaged chunk.
    """

    def __init__(
        self,
        path: str | Path,
        scale: int,
        variables: Sequence[str] | None = None,
        in_memory: bool | Literal["auto"] = "auto",
    ):
        self.path, self.scale = Path(path), scale
        found, known = statistics(path, scale), array_names(self.path, scale)
        self.variables = known if variables is None else tuple(variables)
        for name in self.variables:
            if name not in known:
                raise ConfigError(f"{path} has no variable {name!r} but {listed(known)}")
        self._readers = {
            name: ShardReader(path, f"{group_name(scale)}/{name}") for name in self.variables
        }
        excluded = {frame for name in self.variables for frame in found[name].excluded}
        times = self._readers[self.variables[0]].shape[1]
        attributes = complete_attributes(path)
        self.content_hash: str = attributes["content_hash"]
        present = present_trajectories(attributes)
        self._present, self._excluded = len(present) * times, sorted(excluded)
        self._frames = np.array(
            [(i, t) for i in present for t in range(times) if (i, t) not in excluded], np.int64
        ).reshape(-1, 2)
        self._times = frame_times(path)
        fits = fits_in_memory(self.nbytes) if in_memory == "auto" else in_memory
        self._held = self._read(np.arange(len(self))) if fits else None

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self._frames)

    @property
    def nbytes(self) -> int:
        """Bytes that the samples take in memory."""
        per_frame = sum(int(np.prod(reader.frame_shape)) for reader in self._readers.values())
        return 4 * per_frame * len(self)

    @property
    def left_out(self) -> tuple[tuple[int, int, int], ...]:
        """Frames with a value that is not finite: (trajectory, the first of them, how many)."""
        frames: dict[int, list[int]] = {}
        for trajectory, time in self._excluded:
            frames.setdefault(trajectory, []).append(time)
        return tuple((trajectory, found[0], len(found)) for trajectory, found in frames.items())

    @property
    def stored(self) -> int:
        """The number of frames that the store holds, those left out included."""
        return self._present

    @property
    def in_memory(self) -> bool:
        """Whether the samples are held in memory."""
        return self._held is not None

    def origin(self, sample: int) -> tuple[int, int]:
        """Return trajectory and frame of a sample."""
        trajectory, time = self._frames[sample]
        return int(trajectory), int(time)

    def spread(self, count: int) -> np.ndarray:
        """Return the numbers of at most `count` samples, evenly spread over all of them."""
        return evenly_spread(count, len(self))

    def statistics(self) -> dict[str, VariableStatistics]:
        """Return mean, variance and range of each variable; see `subgrid.data.statistics`."""
        return statistics(self.path, self.scale)

    def batch(self, indices: Sequence[int] | np.ndarray) -> Batch:
        """Return the samples of these numbers: {variable: [sample, ...]}, float32.

        `TIME` [sample] is when they are, which decides what drives a model.
        """
        chosen = np.asarray(indices, np.int64)
        times = self._times[self._frames[chosen, 1]].astype(np.float32)
        if self._held is not None:
            return {**{name: values[chosen] for name, values in self._held.items()}, TIME: times}
        return {**self._read(chosen), TIME: times}

    def batches(self, seed: int, batch_size: int) -> Callable[[int], Batch]:
        """Return the function update number → batch, which depends on nothing but `seed`.

        The stream of samples is one random permutation of all after another, so each is drawn once
        per epoch; batch n holds the positions n·batch_size to (n + 1)·batch_size of the stream. A
        run resumed at any update therefore sees the data it would have seen.
        Raises ConfigError if there is no sample, `batch_size` is below 1, or for a bad seed.
        """
        numbers = sample_order(len(self), seed, batch_size, self.path)
        return lambda update: self.batch(numbers(update))

    def _read(self, samples: np.ndarray) -> Batch:
        frames = self._frames[samples]
        batch = {}
        for name, reader in self._readers.items():
            values = np.empty((len(samples), *reader.frame_shape), np.float32)
            for trajectory in np.unique(frames[:, 0]):
                rows = frames[:, 0] == trajectory
                values[rows] = reader.read(int(trajectory), frames[rows, 1])
            batch[name] = values
        return batch


def sample_order(count: int, seed: int, batch_size: int, path: Path) -> Callable[[int], np.ndarray]:
    """Return the function update number → numbers of its `batch_size` samples of `count`.

    The stream behind `Samples.batches`; `path`: where they are, for the message of its ConfigError.
    """
    seed, batch_size = require_seed(seed), whole_number("batch_size", batch_size)
    if not count:
        raise ConfigError(f"batches need samples, got none in {path}")

    @lru_cache(maxsize=2)
    def order(epoch: int) -> np.ndarray:
        return generator(Stream.SAMPLE_ORDER, seed, epoch).permutation(count)

    def numbers(update: int) -> np.ndarray:
        stream = np.arange(update * batch_size, (update + 1) * batch_size)
        return np.array([order(int(p) // count)[p % count] for p in stream])

    return numbers


def evenly_spread(count: int, total: int) -> np.ndarray:
    """Return at most `count` of the numbers from 0 to `total` - 1, evenly spread."""
    return np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(int))


def describe_left_out(samples: Samples) -> str | None:
    """Return one sentence on the frames that are not finite, for notes and reports, or None."""
    if not samples.left_out:
        return None
    count = sum(many for _, _, many in samples.left_out)
    where = listed(
        [
            f"trajectory {trajectory} ({many} from frame {first} on)"
            for trajectory, first, many in samples.left_out
        ]
    )
    return (
        f"{count} of {samples.stored} frames of {samples.path.name} at scale {samples.scale} hold "
        f"values of {' or '.join(samples.variables)} that are not finite and are left out: {where}."
    )


def fits_in_memory(nbytes: int) -> bool:
    """Return whether samples of so many bytes take less than half of the free memory.

    A limit of the job or container counts (see `subgrid.machine`).
    """
    return nbytes < free_memory() / 2
