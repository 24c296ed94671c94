"""How long free runs are and what of them is kept."""

import itertools
from dataclasses import dataclass

from subgrid.numbers import whole_number
from subgrid.stepping import frames_of

_LEAST = {
    "steps": 1,
    "save_every": 1,
    "average_from": -1,
    "snapshots": 1,
    "snapshot_every": 0,
    "segment_frames": 1,
}
_MIDDLE = 0.5  # default share of a run that is left out of time means as spin-up


@dataclass(frozen=True)
class RunPlan:
    """How long a free run is and what of it is kept.

    `steps`: steps of dt, a multiple of `save_every`; `save_every`: steps between frames;
    `average_from`: frames after this step enter the mean spectra (default: the second half);
    `snapshots`: states that are kept, the last frame and those `snapshot_every` frames apart before
    it (default: evenly over the second half). `segment_frames`: the most frames that are computed,
    and held in memory, between two looks of the host. Raises ValueError for lengths that do not
    fit.
    """

    steps: int
    save_every: int
    average_from: int = -1
    snapshots: int = 10
    snapshot_every: int = 0
    segment_frames: int = 32

    def __post_init__(self):
        for name, least in _LEAST.items():
            object.__setattr__(self, name, whole_number(name, getattr(self, name), least))
        frames_of(self.steps, self.save_every)
        if self.average_from < 0:
            object.__setattr__(self, "average_from", int(self.steps * _MIDDLE))
        if self.average_from >= self.steps:
            raise ValueError(
                f"average_from must be below steps = {self.steps}, got {self.average_from}"
            )
        if not self.snapshot_every:
            every = max(1, round(self.frames * (1 - _MIDDLE) / self.snapshots))
            object.__setattr__(self, "snapshot_every", every)

    @property
    def frames(self) -> int:
        """Number of frames."""
        return self.steps // self.save_every

    def snapshot_frames(self) -> list[int]:
        """Return the indices of the frames that are kept as snapshots, in order."""
        return [end - 1 for end in itertools.accumulate(self._spans())][-self.snapshots :]

    def segments(self) -> list[int]:
        """Return the frames of each segment; every snapshot is at the end of one."""
        return [part for span in self._spans() for part in _split(span, self.segment_frames)]

    def _spans(self) -> list[int]:
        """Return the frames between snapshots; a short span comes first."""
        whole, rest = divmod(self.frames, self.snapshot_every)
        return ([rest] if rest else []) + [self.snapshot_every] * whole


def _split(frames: int, most: int) -> list[int]:
    """Return parts of at most `most` frames, equal but for one frame: few shapes to compile."""
    parts = -(-frames // most)
    size, larger = divmod(frames, parts)
    return [size + 1] * larger + [size] * (parts - larger)
