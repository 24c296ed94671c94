"""The global attributes of a store: what made it, under which versions, and how it ended."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from subgrid.data.records import Records, TrajectoryResult
from subgrid.data.store import attributes_of, update_attributes
from subgrid.data.trajectory import TrajectoryJob
from subgrid.provenance import maker

_LOG = logging.getLogger(__name__)
_NOT_DECIDING = ("python", "equinox", "optax", "xarray", "zarr")  # the others may round otherwise


def attributes_of_new(job: TrajectoryJob, config: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes of a store that holds nothing yet; `config`: what `job` is made of."""
    found = maker()
    name = type(job.system).__name__
    return {
        "Conventions": "CF-1.11",
        "title": f"{job.split} data: {name}, coarse states and subgrid forcings",
        "source": f"subgrid {found['subgrid']}, {name}",
        "subgrid_version": found["subgrid"],
        "versions": json.dumps([found]),
        "system": json.dumps(config["system"]),
        "config": json.dumps(config),
        "config_hash": job.config_hash,
        "seed": str(job.seed),  # NetCDF-3 has no number of 32 bits without sign
        "split": job.split,
        "time_step": job.dt,
        "save_every": job.save_every,
        "spinup_steps": job.spinup_steps,
        "scales": sorted(job.coarse_systems, reverse=True),
        "failed": [],
        "complete": 0,  # NetCDF has no booleans
    }


def note_versions(store: Path) -> None:
    """Add versions and machine at work to those of a store; log a warning if numbers may differ."""
    _note(store, maker(), "goes on")


def note_other_makers(records: Records) -> None:
    """Add those of workers that are not as this process is, each with its warning."""
    for other in records.makers():
        _note(records.store, other, "was made in part by workers")


def _note(store: Path, now: dict[str, str], what: str) -> None:
    known = json.loads(attributes_of(store)["versions"])
    last = known[-1]
    names = dict.fromkeys(name for name in (*last, *now) if name not in _NOT_DECIDING)
    if "processor" not in last:  # of a store that does not say it
        names = dict.fromkeys(name for name in last if name in names)
    changed = [name for name in names if last.get(name) != now.get(name)]
    if not changed or now in known:
        return
    _LOG.warning(
        "%s was begun with %s and %s with %s: the results may differ in rounding from those of "
        "one version and machine. Both are noted in its attribute 'versions'.",
        store,
        ", ".join(f"{name} {last.get(name, 'not set')}" for name in changed),
        what,
        ", ".join(f"{name} {now.get(name, 'not set')}" for name in changed),
    )
    update_attributes(store, {"versions": json.dumps([*known, now])})


def outcome(results: Sequence[TrajectoryResult], content_hash: str) -> dict[str, Any]:
    """Return the attributes that tell how the trajectories of a store ended."""
    return {
        "failed": [result.index for result in results if result.failed],
        "seeds": " ".join(result.seeds[-1] for result in results),
        "blow_ups": json.dumps(
            [
                {"trajectory": result.index, "seed": seed, "step": step, "safe_dt": safe_dt}
                for result in results
                for seed, step, safe_dt in zip(
                    result.seeds, result.blow_ups, result.safe_dts, strict=False
                )
            ]
        ),
        "content_hash": content_hash,
    }
