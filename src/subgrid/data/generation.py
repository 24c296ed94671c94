"""Makes the datasets of splits: any number of truth trajectories, coarse at several scales."""

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from subgrid.checksums import hashes
from subgrid.coarsening import check_positions
from subgrid.computing import lenient, settings, unusual
from subgrid.data.attributes import attributes_of_new, note_other_makers, note_versions, outcome
from subgrid.data.description import describe
from subgrid.data.observing import ScaleLayout, layouts
from subgrid.data.records import Progress, Records, TrajectoryResult, locked
from subgrid.data.store import (
    attributes_of,
    being_extended,
    check_metadata,
    create_store,
    extend_store,
    group_name,
    update_attributes,
)
from subgrid.data.trajectory import ATTEMPTS, TrajectoryJob, Truth, run_trajectory
from subgrid.data.watching import watched
from subgrid.errors import ConfigError, RunFolderError, UnstableRunError
from subgrid.files import require_regular
from subgrid.numbers import whole_number
from subgrid.provenance import config_hash, maker
from subgrid.systems import rounded_down


@dataclass(frozen=True)
class GenerationSummary:
    """What a generation made.

    `trajectories`: in the store; `simulated`: of these by this call; `failed`: numbers of those
    that blew up in every attempt (NaN in the store, left out by readers); `results`: each in
    detail; `content_hash`: SHA-256 over all data, the same for the same bits.
    """

    path: Path
    trajectories: int
    simulated: int
    failed: tuple[int, ...]
    results: tuple[TrajectoryResult, ...]
    config_hash: str
    content_hash: str

    @property
    def blow_ups(self) -> int:
        """How many attempts blew up."""
        return sum(len(result.blow_ups) for result in self.results)

    @property
    def safe_dt(self) -> float | None:
        """The smallest dt (s) that would have been safe where an attempt blew up, or None."""
        known = [dt for result in self.results for dt in result.safe_dts if dt is not None]
        return min(known, default=None)


@dataclass(frozen=True, kw_only=True)
class Split(Truth):
    """The truth of one split, as it is asked for; see `Truth` for what its trajectories share.

    `path`: the store to make, with `trajectories` of them. `split`: name of the random stream, by
    default the name of the file (data/train.zarr → "train"); different splits never share a
    trajectory. `progress` is called from a thread whenever a trajectory got on.
    """

    path: str | Path
    trajectories: int
    split: str | None = None
    progress: Callable[[Progress], None] | None = None

    def job(self) -> TrajectoryJob:
        """Return what all trajectories have in common; raises ConfigError for bad arguments."""
        path = Path(self.path)
        truth = {each.name: getattr(self, each.name) for each in dataclasses.fields(Truth)}
        truth |= {name: dict(truth[name]) for name in ("coarse_systems", "coarseners")}
        job = TrajectoryJob(
            **truth,
            store=str(path.absolute()),
            split=path.stem if self.split is None else self.split,
            settings=unusual(settings()),
            maker=maker(),
        )
        _check(job)
        return job


def generate(
    path: str | Path, *, map: Callable[..., Iterable[Any]] = map, **settings: Any
) -> GenerationSummary:
    """Simulate one split; `settings`: the other fields of `Split`. See `generate_all`."""
    return generate_all([Split(path=path, **settings)], map)[0]


@lenient()
def generate_all(
    splits: Sequence[Split], map: Callable[..., Iterable[Any]] = map
) -> tuple[GenerationSummary, ...]:
    """Simulate the trajectories of all splits, each into its Zarr store; return what was made.

    `map`: runs the trajectories: the built-in one, or from `process_map` or `dask_map`, which are
    given those of all splits at once, so that no worker waits for the end of a split.

    Called again it checks the bytes of what is there and goes on where it was stopped; more
    trajectories than before are added, and fewer leave what is there. Versions of subgrid, JAX or
    NumPy, a processor, device or flags of XLA other than before, or other on a worker, are noted in
    the store and logged: the same bits are promised for the same ones only. A trajectory
    that blows up is tried again with new seeds, at most five times, then left out and reported.

    Raises ConfigError for bad arguments, RunFolderError if a store was made by another config or
    under other settings of JAX (random numbers, precision; workers get those of this process),
    RunLockedError if another process works on it, CorruptFileError for what was altered, OSError
    when the disk is full, and UnstableRunError, with the largest safe dt, if all of a split blew
    up.
    """
    jobs = [split.job() for split in splits]
    with contextlib.ExitStack() as stack:
        works = [
            stack.enter_context(_at_work(job, split))
            for job, split in zip(jobs, splits, strict=True)
        ]
        ended = iter(map(run_trajectory, [one for work in works for one in work.left]))
        summaries = []
        for work in works:
            for _ in work.left:
                next(ended)
            summaries.append(work.finish())
    return tuple(summaries)


@dataclass(frozen=True)
class _Work:
    """A store that is being made: all its trajectories, and those that have not ended."""

    records: Records
    every: list[TrajectoryJob]
    left: list[TrajectoryJob]

    def finish(self) -> GenerationSummary:
        """Write down how the trajectories ended and return it."""
        results = tuple(filter(None, (self.records.result(job.index) for job in self.every)))
        first = self.every[0]
        summary = _summarise(self.records.store, results, len(self.left), first.config_hash)
        update_attributes(
            self.records.store, {**outcome(summary.results, summary.content_hash), "complete": 1}
        )
        note_other_makers(self.records)
        self.records.tidy()
        _check_that_one_lasted(summary, first.dt, first.system.time_units)
        return summary


@contextlib.contextmanager
def _at_work(job: TrajectoryJob, split: Split) -> Iterator[_Work]:
    """Make or open the store that `job` belongs to and hold its lock as long as the block runs."""
    config, arrays = _config(job), layouts(job.observer)
    job = dataclasses.replace(job, config_hash=config_hash(config), dimensions=_dimensions(arrays))
    records = Records(job.store)
    for folder in (records.store, records.folder):
        if folder.is_dir():  # what is there is written to
            require_regular(folder)
    with locked(records.folder / "lock", job.store), records.asking() as call:
        wanted = whole_number("trajectories", split.trajectories)
        present = _prepare(job, records, config, arrays, wanted)
        every = [dataclasses.replace(job, index=index, call=call) for index in range(present)]
        left = _unfinished(records, every)
        if left:
            note_versions(records.store)
        with watched(records, [one.index for one in left], job.steps, split.progress):
            yield _Work(records, every, left)


def _unfinished(records: Records, jobs: list[TrajectoryJob]) -> list[TrajectoryJob]:
    """Return the jobs of trajectories that have not ended; the bytes of the others are checked."""
    left = []
    for job in jobs:
        result = records.result(job.index)
        if result is None:
            left.append(job)
        else:
            records.verify(result)
    return left


def recorded_files(path: str | Path) -> dict[Path, str]:
    """Return the hashes of the files of a finished store, as they were when each was written.

    Raises CorruptFileError if its metadata or a record of a trajectory was altered since.
    """
    records = Records(path)
    root = hashes([records.store / "zarr.json"])  # before it is read, and found whole
    metadata = check_metadata(records.store, attributes_of(path))
    return {**root, **metadata, **records.recorded()}


def _check_that_one_lasted(summary: GenerationSummary, dt: float, units: str) -> None:
    if len(summary.failed) < summary.trajectories:
        return
    safe, unit = summary.safe_dt, " s" if units == "s" else ""
    advice = "" if safe is None else f"; the largest safe one is {rounded_down(safe):g}{unit}"
    raise UnstableRunError(
        f"{summary.path}: all {summary.trajectories} trajectories blew up in each of {ATTEMPTS} "
        f"attempts, first at step {min(min(r.blow_ups) for r in summary.results)}. Use a smaller "
        f"dt (it is {dt:g}{unit}{advice})."
    )


def _check(job: TrajectoryJob) -> None:
    try:
        job.target.check(job.system, job.dt)
    except (TypeError, ValueError) as error:
        raise ConfigError(str(error)) from error
    for coarsener in job.coarseners.values():
        check_positions(job.system, coarsener)
    if not job.coarse_systems or set(job.coarse_systems) != set(job.coarseners):
        raise ConfigError(
            "coarse_systems and coarseners must have the same sizes, at least one, got "
            f"{sorted(job.coarse_systems)} and {sorted(job.coarseners)}"
        )


def _config(job: TrajectoryJob) -> dict[str, Any]:
    """Return what decides the numbers of a store, except how many trajectories it has."""
    left_out = ("store", "index", "config_hash", "dimensions", "settings", "maker", "call")
    fields = [f.name for f in dataclasses.fields(job) if f.name not in left_out]
    found = {name: describe(getattr(job, name)) for name in fields}
    # the usual settings are left out, and 64-bit types by this name, so that old hashes stay
    return {**found, "x64": False} | {
        "x64" if name == "jax_enable_x64" else name: value for name, value in job.settings.items()
    }


def _prepare(
    job: TrajectoryJob,
    records: Records,
    config: dict[str, Any],
    arrays: Mapping[int, ScaleLayout],
    trajectories: int,
) -> int:
    """Make or extend the store and return its number of trajectories."""
    if not (records.store / "zarr.json").exists():
        _refuse_leftovers(records)
        times = (job.spinup_steps + np.arange(1, job.frames + 1) * job.save_every) * job.dt
        create_store(
            records.store,
            arrays,
            trajectories=trajectories,
            times=times,
            attributes=attributes_of_new(job, config),
        )
        return trajectories
    found = attributes_of(records.store)
    if found["config_hash"] != job.config_hash:
        old = json.loads(found["config"])
        names = dict.fromkeys([*config, *old])
        differ = [name for name in names if old.get(name) != config.get(name)]
        raise RunFolderError(
            f"{records.store} was made by another config: {', '.join(differ)} "
            f"{'differs' if len(differ) == 1 else 'differ'}. Use another folder, or remove the "
            f"store and {records.folder}."
        )
    present = max(trajectories, found["trajectories"])
    if trajectories > found["trajectories"] or being_extended(found):
        extend_store(records.store, present)
    else:
        check_metadata(records.store, found)
    return present


def _dimensions(arrays: Mapping[int, ScaleLayout]) -> dict[str, int]:
    """Return how many axes each array of the store has: trajectory, time and a frame's."""
    return {
        f"{group_name(size)}/{array.name}": 2 + len(array.dims)
        for size, layout in arrays.items()
        for array in layout.arrays
    }


def _refuse_leftovers(records: Records) -> None:
    """Raise RunFolderError if there are results of a store that is gone."""
    left = sorted(records.folder.glob("[0-9]*.json"))
    if left:
        raise RunFolderError(
            f"{records.folder} has records of a store that does not exist any more. Restore "
            f"{records.store} or remove the folder as well."
        )


def _summarise(
    path: Path, results: tuple[TrajectoryResult, ...], simulated: int, hashed: str
) -> GenerationSummary:
    content = hashlib.sha256("\n".join(result.content for result in results).encode())
    failed = tuple(result.index for result in results if result.failed)
    return GenerationSummary(
        path, len(results), simulated, failed, results, hashed, content.hexdigest()
    )
