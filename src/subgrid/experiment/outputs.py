"""What each stage writes in a run folder, by name: what counts, what may go, what is not ours."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from subgrid.checksums import read_list
from subgrid.config import Config
from subgrid.data import recorded_files
from subgrid.data.records import PASSING_FILES
from subgrid.experiment.folder import RunFolder
from subgrid.experiment.results import PARTIAL_FILES, hashes_of, recorded_result
from subgrid.experiment.separated import cases
from subgrid.experiment.simulate import DATA_FROM, SPLITS
from subgrid.experiment.training_runs import HASHES, MODEL_FILES
from subgrid.ownership import files_below, is_leftover, remove_ours

OUTPUTS = {
    "simulate": ("data",),
    "train": ("models",),
    "evaluate": ("evaluation", "scores.json"),
    "report": ("report.html",),
}

_SPLIT = rf"data/({'|'.join(SPLITS)})"
_ASIDE = r"\.[^/]+\.(subgrid-[0-9a-f]{8}|unfinished|\d+)"  # the latter of earlier versions
_MODEL = r"models/[^/]+/(seed_\d+/)?"
_LIST = r"evaluation/(costs|(calibration/)?(reference|(online|offline)/.+)|separated/.+)\.sha256"
_RESULTS = {
    "simulate": rf"{_SPLIT}\.(zarr/(\w+/)*(zarr\.json|c(/\d+)*)|records/\d+\.json|statistics\.json)"
    rf"|data/{re.escape(DATA_FROM)}",
    "train": rf"{_MODEL}({MODEL_FILES.pattern}|{re.escape(HASHES)})",
    "evaluate": rf"{_LIST}|scores\.json",
    "report": r"report\.html",
}
# what is of no use once the stage is done: locks, progress, stores that were being written
_PASSING = {
    "simulate": rf"{_SPLIT}\.records/(lock|call|{PASSING_FILES.pattern})"
    rf"|data/{_ASIDE}/.+"
    rf"|{_SPLIT}\.zarr/(.+/)?\w+\.[0-9a-f]+\.partial",
    "train": rf"{_MODEL}(stage_\d+/)?checkpoints/\d+\.safetensors"
    rf"|{_MODEL}\.(model\.json|weights\.safetensors)\.new",
    "evaluate": rf"evaluation/(partial/({PARTIAL_FILES.pattern})|(.+/)?{_ASIDE}(/.+)?)",
    "report": r"(?!)",
}


def results(folder: RunFolder, stage: str) -> list[Path]:
    """Return the files that a stage has written; those of users are none."""
    found = [file for file in _files(folder, stage) if _counts(folder, stage, file)]
    if stage == "evaluate":
        found += [file for kept in found if kept.suffix == ".sha256" for file in _listed(kept)]
    return sorted(found)


def recorded(folder: RunFolder, stage: str) -> dict[Path, str]:
    """Return the hashes of results from when they were written, as far as these are kept.

    Raises CorruptFileError for what is altered.
    """
    found: dict[Path, str] = {}
    if stage == "simulate":
        for store in (folder.split(name) for name in SPLITS):
            found |= recorded_files(store) if store.exists() else {}
        return found
    read: Callable[[Path], dict[Path, str]] = recorded_result if stage == "evaluate" else read_list
    for file in results(folder, stage):
        if file.suffix == ".sha256":
            found |= read(file)
    return found


def removable(folder: RunFolder, stage: str) -> set[Path]:
    """Return the files of a stage that this run wrote: those the manifest lists, if it is done."""
    done = folder.manifest()["stages"].get(stage)
    wrote = results(folder, stage) if done is None else [folder.path / n for n in done["files"]]
    passing = re.compile(_PASSING[stage])
    return set(wrote) | {
        file
        for file in _files(folder, stage)
        if passing.fullmatch(_name(folder, file)) or _is_leftover(folder, stage, file)
    }


def remove(folder: RunFolder, stage: str, files: set[Path]) -> list[Path]:
    """Remove these files of a stage, and folders that are empty then; return what stays."""
    left = []
    for place in (folder.path / name for name in OUTPUTS[stage]):
        if place.is_dir():
            left += remove_ours(place, lambda name, place=place: place / name in files)
        elif place in files:
            place.unlink(missing_ok=True)
    return left


def remove_leftovers(folder: RunFolder) -> None:
    """Remove what a kill left half written in a run folder in which nobody else is at work."""
    for stage in OUTPUTS:
        for file in _files(folder, stage):
            if _is_leftover(folder, stage, file):
                file.unlink()
    for file in folder.path.iterdir():
        if is_leftover(file.name, lambda name: name in _TOP) and file.is_file():
            file.unlink()


_TOP = ("config.toml", "manifest.json", "scores.json", "report.html")


def is_data(name: str) -> bool:
    """Return whether a file, by its path below the folder of the data, is one that we write."""
    return any(re.fullmatch(some["simulate"], f"data/{name}") for some in (_RESULTS, _PASSING))


def _files(folder: RunFolder, stage: str) -> Iterator[Path]:
    for place in (folder.path / name for name in OUTPUTS[stage]):
        if place.is_dir():
            yield from files_below(place)
        elif place.is_file():
            yield place


def _name(folder: RunFolder, file: Path) -> str:
    return file.relative_to(folder.path).as_posix()


def _counts(folder: RunFolder, stage: str, file: Path) -> bool:
    name = _name(folder, file)
    if not re.fullmatch(_RESULTS[stage], name) or not file.is_file():
        return False
    return stage != "train" or name.split("/")[1] in _model_names(folder.config)


def _is_leftover(folder: RunFolder, stage: str, file: Path) -> bool:
    def ours(name: str) -> object:
        if stage == "evaluate":  # a name that a result may have; whether it is there does not count
            return re.fullmatch(r"evaluation/(.+/)?[^/.]+\.(json|sha256|safetensors)", name)
        return re.fullmatch(_RESULTS[stage], name) or re.fullmatch(_PASSING[stage], name)

    return file.is_file() and is_leftover(_name(folder, file), ours)


def _model_names(config: Config) -> set[str]:
    """Return the names of the folders below models/."""
    some = (config.learned(), config.searched(), config.calibrated(), config.adapted())
    models = [*(model for group in some for model in group), *config.pretrained()]
    return {model.name for model in models} | {case.label for case in cases(config)}


def _listed(kept: Path) -> list[Path]:
    """Return the files of a result whose hashes are in `kept`."""
    if found := recorded_result(kept):
        return [file for file in found if file.is_file()]
    # one hash for all, as earlier versions wrote it
    stores = [path for path in kept.parent.glob("*") if path != kept and hashes_of(path) == kept]
    return [f for path in stores for f in (files_below(path) if path.is_dir() else [path])]
