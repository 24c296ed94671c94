"""The global attributes of a store: what made it, under which versions, and how it ended."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from subgrid.data.records import TrajectoryResult
from subgrid.data.store import attributes_of, update_attributes
from subgrid.data.trajectory import TrajectoryJob
from subgrid.provenance import versions

_LOG = logging.getLogger(__name__)
_DECIDING = ("subgrid", "jax", "jaxlib", "numpy")  # other versions of these may round otherwise


def attributes_of_new(job: TrajectoryJob, config: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes of a store that holds nothing yet; `config`: what `job` is made of."""
    found = versions()
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
    """Add the versions at work to those of a store; log a warning if they differ in the numbers."""
    known, now = json.loads(attributes_of(store)["versions"]), versions()
    changed = [name for name in _DECIDING if known[-1].get(name) != now[name]]
    if not changed:
        return
    _LOG.warning(
        "%s was begun with %s and goes on with %s: the results may differ in rounding from those "
        "of one version. Both are noted in its attribute 'versions'.",
        store,
        ", ".join(f"{name} {known[-1].get(name)}" for name in changed),
        ", ".join(f"{name} {now[name]}" for name in changed),
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
