"""Free runs: members stepped together in segments, observed on device, masked when they blow up.

A run is a chain of segments, each one compiled scan over all members. After a segment the host adds
the spectra to its float64 sums, keeps some end states as snapshots and, given a file, saves all it
needs to go on. A run that was killed and started again ends with the same bits.
"""

import hashlib
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree
from numpy.typing import NDArray

from subgrid.closures import channels_to_state
from subgrid.coarsening import AbstractTarget, TendencyDefect
from subgrid.evaluation.layers import CORRELATION
from subgrid.evaluation.observers import CoarsenedObserver, ModelObserver, require_quantities
from subgrid.evaluation.plan import RunPlan
from subgrid.evaluation.run_file import RunFile, plain
from subgrid.evaluation.statistics import RunSums, run_dataset
from subgrid.provenance import config_hash, structure_text
from subgrid.stepping import AbstractModel, Carry, advance_segment
from subgrid.systems import AbstractSystem, state_shapes

if TYPE_CHECKING:
    import xarray as xr

Progress = Callable[[int, int], None]

_FILES = 3  # the version of what `RunFile` writes: an earlier one's files are another run's


def free_runs(
    model: AbstractModel,
    initial_states: PyTree,
    plan: RunPlan,
    *,
    observer: Any = None,
    truth: Any = None,
    key: PRNGKeyArray | None = None,
    file: str | Path | None = None,
    progress: Progress | None = None,
) -> "xr.Dataset":
    """Return the statistics of free runs from stacked initial states [member, ...], one per member.

    `observer`: default `ModelObserver` of the model's system and closure; `fine_runs` observes a
    fine model at a coarse grid. `truth` [member, time, channel, y, x]: coarse states of the truth
    at the frames of the run, from the same initial states, channels as in `reference_statistics`;
    anything that slices like an array. With it the correlation ⟨a b⟩/√(⟨a²⟩⟨b²⟩) of the
    system's field with the truth's is recorded at every frame. `key`: randomness of a
    stochastic closure, split over members. `file`: where to keep what is needed to resume
    (`.safetensors`, and `.frames` beside it); a finished run is read back from it.
    `progress(steps_done, steps)` is called after each segment. All members are in memory at once:
    give fewer initial states at a time to bound it.

    The dataset (see `statistics.run_dataset`) has a member that blew up masked from `blew_up_at`
    on. Raises RunFolderError if `file` belongs to another run and CorruptFileError if it is
    damaged.
    """
    if observer is None:
        observer = ModelObserver(model.system, model.closure)  # type: ignore[attr-defined]
    require_quantities(observer.system)
    members = len(jax.tree.leaves(initial_states)[0])
    keys = None if key is None else jax.random.split(key, members)
    start = eqx.filter_vmap(lambda state, k: model.init(state, key=k))(initial_states, keys)
    mark = _fingerprint(model, observer, start, plan, truth)
    sums, carry = RunSums(), start
    kept_file = None if file is None else RunFile(file, mark)
    if kept_file is not None and kept_file.exists():
        sums, carry = kept_file.restored(start)
    system, kept = observer.system, set(plan.snapshot_frames())
    segments, done = plan.segments(), len(sums.steps)
    for frames, end in zip(segments, itertools.accumulate(segments), strict=True):
        if end <= done:
            continue
        carry, seen, fields = _segment(
            model, carry, frames, plan.save_every, observer, truth is not None
        )
        if truth is not None:
            beside = jnp.asarray(truth[:, end - frames : end])
            seen[CORRELATION] = _correlations(system, fields, beside)
        steps = sums.steps_done + plan.save_every * np.arange(1, frames + 1)
        blown = np.asarray(carry.blew_up_at)
        sums = sums.with_frames(system, seen, steps, blown, plan.average_from)
        drawn = len(sums.steps) - 1 in kept
        if drawn:
            sums = sums.with_snapshot(np.asarray(_fields(model, observer, carry)))
        if kept_file is not None:
            kept_file.add(sums, carry, frames, drawn)
        if progress is not None:
            progress(sums.steps_done, plan.steps)
    return run_dataset(sums, system, model.dt, np.asarray(carry.blew_up_at), plan.average_from)


def fine_runs(
    model: AbstractModel,
    initial_states: PyTree,
    plan: RunPlan,
    *,
    system: Any,
    coarsener: Any,
    target: AbstractTarget | None = None,
    file: str | Path | None = None,
    progress: Progress | None = None,
) -> "xr.Dataset":
    """Return the same statistics of a fine model's runs, coarsened on device: the truth.

    `system`: the coarse system; `coarsener`: fine → coarse. The true subgrid forcing, by default
    the difference of two tendencies, takes the place of the closure in the spectral budget. See
    `free_runs` for the rest.
    """
    meant = TendencyDefect() if target is None else target
    observer = CoarsenedObserver(system, model.system, coarsener, meant)  # type: ignore[attr-defined]
    return free_runs(model, initial_states, plan, observer=observer, file=file, progress=progress)


@eqx.filter_jit
def _segment(
    model: AbstractModel,
    carry: Carry,
    frames: int,
    save_every: int,
    observer: Any,
    with_fields: bool,
) -> tuple[Carry, PyTree, PyTree]:
    """Advance all members by a segment; observations and fields come out [frame, member, ...]."""

    def look(state: PyTree) -> tuple[PyTree, PyTree]:
        return observer(state), _field(observer, state) if with_fields else None

    def one(member: Carry) -> tuple[Carry, PyTree]:
        return advance_segment(model, member, frames, save_every, look)

    carry, (seen, fields) = eqx.filter_vmap(one, out_axes=(0, 1))(carry)
    return carry, seen, fields


@eqx.filter_jit
def _fields(model: AbstractModel, observer: Any, carry: Carry) -> jax.Array:
    """Return the snapshot of each member [member, level, y, x]."""
    return eqx.filter_vmap(lambda member: _field(observer, model.state(member)))(carry)


def _field(observer: Any, state: PyTree) -> jax.Array:
    """Return the field of a state that is kept and drawn [level, y, x]."""
    return observer.system.field(observer.coarse(state))


@eqx.filter_jit
def _correlations(system: AbstractSystem, fields: jax.Array, truth: jax.Array) -> jax.Array:
    """Return the correlation of fields [frame, member, level, y, x] with the truth's.

    `truth` [member, frame, channel, y, x]. No mean is taken off: that of a vorticity is zero.
    """
    like = state_shapes(system)

    def true_field(channels: jax.Array) -> jax.Array:
        return system.field(channels_to_state(channels, like))

    theirs = jnp.swapaxes(jax.vmap(jax.vmap(true_field))(truth), 0, 1)
    axes = (-3, -2, -1)
    norms = jnp.sum(fields**2, axes) * jnp.sum(theirs**2, axes)
    return jnp.sum(fields * theirs, axes) / jnp.sqrt(norms)


def _fingerprint(
    model: AbstractModel, observer: Any, start: Carry, plan: RunPlan, truth: Any
) -> str:
    """Return a hash of all that decides the run: every array and static field, step and plan.

    Of the truth the first frames, which tell another one.
    """
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(eqx.filter((model, observer, start), eqx.is_array)):
        value = plain(leaf)
        digest.update(f"{value.dtype.str}{value.shape}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    settings = {
        "files": _FILES,
        "plan": vars(plan),
        "dt": model.dt,
        "structure": structure_text((model, observer)),
        "arrays": digest.hexdigest(),
        **({} if truth is None else {"truth": _hash_of(np.asarray(truth[:, :1]))}),
    }
    return config_hash(settings)


def _hash_of(array: NDArray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
