"""What is kept of a free run: its plan, what it has shown so far, and the dataset made of it."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import numpy as np
import xarray as xr
from jax.typing import ArrayLike
from numpy.typing import NDArray

from subgrid.evaluation.components import followed_quantities
from subgrid.evaluation.observers import AbstractObserver, ModelObserver, in_order, state_of
from subgrid.numbers import whole_number
from subgrid.stepping import frames_of
from subgrid.systems import AbstractSystem, Quantity, state_shapes

_LEAST = {"average_from": -1, "snapshot_every": 0}  # of the others 1
_MIDDLE = 0.5  # default share of a run that is left out of time means as spin-up
_SERIES = "series/"
_DEFINITION = "pyqg"  # of the rings of spectra
_WAVENUMBER = "isotropic wavenumber, centre of the ring"


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
        for name, value in list(vars(self).items()):
            object.__setattr__(self, name, whole_number(name, value, _LEAST.get(name, 1)))
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


class RunStatistics:
    """What a run has shown so far: series and fields by frame, spectra as float64 sums.

    Units as in the quantities of the `observer`, of a density those of its spectrum over a length.
    `segments`: what each added: `steps` [frame], "series/NAME" [frame, member, ...] of series
    (float64) and fields (as they are), and `snapshots` [snapshot, member, ...] with
    `snapshot_steps`. `power`: name → sum over averaged frames [member, ...]; `averaged_frames`
    [member]: frames in those sums, none from a blow-up on.
    """

    def __init__(self, observer: AbstractObserver, plan: RunPlan, dt: float):
        self.observer, self.plan, self.dt = observer, plan, dt
        self.segments: list[Mapping[str, NDArray]] = []
        self.power: dict[str, NDArray] = {}
        self.averaged_frames: NDArray | int = 0

    @property
    def steps_done(self) -> int:
        """Steps of the last frame seen."""
        return int(self.segments[-1]["steps"][-1]) if self.segments else 0

    def add(
        self,
        seen: Mapping[str, Any],
        steps: NDArray,
        blew_up_at: NDArray,
        snapshots: Mapping[int, ArrayLike],
    ) -> None:
        """Add the observations of a segment, [frame, member, ...].

        `seen`: values of series and fields and densities of spectra, by quantity; `steps`: of its
        frames; `blew_up_at` [member]: -1 or the step from which a member is masked; `snapshots`:
        step → fields [member, ...].
        """
        kinds = {quantity.name: quantity.kind for quantity in self.observer.quantities}
        alive = _alive(steps, blew_up_at)
        averaged = alive & (steps > self.plan.average_from)[:, None]
        segment = {"steps": np.asarray(steps, np.int64)}
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
            self.power[name] = self.power[name] + total if name in self.power else total
        if snapshots:
            segment["snapshots"] = np.stack([np.asarray(each) for each in snapshots.values()])
            segment["snapshot_steps"] = np.array(list(snapshots), np.int64)
        self.averaged_frames = self.averaged_frames + averaged.sum(axis=0)
        self.segments.append(segment)

    def totals(self) -> dict[str, NDArray]:
        """Return what does not grow as a run goes on, as named arrays for a file."""
        power = {f"power/{name}": value for name, value in self.power.items()}
        return {**power, "averaged_frames": np.asarray(self.averaged_frames)}

    def restore(
        self, segments: Sequence[Mapping[str, NDArray]], totals: Mapping[str, NDArray]
    ) -> None:
        """Take over the segments and `totals` of a file."""
        self.segments, self.averaged_frames = list(segments), totals["averaged_frames"]
        self.power = {
            name.removeprefix("power/"): value
            for name, value in totals.items()
            if name != "averaged_frames"
        }

    def dataset(self, blew_up_at: NDArray) -> xr.Dataset:
        """Return the statistics of the run with CF attributes.

        Variables: the quantities of the observer ([member, time, ...] series and fields; [member,
        ..., wavenumber] isotropic spectra averaged over the frames of `averaged_frames`),
        `snapshots` [member, snapshot, ...] of its field, `blew_up_at` [member] (step, or -1).
        Values of a member are NaN from its blow-up on, and its spectra if no frame of it was
        averaged. Wavenumbers in rad/m, times in s since the initial state, or both without a unit.
        """
        system, drawn = self.observer.system, self.observer.drawn
        known = {quantity.name: quantity for quantity in self.observer.quantities}
        variables: dict[str, Any] = {}
        coordinates: dict[str, Any] = {n: (n, *one) for n, one in system.coordinates().items()}
        since = {"units": system.time_units, "long_name": "time since the initial state"}
        coordinates["time"] = ("time", self._joined("steps") * self.dt, since)
        steps, fields = self._joined("snapshot_steps"), self._joined("snapshots")
        if drawn is not None:
            known |= followed_quantities(drawn)
            coordinates["snapshot_time"] = ("snapshot", steps * self.dt, since)
        for name in self.segments[0]:
            if name.startswith(_SERIES):
                quantity = known[name.removeprefix(_SERIES)]
                values = np.moveaxis(self._joined(name), 0, 1)
                variables[quantity.name] = _described(quantity, values)
        counts = np.asarray(self.averaged_frames)
        for name, value in self.power.items():
            divisor = np.where(counts > 0, counts, np.nan).reshape(-1, *[1] * (value.ndim - 1))
            rings = system.domain.isotropic_spectrum(value / divisor, definition=_DEFINITION)
            variables[name] = _described(known[name], rings[1])
            units = "rad m-1" if system.time_units == "s" else "1"
            about = {"units": units, "long_name": _WAVENUMBER}
            coordinates["wavenumber"] = ("wavenumber", rings[0], about)
        if drawn is not None and len(fields):
            fields = np.moveaxis(fields, 0, 1).copy()
            fields[~_alive(steps, blew_up_at).T] = np.nan
            about = {"units": drawn.units, "long_name": f"{drawn.long_name} at the last snapshots"}
            dims = ("member", "snapshot", *drawn.components, *system.domain.dims)
            variables["snapshots"] = (dims, fields, about)
        for name, values, words in (
            ("blew_up_at", blew_up_at, "step at which the member blew up, -1 if it did not"),
            ("averaged_frames", counts, "frames in the mean spectra"),
        ):
            about = {"units": "1", "long_name": words}
            variables[name] = ("member", np.asarray(values, np.int64), about)
        return xr.Dataset(
            variables,
            coordinates,
            {
                "dt": self.dt,
                "steps": self.steps_done,
                "average_from": self.plan.average_from,
                "spectrum_definition": _DEFINITION,
            },
        )

    def _joined(self, name: str) -> NDArray:
        """Return what all segments that have it added under a name."""
        parts = [part[name] for part in self.segments if name in part]
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def _described(quantity: Quantity, values: NDArray) -> tuple[tuple[str, ...], NDArray, dict]:
    kind = {"kind": quantity.kind} if quantity.kind == "field" else {}
    return ("member", *quantity.dims), values, {**quantity.attributes, **kind}


def reference_statistics(
    system: AbstractSystem,
    states: Any,
    forcings: Any,
    *,
    save_every: int,
    dt: float,
    average_from: int = -1,
    snapshots: int = 10,
    chunk: int = 32,
) -> xr.Dataset:
    """Return the statistics of the truth from a data set's coarse states, like `free_runs`.

    `states`, `forcings`: the variables of `system` on its domain, and the true subgrid forcing (per
    time; None leaves the closure's part out of what depends on it). What slices like an array
    [member, time] and gives arrays by variable, such as `subgrid.data.Following`, or one array
    [member, time, channel, ...] of all variables, those of several levels level by level: `chunk`
    frames are in memory at a time. Frame i counts as step (i + 1) · `save_every` of `dt`.
    `average_from` and `snapshots`: see `RunPlan`. A member is masked from the first frame that is
    not finite.
    """
    observer, like = ModelObserver(system), state_shapes(system)

    @eqx.filter_jit
    def observe(observer, x, s):
        def one(x, s):
            state = state_of(x, like)
            increment = None if s is None else state_of(s, like)
            return observer.system.observe(state, increment), observer.field(state)

        axes = (0, None if s is None else 0)
        return eqx.filter_vmap(eqx.filter_vmap(one, in_axes=axes), in_axes=axes, out_axes=1)(x, s)

    members, frames = states.shape[:2]
    plan = RunPlan(frames * save_every, save_every, average_from, snapshots)
    kept = plan.snapshot_frames()
    blew_up_at = np.full(members, -1, np.int64)
    found = RunStatistics(observer, plan, dt)
    for begin in range(0, frames, chunk):
        part = slice(begin, min(begin + chunk, frames))
        x, s = (
            None if values is None else jax.tree.map(np.asarray, in_order(values[:, part]))
            for values in (states, forcings)
        )
        steps = save_every * np.arange(part.start + 1, part.stop + 1)
        blew_up_at = _first_bad((x, s), steps, blew_up_at)
        seen, fields = observe(observer, x, s)
        drawn = {
            save_every * (i + 1): fields[i - begin]
            for i in kept
            if fields is not None and part.start <= i < part.stop
        }
        found.add(seen, steps, blew_up_at, drawn)
    return found.dataset(blew_up_at)


def _first_bad(values: Any, steps: NDArray, blew_up_at: NDArray) -> NDArray[np.int64]:
    """Return `blew_up_at` with members dated whose frames [member, time, ...] are not finite."""
    leaves = jax.tree.leaves(values)
    bad = ~np.all([np.isfinite(x).all(axis=tuple(range(2, x.ndim))) for x in leaves], axis=0)
    found = np.where(np.any(bad, axis=1), steps[np.argmax(bad, axis=1)], -1)
    return np.where(blew_up_at >= 0, blew_up_at, found)


def _alive(steps: NDArray, blew_up_at: NDArray) -> NDArray[np.bool_]:
    """Return whether each member is alive at each frame, [frame, member]."""
    return (blew_up_at < 0) | (np.asarray(steps)[:, None] < blew_up_at)
