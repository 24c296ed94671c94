"""Free runs: members stepped together in segments, observed on device, masked when they blow up.

A run is a chain of segments, each one compiled scan over all members. After a segment the host adds
the spectra to its float64 sums, keeps some end states as snapshots and, given a file, saves all it
needs to go on. A run that was killed and started again ends with the same bits.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax.typing import ArrayLike
from jaxtyping import PRNGKeyArray, PyTree

from subgrid.evaluation.components import CORRELATION, RMSE
from subgrid.evaluation.observers import AbstractObserver, in_order, observer_of, state_of
from subgrid.evaluation.statistics import RunPlan, RunStatistics
from subgrid.stepping import AbstractModel, Carry, Done, KeptRun, drive, run_mark, segments_of
from subgrid.systems import AbstractSystem, state_shapes

Progress = Callable[[int, int], None]

_FILES = 4  # the version of what is kept: an earlier one's files are another run's


def free_runs(
    model: AbstractModel,
    initial_states: PyTree,
    plan: RunPlan,
    *,
    observer: AbstractObserver | None = None,
    system: AbstractSystem | None = None,
    truth: Any = None,
    key: PRNGKeyArray | None = None,
    draws: int = 1,
    start: ArrayLike = 0.0,
    file: str | Path | None = None,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Return the statistics of free runs from stacked initial states [start, ...], all at once.

    Members are initial states × `draws`: of each state so many runs, one after another,
    differ by their random keys alone. `key`: randomness of the model, split over members.
    `start`: the time of the initial states in units of dt, of all or [start]; it decides what
    drives the model.

    `observer`: what is recorded; by default the quantities of `system`, or of the model's own
    system with what its closure does; of a model without any each variable as a field. `truth`
    [start, time]: states of the truth at the frames of the run, from the same initial states, as in
    `reference_statistics`; anything that slices like an array. With it the correlation
    ⟨a b⟩/√(⟨a²⟩⟨b²⟩) of the field that stands for a state with the truth's and its
    root-mean-square error are recorded at every frame.

    `file`: where to keep what is needed to resume (`.safetensors`, and `.frames` beside it); a
    finished run is read back from it. `progress(steps_done, steps)` is called after each segment.
    All members are in memory at once: give fewer initial states at a time to bound it.

    The dataset (see `RunStatistics.dataset`) has a member that blew up masked from `blew_up_at`
    on; of several draws it says which start and which draw a member is. Raises RunFolderError if
    `file` belongs to another run and CorruptFileError if it is damaged.
    """
    observer = observer_of(model, system) if observer is None else observer
    carry = _started(model, initial_states, key, draws, start)
    # of the truth the first frames, which tell another one
    first = None if truth is None else in_order(truth[:, :1])
    mark = run_mark((model, observer, carry, first), files=_FILES, dt=model.dt, plan=vars(plan))
    kept = None if file is None else KeptRun(file, mark)
    found = RunStatistics(observer, plan, model.dt)
    if kept is not None and kept.exists():
        segments, totals, carry = kept.restored(carry)
        found.restore(segments, totals)
    every = segments_of(plan.segments(), plan.save_every)
    ahead = [segment for segment in every if segment.end > found.steps_done]
    snapshots = {plan.save_every * (frame + 1) for frame in plan.snapshot_frames()}

    def take(done: Done) -> bool:
        """Take what a segment showed; runs always go on, as members that blew up are frozen."""
        segment, (seen, fields) = done.segment, done.seen
        if truth is not None:
            first = segment.start // plan.save_every
            states = in_order(truth[:, first : first + segment.frames])
            seen = seen | _against(observer, fields, jax.tree.map(jnp.asarray, states), draws)
        drawn = {}
        if segment.end in snapshots and observer.drawn is not None:
            drawn = {segment.end: _fields(model, observer, done.after)}
        steps = segment.start + segment.every * np.arange(1, segment.frames + 1)
        found.add(seen, steps, np.asarray(done.after.blew_up_at), drawn)
        if kept is not None:
            kept.add(found.segments[-1], found.totals(), done.after)
        if progress is not None:
            progress(segment.end, plan.steps)
        return True

    carry = drive(model, carry, ahead, take, _Look(observer, truth is not None))
    data = found.dataset(np.asarray(carry.blew_up_at))
    return data if draws == 1 else data.assign_coords(_members(data.sizes["member"], draws))


class _Look(eqx.Module):
    """What is seen of a frame on device: the observations and, to be compared, the field."""

    observer: AbstractObserver
    with_field: bool = eqx.field(static=True)

    def __call__(self, state: PyTree, time: jax.Array) -> tuple[PyTree, PyTree]:
        """Return the values of all quantities, and the field or None."""
        field = self.observer.field(state) if self.with_field else None
        return self.observer(state, time), field


def _started(
    model: AbstractModel,
    initial_states: PyTree,
    key: PRNGKeyArray | None,
    draws: int,
    start: ArrayLike,
) -> Carry:
    """Return the carries [member, ...] of all draws from all initial states."""
    states = jax.tree.map(lambda leaf: jnp.repeat(leaf, draws, axis=0), initial_states)
    members = len(jax.tree.leaves(states)[0])
    keys = None if key is None else jax.random.split(key, members)
    times = jnp.broadcast_to(jnp.asarray(start, jnp.float32), members // draws)
    return eqx.filter_vmap(lambda state, k, time: model.init(state, key=k, start=time))(
        states, keys, jnp.repeat(times, draws)
    )


def _members(count: int, draws: int) -> dict[str, Any]:
    """Return the coordinates that say which start and which draw every member is."""
    start, draw = np.divmod(np.arange(count), draws)
    return {
        "start": ("member", start, {"units": "1", "long_name": "number of the initial state"}),
        "draw": ("member", draw, {"units": "1", "long_name": "number of the draw from it"}),
    }


@eqx.filter_jit
def _fields(model: AbstractModel, observer: AbstractObserver, carry: Carry) -> PyTree:
    """Return the snapshot of each member [member, ...]."""
    return eqx.filter_vmap(lambda member: observer.field(model.state(member)))(carry)


@eqx.filter_jit
def _against(
    observer: AbstractObserver, fields: jax.Array, truth: PyTree, draws: int
) -> dict[str, jax.Array]:
    """Return correlation and error of fields [frame, member, ...] and the truth's.

    `truth` [start, frame, ...]. No mean is taken off: that of a vorticity is zero. Land counts in
    nothing.
    """

    like = state_shapes(observer.system)

    def true_field(values: PyTree) -> Any:
        return observer.field_of_truth(state_of(values, like))

    theirs = jnp.swapaxes(jax.vmap(jax.vmap(true_field))(truth), 0, 1)
    theirs = jnp.repeat(theirs, draws, axis=1)
    axes, mask = tuple(range(2, fields.ndim)), observer.system.domain.mask
    if mask is not None:
        fields, theirs = jnp.where(mask, fields, 0), jnp.where(mask, theirs, 0)
    share = 1.0 if mask is None else float(np.mean(mask))
    norms = jnp.sum(fields**2, axes) * jnp.sum(theirs**2, axes)
    return {
        CORRELATION: jnp.sum(fields * theirs, axes) / jnp.sqrt(norms),
        RMSE: jnp.sqrt(jnp.mean((fields - theirs) ** 2, axes) / share),
    }
