"""Which truth each run is compared with, and which runs are an ensemble from one state."""

import numpy as np
import xarray as xr
from numpy.typing import NDArray

START = "start"  # coordinate of `member` in runs: the member of the truth that each begins in
# coordinates of `member` in the truth's statistics: where in the data set each one starts
START_TRAJECTORY, START_FRAME = "start_trajectory", "start_frame"


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


def truth_beside(run: xr.Dataset, truth: xr.Dataset) -> xr.Dataset:
    """Return the truth with a member for each run, that from its initial state; `start` says which.

    Raises ValueError as `starts_of` does.
    """
    states = starts_of(run, truth)
    if "member" not in truth.dims:
        truth = truth.expand_dims("member")
    same = len(states) == truth.sizes["member"] and np.array_equal(states, np.arange(len(states)))
    chosen = truth if same else truth.isel(member=states)
    return chosen.assign_coords({START: ("member", states)})


def groups_of(beside: xr.Dataset) -> NDArray[np.int64]:
    """Return which trajectory of the truth each run starts in [member]: these are independent.

    `beside`: see `truth_beside`; without trajectories each state counts as one.
    """
    return beside[START_TRAJECTORY if START_TRAJECTORY in beside.coords else START].values


def ensembles(beside: xr.Dataset) -> list[NDArray[np.int64]]:
    """Return the runs from each state, as numbers of members; `beside`: see `truth_beside`."""
    states = beside[START].values
    return [np.flatnonzero(states == state) for state in np.unique(states)]
