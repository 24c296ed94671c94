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

from subgrid.errors import CorruptFileError, RunFolderError
from subgrid.evaluation.observables import (
    CoarsenedObserver,
    ModelObserver,
    QGObservables,
)
from subgrid.evaluation.plan import RunPlan
from subgrid.evaluation.statistics import RunSums, run_dataset
from subgrid.provenance import config_hash, load_arrays, save_arrays, structure_text
from subgrid.stepping import AbstractModel, Carry, advance_segment

if TYPE_CHECKING:
    import xarray as xr

Progress = Callable[[int, int], None]


def free_runs(
    model: AbstractModel,
    initial_states: PyTree,
    plan: RunPlan,
    *,
    observer: Any = None,
    key: PRNGKeyArray | None = None,
    file: str | Path | None = None,
    progress: Progress | None = None,
) -> "xr.Dataset":
    """Return the statistics of free runs from stacked initial states [member, ...], one per member.

    `observer`: default `ModelObserver` of the model's system and closure; `fine_runs` observes a
    fine model at a coarse grid. `key`: randomness of a stochastic closure, split over members.
    `file`: where to keep what is needed to resume (`.safetensors`); a finished run is read back
    from it. `progress(steps_done, steps)` is called after each segment. All members are in memory
    at once: give fewer initial states at a time to bound it.

    The dataset (see `statistics.run_dataset`) has a member that blew up masked from `blew_up_at`
    on. Raises RunFolderError if `file` belongs to another run and CorruptFileError if it is
    damaged.
    """
    if observer is None:
        observer = ModelObserver(QGObservables(model.system), model.closure)  # type: ignore[attr-defined]
    members = len(jax.tree.leaves(initial_states)[0])
    keys = None if key is None else jax.random.split(key, members)
    start = eqx.filter_vmap(lambda state, k: model.init(state, key=k))(initial_states, keys)
    mark = _fingerprint(model, observer, start, plan)
    sums, carry = RunSums(), start
    if file is not None and Path(file).exists():
        sums, carry = _restored(Path(file), start, mark)
    system, kept = observer.observables.system, set(plan.snapshot_frames())
    segments, done = plan.segments(), len(sums.steps)
    for frames, end in zip(segments, itertools.accumulate(segments), strict=True):
        if end <= done:
            continue
        carry, seen = _segment(model, carry, frames, plan.save_every, observer)
        steps = sums.steps_done + plan.save_every * np.arange(1, frames + 1)
        sums = sums.with_frames(seen, steps, np.asarray(carry.blew_up_at), plan.average_from)
        if len(sums.steps) - 1 in kept:
            coarse = _coarse_states(model, observer, carry)
            sums = sums.with_snapshot(np.asarray(coarse), plan.snapshots)
        if file is not None:
            _save(Path(file), sums, carry, mark)
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
    file: str | Path | None = None,
    progress: Progress | None = None,
) -> "xr.Dataset":
    """Return the same statistics of a fine model's runs, coarsened on device: the truth.

    `system`: the coarse system; `coarsener`: fine → coarse. The true subgrid forcing takes the
    place of the closure in the spectral budget. See `free_runs` for the rest.
    """
    observer = CoarsenedObserver(QGObservables(system), model.system, coarsener)  # type: ignore[attr-defined]
    return free_runs(model, initial_states, plan, observer=observer, file=file, progress=progress)


@eqx.filter_jit
def _segment(
    model: AbstractModel, carry: Carry, frames: int, save_every: int, observer: Any
) -> tuple[Carry, PyTree]:
    """Advance all members by a segment; observations come out [frame, member, ...]."""

    def one(member: Carry) -> tuple[Carry, PyTree]:
        return advance_segment(model, member, frames, save_every, observer)

    return eqx.filter_vmap(one, out_axes=(0, 1))(carry)


@eqx.filter_jit
def _coarse_states(model: AbstractModel, observer: Any, carry: Carry) -> jax.Array:
    """Return the snapshot of each member [member, level, y, x]."""
    return eqx.filter_vmap(lambda member: observer.coarse(model.state(member)).q)(carry)


def _fingerprint(model: AbstractModel, observer: Any, start: Carry, plan: RunPlan) -> str:
    """Return a hash of all that decides the run: every array and static field, step and plan."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(eqx.filter((model, observer, start), eqx.is_array)):
        plain = _plain(leaf)
        digest.update(f"{plain.dtype.str}{plain.shape}".encode())
        digest.update(np.ascontiguousarray(plain).tobytes())
    settings = {
        "plan": vars(plan),
        "dt": model.dt,
        "structure": structure_text((model, observer)),
        "arrays": digest.hexdigest(),
    }
    return config_hash(settings)


def _save(path: Path, sums: RunSums, carry: Carry, mark: str) -> None:
    """Write all that a run needs to go on, as arrays: only these are under the checksum."""
    arrays = {f"sums/{name}": value for name, value in sums.to_arrays().items()}
    for index, leaf in enumerate(jax.tree.leaves(carry)):
        arrays[f"carry/{index:03d}"] = _plain(leaf)
    arrays["run"] = _mark_array(mark)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_arrays(path, arrays)


def _restored(path: Path, start: Carry, mark: str) -> tuple[RunSums, Carry]:
    """Return the sums and the carry that `_save` wrote."""
    arrays, _ = load_arrays(path)
    leaves, structure = jax.tree.flatten(start)
    try:
        if not np.array_equal(arrays.pop("run"), _mark_array(mark)):
            raise RunFolderError(
                f"{path} was written by a run with other settings, weights or initial states. "
                "Remove it or use another folder."
            )
        found = [_like(leaf, arrays.pop(f"carry/{index:03d}")) for index, leaf in enumerate(leaves)]
        sums = RunSums.from_arrays(
            {name.removeprefix("sums/"): value for name, value in arrays.items()}
        )
    except KeyError as error:
        raise CorruptFileError(f"{path} lacks {error}; remove it and run again") from error
    return sums, jax.tree.unflatten(structure, found)


def _mark_array(mark: str) -> NDArray[np.uint8]:
    return np.frombuffer(bytes.fromhex(mark), np.uint8)


def _plain(leaf: jax.Array) -> NDArray:
    """Return an array as NumPy; typed random keys as their words."""
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    return np.asarray(leaf)


def _like(leaf: jax.Array, value: NDArray) -> jax.Array:
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(jnp.asarray(value), impl=jax.random.key_impl(leaf))
    return jnp.asarray(value, leaf.dtype)
