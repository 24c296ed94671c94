"""What the evaluation stage wrote, read back for the scores and the report."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from subgrid.checksums import altered, read_list, write_list
from subgrid.config import (
    BASELINE,
    build_coarse_systems,
    build_system,
)
from subgrid.data import check_decoded_size, consolidate, fits_in_memory
from subgrid.errors import CorruptFileError
from subgrid.evaluation import StepCost
from subgrid.experiment.folder import RunFolder
from subgrid.files import read_json, read_text
from subgrid.ownership import files_below, put_in_place, remove_ours
from subgrid.provenance import aside_of, file_hash, write_atomic

if TYPE_CHECKING:
    import xarray


_OF_A_STORE = re.compile(r"(\w+/)*(zarr\.json|c(/\d+)*)")
CALIBRATION = "calibration"  # where, in its folder, the evaluation keeps that of the noise
PARTIAL_FILES = re.compile(r".+\.(safetensors|frames)")  # of unfinished free runs


@dataclass(frozen=True)
class Results:
    """Everything the evaluation measured.

    `online`, `offline`: model → one dataset per network; `variants`: the same as `online` for each
    variant of the coarse model; `searched`: the same for the models of the search; `costs`: ratios
    as they were measured, seconds as these times those of the coarse model alone; `cut`: largest
    wavenumber of the spectral errors, rad/m; `system`: the coarse one.
    """

    system: Any
    reference: "xarray.Dataset"
    online: dict[str, list["xarray.Dataset"]]
    variants: dict[str, dict[str, list["xarray.Dataset"]]]
    searched: dict[str, list["xarray.Dataset"]]
    offline: dict[str, list["xarray.Dataset"]]
    costs: dict[str, StepCost]
    cut: float


def load_results(folder: RunFolder) -> Results:
    """Return the results in a run folder whose evaluation has written all its stores.

    Raises FileNotFoundError for one that is missing.
    """
    config = folder.config
    system = build_coarse_systems(config, build_system(config))[0]
    stores = {
        model.shown: model.labels(config) if model.closes else (model.shown,)
        for model in config.models
    }
    tested = {model.name for model in config.models if model.closes}

    def online(variant: str | None = None) -> dict[str, list["xarray.Dataset"]]:
        return {
            name: [read_dataset(folder.evaluation / online_path(s, variant)) for s in labels_of]
            for name, labels_of in stores.items()
        }

    offline = {
        name: [read_dataset(folder.evaluation / offline_path(s)) for s in labels_of]
        for name, labels_of in stores.items()
        if name in tested
    }
    timed = read_json(folder.evaluation / "costs.json")
    alone = timed[BASELINE]["seconds"]
    # ratios were measured side by side, seconds of different groups at different loads
    costs = {name: StepCost(alone * cost["ratio"], cost["ratio"]) for name, cost in timed.items()}
    return Results(
        system=system,
        reference=read_dataset(folder.evaluation / "reference.zarr"),
        online=online(),
        variants={variant.name: online(variant.name) for variant in config.evaluation.variants},
        searched={
            model.name: [
                read_dataset(folder.evaluation / online_path(label))
                for label in model.trained_names()
            ]
            for model in config.searched()
        },
        offline=offline,
        costs=costs,
        cut=config.evaluation.cut * system.grid.nyquist,
    )


def online_path(label: str, variant: str | None = None) -> str:
    """Return where, in the evaluation's folder, the free runs of a closure are."""
    return f"online/{label}.zarr" if variant is None else f"online/{variant}/{label}.zarr"


def offline_path(label: str) -> str:
    """Return where, in the evaluation's folder, the offline scores of a closure are."""
    return f"offline/{label}.zarr"


def is_written(path: Path) -> bool:
    """Return whether a result is there already, whole.

    Raises CorruptFileError if it is not what was written: its checksums are in NAME.sha256 beside
    it. Other files in a store are not looked at.
    """
    if not (path / "zarr.json" if path.suffix == ".zarr" else path).exists():
        return False
    if wrong := _differing(path, hashes_of(path)):
        raise CorruptFileError(
            f"{path} {wrong} after it was written. Restore it, or remove it and run the same "
            "command again to make it again."
        )
    return True


def write_dataset(path: Path, dataset: "xarray.Dataset") -> None:
    """Write a dataset as a Zarr store, whole or not at all, with its checksums beside it."""
    aside = _aside(path)
    dataset.to_zarr(aside, mode="w", consolidated=False, zarr_format=3)
    consolidate(aside)
    _put(aside, path, list(files_below(aside)))


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all, with its checksum beside it."""
    aside = _aside(path)
    write_atomic(aside, text)
    _put(aside, path, [aside])


def hashes_of(path: Path) -> Path:
    """Return the file in which the hashes of a result are."""
    return path.with_suffix(".sha256")


def recorded_result(kept: Path) -> dict[Path, str]:
    """Return the hashes in NAME.sha256; none of what an earlier version wrote, one for all."""
    text = read_text(kept)
    return {} if _of_all(text) else read_list(kept)


def _aside(path: Path) -> Path:
    """Return where to write a result, with what a process killed there left removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    left = re.compile(rf"\.{re.escape(path.name)}\.(subgrid-[0-9a-f]{{8}}|\d+)")
    for entry in list(path.parent.iterdir()):
        if left.fullmatch(entry.name) and entry.is_dir():
            remove_ours(entry, lambda _: True)
        elif left.fullmatch(entry.name):
            entry.unlink()
    return aside_of(path)


def _put(aside: Path, path: Path, files: list[Path]) -> None:
    found = {path / file.relative_to(aside): file_hash(file) for file in files}
    write_list(hashes_of(path), found)  # first: no result is without one
    if aside.is_dir():
        put_in_place(aside, path)
    else:
        aside.rename(path)


def _differing(path: Path, kept: Path) -> str | None:
    """Return what is wrong with a result, or None."""
    if not kept.is_file():
        return f"has no checksum in {kept}"
    text = read_text(kept)
    if _of_all(text):
        return None if text.strip() == _hash_of_all(path) else "was altered (checksum differs)"
    file = altered(read_list(kept))
    return None if file is None else f"was altered (checksum of {file.name} differs)"


def _of_all(text: str) -> bool:
    """Return whether a list of hashes is a single one, as earlier versions wrote it."""
    return len(text.split()) == 1


def _hash_of_all(path: Path) -> str:
    """Return the SHA-256 (hex) of a file, or of the names and contents of all files of a store."""
    if path.is_file():
        return file_hash(path)
    found = {file.relative_to(path).as_posix(): file for file in files_below(path)}
    names = [name for name in sorted(found) if _OF_A_STORE.fullmatch(name)]
    lines = "".join(f"{file_hash(found[name])}  {name}\n" for name in names)
    return hashlib.sha256(lines.encode()).hexdigest()


def read_dataset(path: Path) -> "xarray.Dataset":
    """Return a dataset that `write_dataset` wrote, in memory.

    Raises CorruptFileError for one that would take more memory than it says, or than there is.
    """
    import xarray

    if path.is_dir():
        check_decoded_size(path, fits_in_memory)
    with xarray.open_zarr(path, consolidated=False, chunks=None) as dataset:
        return dataset.load()
