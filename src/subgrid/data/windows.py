"""Windows of consecutive frames, for training through the solver."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from subgrid.data.loader import TIME, Batch, Samples, describe_left_out, evenly_spread, sample_order
from subgrid.data.store import complete_attributes
from subgrid.errors import ConfigError
from subgrid.numbers import whole_number


class Windows:
    """Stretches of the trajectories of a store, at one coarse size: a start and what follows it.

    A window is `frames` + 1 consecutive frames of one trajectory, an initial state and `frames`
    targets, `interval` apart (in the system's unit of time). One begins at every frame that enough
    others follow: windows overlap, but hold no frame that `Samples` leaves out. They are numbered
    by trajectory, then time. `variables`, `in_memory`, `content_hash`: as there.

    Raises ConfigError if `frames` is no whole number of at least 1 or more than any trajectory has
    in a row after its first, and the errors of `Samples`.
    """

    def __init__(
        self,
        path: str | Path,
        scale: int,
        variables: Sequence[str],
        frames: int,
        in_memory: bool | Literal["auto"] = "auto",
    ):
        frames = whole_number("frames", frames)
        self._samples = Samples(path, scale, variables, in_memory)
        self.path, self.scale, self.frames = self._samples.path, scale, frames
        self.variables, self.content_hash = self._samples.variables, self._samples.content_hash
        attributes = complete_attributes(path)
        self.interval: float = attributes["save_every"] * attributes["time_step"]
        origins = [self._samples.origin(sample) for sample in range(len(self._samples))]
        self._starts = self._found(np.array(origins, np.int64).reshape(-1, 2))

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self._starts)

    def origin(self, window: int) -> tuple[int, int]:
        """Return the trajectory and the first frame of a window."""
        return self._samples.origin(int(self._starts[window]))

    def spread(self, count: int) -> np.ndarray:
        """Return the numbers of at most `count` windows, evenly spread over all of them."""
        return evenly_spread(count, len(self))

    def batch(self, indices: Sequence[int] | np.ndarray) -> Batch:
        """Return the windows of these numbers: {variable: [sample, frame, ...]}, float32.

        `TIME` [sample] is the time of their starts, which decides what drives a model.
        """
        starts = self._starts[np.asarray(indices, np.int64)]
        frames = starts[:, None] + np.arange(self.frames + 1)
        found = self._samples.batch(frames.ravel())
        windows = {n: leaf.reshape(*frames.shape, *leaf.shape[1:]) for n, leaf in found.items()}
        return {**windows, TIME: windows[TIME][:, 0]}

    def batches(self, seed: int, batch_size: int) -> Callable[[int], Batch]:
        """Return the function update number → batch; what it promises is that of `Samples`."""
        numbers = sample_order(len(self), seed, batch_size, self.path)
        return lambda update: self.batch(numbers(update))

    def _found(self, origins: np.ndarray) -> np.ndarray:
        starts = _starts(origins, self.frames)
        if len(starts):
            return starts
        left_out = describe_left_out(self._samples)
        raise ConfigError(
            f"a window is {self.frames + 1} frames in a row, a start and {self.frames} targets; "
            f"the trajectories of {self.path} at scale {self.scale} have at most "
            f"{_longest(origins)}. Ask for fewer frames or make longer trajectories."
            f"{f' {left_out}' if left_out else ''}"
        )


def _starts(origins: np.ndarray, frames: int) -> np.ndarray:
    """Return which samples of `origins` [sample, (trajectory, time)] `frames` others follow."""
    ahead = origins[frames:] - origins[: max(0, len(origins) - frames)]
    return np.flatnonzero((ahead == (0, frames)).all(axis=1))


def _longest(origins: np.ndarray) -> int:
    """Return the largest number of frames in a row."""
    breaks = np.flatnonzero((np.diff(origins, axis=0) != (0, 1)).any(axis=1))
    return int(np.diff(np.concatenate([[-1], breaks, [len(origins) - 1]])).max())
