"""Which members of free runs blew up and when, which runs are scored, and against which truth."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from subgrid.evaluation.components import CORRELATION, RMSE

DAY = 86400.0
START = "start"  # coordinate of `member` in runs: the member of the truth that each begins in
# coordinates of `member` in the truth's statistics: where in the data set each one starts
START_TRAJECTORY, START_FRAME = "start_trajectory", "start_frame"


class TimeUnit(NamedTuple):
    """What results count time in: `length` in units of the data, and its `name`, a plural."""

    length: float
    name: str


DAYS = TimeUnit(DAY, "days")


class BlowUp(NamedTuple):
    """A member that blew up: of which network, when (step and time since its initial state).

    `time` is in `units`: "days", or "time units" where it is dimensionless.
    """

    network: int
    member: int
    step: int
    time: float
    units: str = "days"

    @property
    def date(self) -> str:
        """When it blew up, in words: "day 12.5"."""
        return date(self.time, self.units)


def counted(dead: Sequence[BlowUp], runs: int) -> str:
    """Return how many of so many runs blew up, and when the first did: "2 of 6, first on day 3"."""
    return f"{len(dead)} of {runs}" + (f", first {first_date(dead)}" if dead else "")


def first_date(dead: Sequence[BlowUp]) -> str:
    """Return when the first of several members blew up: "on day 12", "at time 12.5"."""
    first = min(dead, key=lambda blow_up: blow_up.time)
    if first.units == "days":
        return f"on {date(first.time, first.units, '.0f')}"
    return f"at {date(first.time, first.units)}"


def date(time: float, units: str, form: str = ".1f") -> str:
    """Return a time since the initial state in words: "day 12.5", "time 12.5"."""
    return f"{'day' if units == 'days' else 'time'} {time:{form}}"


def time_unit(units: str) -> TimeUnit:
    """Return what to count a system's time in: days of seconds, or the dimensionless unit."""
    return DAYS if units == "s" else TimeUnit(1.0, "time units")


def unit_of(data: xr.Dataset) -> TimeUnit:
    """Return what to count the time of a run in."""
    return time_unit(data["time"].attrs.get("units", "s"))


def blow_up_steps(data: xr.Dataset) -> NDArray[np.int64]:
    """Return the step at which each member of a run blew up, -1 for those that did not.

    `data`: see `RunStatistics.dataset`. A member that its `blew_up_at` calls healthy, but whose
    record is not finite somewhere, counts from the first frame that is not; by its mean spectra
    alone, which have no date, from the last frame.
    """
    members = data.sizes["member"]
    marked = np.full(members, -1)
    if "blew_up_at" in data:
        marked = np.asarray(data["blew_up_at"].values, np.int64)
    times = data["time"].values if "time" in data.coords else np.ones(1)
    frames = np.rint(times / data.attrs.get("dt", 1.0)).astype(np.int64)
    bad = np.zeros((members, len(frames)), bool)
    for name, values in data.data_vars.items():
        if name in (CORRELATION, RMSE) or not {"time", "wavenumber"} & set(values.dims):
            continue  # that with a truth which is not finite says nothing of the run
        finite: Any = np.isfinite(values)
        finite = finite.all([dim for dim in values.dims if dim not in ("member", "time")])
        if "time" in values.dims:
            bad |= ~finite.transpose("member", "time").values
        else:
            bad[:, -1] |= ~finite.values
    found = np.where(bad.any(axis=1), frames[np.argmax(bad, axis=1)], -1)
    return np.where(marked >= 0, marked, found)


def blow_ups(sets: Sequence[xr.Dataset]) -> tuple[BlowUp, ...]:
    """Members that blew up, of every network, with the step and the time at which they did."""
    return tuple(
        BlowUp(network, member, int(step), float(step * data.attrs["dt"] / unit.length), unit.name)
        for network, data in enumerate(sets)
        for unit in [unit_of(data)]
        for member, step in enumerate(blow_up_steps(data))
        if step >= 0
    )


def scored_runs(
    sets: Sequence[xr.Dataset], without: xr.Dataset | None, reference: xr.Dataset
) -> NDArray[np.bool_]:
    """Return which runs [network, member] enter the scores of a model.

    Those that survived, whose member survived `without` a closure too, and whose truth is finite:
    a mean over other members on the two sides of a comparison would measure the members. Where all
    members without a closure blew up there is no comparison, and they are not asked for; neither is
    a `reference` with other members than the runs.
    """
    alive = np.stack([blow_up_steps(data) < 0 for data in sets])
    truth = blow_up_steps(reference) < 0
    if without is not None and (alone := blow_up_steps(without) < 0).any():
        alive &= alone if len(alone) == alive.shape[1] else True
    return alive & truth if len(truth) == alive.shape[1] else alive


def starts_of(run: xr.Dataset, truth: xr.Dataset) -> NDArray[np.int64]:
    """Return the member of the truth that each run begins in [member].

    By the coordinate `start` of the run; without it member by member, or all from the one state of
    a truth of one member. Raises ValueError where neither fits.
    """
    runs, states = run.sizes.get("member", 1), truth.sizes.get("member", 1)
    if START in run.coords:
        return np.atleast_1d(run[START].values).astype(np.int64)
    if states in (1, runs):
        return np.zeros(runs, np.int64) if states == 1 else np.arange(runs)
    raise ValueError(
        f"{runs} runs have no counterpart in a truth of {states} members: give the run a "
        f"coordinate {START!r} along member, the truth's member that each begins in"
    )


def paired_truth(run: xr.Dataset, truth: xr.Dataset) -> xr.Dataset:
    """Return the truth with a member for each run, that from its initial state; `start` says which.

    Raises ValueError as `starts_of` does.
    """
    states = starts_of(run, truth)
    if "member" not in truth.dims:
        truth = truth.expand_dims("member")
    same = len(states) == truth.sizes["member"] and np.array_equal(states, np.arange(len(states)))
    chosen = truth if same else truth.isel(member=states)
    return chosen.assign_coords({START: ("member", states)})


def groups_of(paired: xr.Dataset) -> NDArray[np.int64]:
    """Return which trajectory of the truth each run starts in [member]: these are independent.

    `paired`: see `paired_truth`; without trajectories each state counts as one.
    """
    return paired[START_TRAJECTORY if START_TRAJECTORY in paired.coords else START].values


def ensembles(paired: xr.Dataset) -> list[NDArray[np.int64]]:
    """Return the runs from each state, as numbers of members; `paired`: see `paired_truth`."""
    states = paired[START].values
    return [np.flatnonzero(states == state) for state in np.unique(states)]
