"""Makes the dataset of one split: any number of truth trajectories, coarse at several scales."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from subgrid.data.description import describe
from subgrid.data.observing import ScaleLayout, layouts
from subgrid.data.records import Progress, Records, TrajectoryResult, locked
from subgrid.data.store import attributes_of, create_store, extend_store, finalise_store, group_name
from subgrid.data.trajectory import ATTEMPTS, TrajectoryJob, run_trajectory
from subgrid.data.watching import watched
from subgrid.errors import ConfigError, RunFolderError, UnstableRunError
from subgrid.provenance import config_hash, versions


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


def generate(
    path: str | Path,
    *,
    system: Any,
    coarse_systems: Mapping[int, Any],
    coarseners: Mapping[int, Any],
    dt: float,
    trajectories: int,
    spinup_steps: int,
    frames: int,
    save_every: int,
    seed: int,
    segment_frames: int = 16,
    split: str | None = None,
    map: Callable[..., Iterable[Any]] = map,
    progress: Callable[[Progress], None] | None = None,
    store_flux: bool = False,
) -> GenerationSummary:
    """Simulate the trajectories of a split into one Zarr store, and return what was made.

    Each trajectory starts from `system.initial_state`, makes `spinup_steps` steps of `dt` seconds,
    then `frames` frames `save_every` steps apart. Of each the store keeps, per coarse size, the
    state and its subgrid forcing (see `subgrid.data.Observer`; `store_flux` adds the flux form).
    `segment_frames`: frames in memory at once, and between two saves. `split`: name of the random
    stream, by default the name of the file (data/train.zarr → "train"); different splits never
    share a trajectory. `map`: runs the trajectories: the built-in one, or from `process_map` or
    `dask_map`. `progress` is called from a thread whenever a trajectory got on.

    Called again it goes on where it was stopped; more `trajectories` than before are added, and
    fewer leave what is there. A trajectory that blows up is tried again with new seeds, at most
    five times, then left out and reported.

    Raises ConfigError for bad arguments, RunFolderError if the store was made by another config,
    RunLockedError if another process works on it, OSError when the disk is full, and
    UnstableRunError if no trajectory stayed healthy.
    """
    path = Path(path)
    job = TrajectoryJob(
        str(path.absolute()),
        0,
        path.stem if split is None else split,
        seed,
        "",
        {},
        system,
        dict(coarse_systems),
        dict(coarseners),
        float(dt),
        spinup_steps,
        frames,
        save_every,
        segment_frames,
        store_flux,
        bool(jax.config.jax_enable_x64),  # type: ignore[attr-defined]
    )
    _check(job, trajectories)
    summary = _generate(job, trajectories, map, progress)
    if len(summary.failed) == summary.trajectories:
        raise UnstableRunError(
            f"{path}: all {summary.trajectories} trajectories blew up in each of {ATTEMPTS} "
            f"attempts, first at step {min(min(r.blow_ups) for r in summary.results)}. Use a "
            f"smaller dt (it is {job.dt} s)."
        )
    return summary


def _generate(
    job: TrajectoryJob,
    trajectories: int,
    map: Callable[..., Iterable[Any]],
    progress: Callable[[Progress], None] | None,
) -> GenerationSummary:
    """Make what is missing of the store that `job` belongs to, and return what it holds."""
    config, arrays = _config(job), layouts(job.observer)
    job = dataclasses.replace(job, config_hash=config_hash(config), dimensions=_dimensions(arrays))
    records = Records(job.store)
    with locked(records.folder / "lock", job.store):
        present = _prepare(job, records, config, arrays, trajectories)
        every = [dataclasses.replace(job, index=index) for index in range(present)]
        left = [one for one in every if records.result(one.index) is None]
        with watched(records, [one.index for one in left], job.steps, progress):
            for _ in map(run_trajectory, left):
                pass
        results = tuple(filter(None, (records.result(one.index) for one in every)))
        summary = _summarise(records.store, results, len(left), job.config_hash)
        finalise_store(records.store, _outcome(summary))
        records.tidy()
    return summary


def _check(job: TrajectoryJob, trajectories: int) -> None:
    least = {"frames": 1, "save_every": 1, "segment_frames": 1, "spinup_steps": 0, "seed": 0}
    values = {name: getattr(job, name) for name in least} | {"trajectories": trajectories}
    for name, value in values.items():
        if not isinstance(value, int) or value < least.get(name, 1):
            raise ConfigError(
                f"{name} must be a whole number of at least {least.get(name, 1)}, got {value!r}"
            )
    if not job.dt > 0:
        raise ConfigError(f"dt must be positive (seconds), got {job.dt!r}")
    if not job.coarse_systems or set(job.coarse_systems) != set(job.coarseners):
        raise ConfigError(
            "coarse_systems and coarseners must have the same sizes, at least one, got "
            f"{sorted(job.coarse_systems)} and {sorted(job.coarseners)}"
        )


def _config(job: TrajectoryJob) -> dict[str, Any]:
    """Return what decides the numbers of a store, except how many trajectories it has."""
    left_out = ("store", "index", "config_hash", "dimensions")
    fields = [f.name for f in dataclasses.fields(job) if f.name not in left_out]
    return {name: describe(getattr(job, name)) for name in fields}


def _prepare(
    job: TrajectoryJob,
    records: Records,
    config: dict[str, Any],
    arrays: Mapping[int, ScaleLayout],
    trajectories: int,
) -> int:
    """Make or extend the store and return its number of trajectories."""
    if not records.store.exists():
        _refuse_leftovers(records)
        times = (job.spinup_steps + np.arange(1, job.frames + 1) * job.save_every) * job.dt
        create_store(
            records.store,
            arrays,
            trajectories=trajectories,
            times=times,
            attributes=_attributes(job, config),
        )
        return trajectories
    found = attributes_of(records.store)
    if found["config_hash"] != job.config_hash:
        old = json.loads(found["config"])
        differ = [name for name in config if old.get(name) != config[name]]
        raise RunFolderError(
            f"{records.store} was made by another config: {', '.join(differ)} "
            f"{'differs' if len(differ) == 1 else 'differ'}. Use another folder, or remove the "
            f"store and {records.folder}."
        )
    if trajectories > found["trajectories"]:
        extend_store(records.store, trajectories)
    return max(trajectories, found["trajectories"])


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


def _attributes(job: TrajectoryJob, config: dict[str, Any]) -> dict[str, Any]:
    found = versions()
    name = type(job.system).__name__
    return {
        "Conventions": "CF-1.11",
        "title": f"{job.split} data: {name}, coarse states and subgrid forcings",
        "source": f"subgrid {found['subgrid']}, {name}",
        "subgrid_version": found["subgrid"],
        "versions": json.dumps(found),
        "system": json.dumps(config["system"]),
        "config": json.dumps(config),
        "config_hash": job.config_hash,
        "seed": job.seed,
        "split": job.split,
        "time_step": job.dt,
        "save_every": job.save_every,
        "spinup_steps": job.spinup_steps,
        "scales": sorted(job.coarse_systems, reverse=True),
        "failed": [],
        "complete": False,
    }


def _summarise(
    path: Path, results: tuple[TrajectoryResult, ...], simulated: int, hashed: str
) -> GenerationSummary:
    content = hashlib.sha256("\n".join(result.content for result in results).encode())
    failed = tuple(result.index for result in results if result.failed)
    return GenerationSummary(
        path, len(results), simulated, failed, results, hashed, content.hexdigest()
    )


def _outcome(summary: GenerationSummary) -> dict[str, Any]:
    """Return the attributes that tell how the trajectories of a store ended."""
    return {
        "failed": list(summary.failed),
        "seeds": [result.seeds[-1] for result in summary.results],
        "blow_ups": json.dumps(
            [
                {"trajectory": result.index, "seed": seed, "step": step}
                for result in summary.results
                for seed, step in zip(result.seeds, result.blow_ups, strict=False)
            ]
        ),
        "content_hash": summary.content_hash,
    }
