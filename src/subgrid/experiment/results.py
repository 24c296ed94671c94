"""What the evaluation stage wrote, read back for the scores and the report."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from subgrid.config import LearnedConfig, build_coarse_systems, build_system
from subgrid.evaluation import StepCost
from subgrid.experiment.candidates import labels
from subgrid.experiment.folder import RunFolder

if TYPE_CHECKING:
    import xarray


@dataclass(frozen=True)
class Results:
    """Everything the evaluation measured.

    `online`, `offline`: model → one dataset per network; `cut`: largest wavenumber of the spectral
    errors, rad/m; `system`: the coarse one.
    """

    system: Any
    reference: "xarray.Dataset"
    online: dict[str, list["xarray.Dataset"]]
    offline: dict[str, list["xarray.Dataset"]]
    costs: dict[str, StepCost]
    cut: float


def load_results(folder: RunFolder) -> Results:
    """Return the results in a run folder whose evaluation has written all its stores."""
    config = folder.config
    system = build_coarse_systems(config, build_system(config))[0]
    online, offline = {}, {}
    for name, model in zip(labels(config), config.models, strict=True):
        stores = model.trained_names() if isinstance(model, LearnedConfig) else (name,)
        online[name] = [read_dataset(folder.evaluation / "online" / f"{s}.zarr") for s in stores]
        if model.kind != "none":
            offline[name] = [
                read_dataset(folder.evaluation / "offline" / f"{s}.zarr") for s in stores
            ]
    costs = json.loads((folder.evaluation / "costs.json").read_text())
    return Results(
        system=system,
        reference=read_dataset(folder.evaluation / "reference.zarr"),
        online=online,
        offline=offline,
        costs={name: StepCost(**cost) for name, cost in costs.items()},
        cut=config.evaluation.cut * system.grid.nyquist,
    )


def write_dataset(path: Path, dataset: "xarray.Dataset") -> None:
    """Write a dataset as a Zarr store, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    for left in path.parent.glob(f".{path.name}.*"):  # of a process that was killed here
        shutil.rmtree(left)
    dataset.to_zarr(aside, mode="w", consolidated=False, zarr_format=3)
    aside.rename(path)


def read_dataset(path: Path) -> "xarray.Dataset":
    """Return a dataset that `write_dataset` wrote, in memory."""
    import xarray

    with xarray.open_zarr(path, consolidated=False, chunks=None) as dataset:
        return dataset.load()
