"""What a run has shown so far, on the host: series and fields by frame, spectra as sums."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jax.typing import ArrayLike
from numpy.typing import NDArray

from subgrid.systems import Quantity

_SERIES = "series/"


@dataclass(frozen=True)
class RunSums:
    """Holds what a run has shown so far, sums in float64.

    Units as in the `quantities`, of a density those of its spectrum over a length. `segments`: what
    each added: `steps` [frame], "series/NAME" [frame, member, ...] of series (float64) and fields
    (as they are), and `snapshots` [snapshot, member, ...] with `snapshot_steps`. `power`: name →
    sum over averaged frames [member, ...]; `averaged_frames` [member]: frames in those sums, none
    from a blow-up on.
    """

    segments: tuple[Mapping[str, NDArray], ...] = ()
    power: dict[str, NDArray] = field(default_factory=dict)
    averaged_frames: NDArray | int = 0

    @property
    def steps_done(self) -> int:
        """Steps of the last frame seen."""
        return int(self.segments[-1]["steps"][-1]) if self.segments else 0

    @property
    def steps(self) -> NDArray[np.int64]:
        """Steps of every frame."""
        return np.concatenate([part["steps"] for part in self.segments])

    def series(self) -> dict[str, NDArray]:
        """Return the values of every series and field [frame, member, ...]."""
        names = [name for name in self.segments[0] if name.startswith(_SERIES)]
        return {
            name.removeprefix(_SERIES): np.concatenate([part[name] for part in self.segments])
            for name in names
        }

    def snapshots(self) -> tuple[NDArray[np.int64], list[NDArray]]:
        """Return the steps of all snapshots, and the fields of each [member, ...]."""
        drawn = [part for part in self.segments if "snapshots" in part]
        steps = [part["snapshot_steps"] for part in drawn]
        return np.concatenate([np.zeros(0, np.int64), *steps]), [
            fields for part in drawn for fields in part["snapshots"]
        ]

    def with_frames(
        self,
        quantities: Sequence[Quantity],
        seen: Mapping[str, Any],
        steps: NDArray,
        blew_up_at: NDArray,
        average_from: int,
        snapshots: Mapping[int, ArrayLike] | None = None,
    ) -> "RunSums":
        """Return the sums with the observations of a segment, [frame, member, ...], added.

        `seen`: values of series and fields and densities of spectra, by quantity; `steps`: of its
        frames; `blew_up_at` [member]: -1 or the step from which a member is masked; frames after
        step `average_from` enter the power; `snapshots`: step → fields [member, ...].
        """
        kinds = {quantity.name: quantity.kind for quantity in quantities}
        alive = alive_frames(steps, blew_up_at)
        averaged = alive & (steps > average_from)[:, None]
        segment, power = {"steps": np.asarray(steps, np.int64)}, dict(self.power)
        for name, value in seen.items():
            if kinds.get(name) != "spectrum":
                own = np.asarray(value).dtype if kinds.get(name) == "field" else np.float64
                new = np.array(value, own)
                new[~alive] = np.nan
                segment[_SERIES + name] = new
                continue
            density = np.asarray(value, np.float64)
            # where, not times zero: a masked frame may hold values that are not finite
            mask = averaged.reshape(*averaged.shape, *[1] * (density.ndim - 2))
            total = np.where(mask, density, 0.0).sum(axis=0)
            power[name] = power[name] + total if name in power else total
        if snapshots:
            segment["snapshots"] = np.stack([np.asarray(each) for each in snapshots.values()])
            segment["snapshot_steps"] = np.array(list(snapshots), np.int64)
        counts = self.averaged_frames + averaged.sum(axis=0)
        return RunSums((*self.segments, segment), power, counts)

    def totals(self) -> dict[str, NDArray]:
        """Return what does not grow as a run goes on, as named arrays for a file."""
        power = {f"power/{name}": value for name, value in self.power.items()}
        return {**power, "averaged_frames": np.asarray(self.averaged_frames)}

    @classmethod
    def of(
        cls, segments: Sequence[Mapping[str, NDArray]], totals: Mapping[str, NDArray]
    ) -> "RunSums":
        """Return the sums that had these `segments` and `totals`."""
        power = {n.removeprefix("power/"): v for n, v in totals.items() if n != "averaged_frames"}
        return cls(tuple(segments), power, totals["averaged_frames"])


def alive_frames(steps: NDArray, blew_up_at: NDArray) -> NDArray[np.bool_]:
    """Return whether each member is alive at each frame, [frame, member]."""
    return (blew_up_at < 0) | (np.asarray(steps)[:, None] < blew_up_at)
