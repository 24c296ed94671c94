"""Takes over the data of another run: the finished tasks of the first stage, where keys agree."""

import json
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from subgrid import __version__
from subgrid.checksums import signed, unsigned
from subgrid.config import Config, own_packages
from subgrid.errors import ConfigError, RunFolderError
from subgrid.experiment.environments import COPIED, participants, refuse_other_settings
from subgrid.experiment.folder import RunFolder
from subgrid.experiment.progress import Progress
from subgrid.experiment.task import STAGES, Task, may_build
from subgrid.files import read_json
from subgrid.ownership import files_below, put_in_place, remove_ours
from subgrid.provenance import environment, write_atomic

ORIGIN = ".data_from.json"  # at the end of the name of a file beside data that were copied


def origin_of(place: Path) -> Path:
    """Return the file that says where data were copied from: beside them, with their name."""
    return place.with_name(place.stem + ORIGIN)


def source_of_data(
    config: Config, out: Path, data_from: str | Path | None, first: str, force: bool
) -> RunFolder | None:
    """Return the run whose data are to be copied, or None if there is nothing to copy (any more).

    Raises before anything is changed: ConfigError for a stage that makes no data, the folder itself
    or data of other settings, RunFolderError for data of another version or not finished.
    """
    if data_from is None:
        return None
    if first != STAGES[0]:
        raise ConfigError(
            f"--data-from {data_from}: the stage {first!r} makes no data that could be taken over. "
            f"Give it to `subgrid simulate` first, or to `subgrid run` for all stages."
        )
    if Path(data_from).resolve() == out.resolve():
        raise ConfigError(f"--data-from {data_from}: this is the run folder itself")
    ours = RunFolder(out, config)
    if (out / "config.toml").exists() and not force and ours.is_done(STAGES[0]):
        return None  # as when the same command is given again
    other = RunFolder.read(Path(data_from), own_packages(config))
    if differing := differing_settings(config, other.config):
        raise ConfigError(
            f"--data-from {other.path}: its data were made with other settings in "
            f"{', '.join(differing)}. They must be the same to be taken over."
        )
    manifest = other.manifest()
    if manifest["subgrid"] != __version__:
        raise RunFolderError(
            f"--data-from {other.path}: it was begun by subgrid {manifest['subgrid']}, this is "
            f"{__version__}: its data would mix results of two versions. Take them over with that "
            f"version, or make them again (`subgrid simulate {other.path} --force`)."
        )
    earlier = participants(manifest, STAGES[:1])
    refuse_other_settings(STAGES[0], environment(), [(COPIED, each) for _, each in earlier])
    if not other.is_done(STAGES[0]):
        raise RunFolderError(f"--data-from {other.path}: its stage {STAGES[0]!r} is not finished")
    return other


def differing_settings(config: Config, other: Config, but: Iterable[str] = ()) -> list[str]:
    """Return the settings in which the data of two configs differ, `but` those of these names."""
    if not may_build(other, config):
        return ["recipe"]
    ours, theirs = (_settings(each) for each in (config, other))
    names = dict.fromkeys([*ours, *theirs])
    return [n for n in names if n not in but and ours.get(n) != theirs.get(n)]


def _settings(config: Config) -> dict[str, list[Any]]:
    """Return the values of each setting in the tasks of the first stage."""
    found: dict[str, list[Any]] = {}
    for task in RunFolder(Path(), config).stage(STAGES[0]):
        for name, value in task.settings.items():
            values = found.setdefault(name, [])
            if value not in values:
                values.append(value)
    return found


def take_over_data(folder: RunFolder, source: RunFolder | None, progress: Progress) -> None:
    """Copy the data of another run, aside first; remove what a killed copy left.

    Where they came from goes into a file beside each, so that a kill cannot part the two.
    """
    target = (folder.path / "data").resolve()  # a link to a larger disk stays
    aside = target.with_name(f"{target.name}.partial")
    ours = folder.stage(STAGES[0])
    if aside.is_dir():
        remove_ours(aside, lambda name: any(_is_of(task, f"data/{name}") for task in ours))
    if source is None:
        return
    if aside.exists():
        raise RunFolderError(
            f"{aside}, where data are copied to first, holds files that are not of this run: "
            f"{list_files(aside, files_below(aside))}. Move them elsewhere."
        )
    progress.note(f"simulate: copies the data of {source.path}")
    manifest = source.manifest()
    for task in ours:
        record = manifest["tasks"][task.name]
        copy_data(source, record["files"], aside)
        origin = {
            "folder": str(source.path),
            "config_hash": manifest["config_hash"],
            "environment": record["environment"],
        }
        if "data_from" in record:  # which had taken them over itself
            origin["data_from"] = record["data_from"]
        file = origin_of(aside / Path(task.name).relative_to("data"))
        write_atomic(file, json.dumps(signed(origin), indent=1) + "\n")
    if target.is_dir() and remove_ours(
        target, lambda name: any(_is_of(task, f"data/{name}") for task in ours)
    ):  # files of the user's stay among them; the origins are moved there first
        for file in aside.glob(f"*{ORIGIN}"):
            os.replace(file, target / file.name)
    put_in_place(aside, target)


def read_origin(place: Path) -> dict[str, Any] | None:
    """Return where data were copied from, None if they were made here."""
    file = origin_of(place)
    return unsigned(read_json(file), file) if file.exists() else None


def _is_of(task: Task, name: str) -> bool:
    return bool(re.fullmatch(task.files, name) or re.fullmatch(task.passing, name))


def copy_data(source: RunFolder, names: Iterable[str], target: Path) -> None:
    """Copy files of the data of another run, with the permissions that files get here."""
    for name in names:
        if name.endswith(ORIGIN):
            continue
        copy = target / Path(name).relative_to("data")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source.path / name, copy)


def list_files(folder: Path, files: Iterable[Path]) -> str:
    """Return the names of files below a folder, of many the first five."""
    return first_five(file.relative_to(folder).as_posix() for file in files)


def first_five(names: Iterable[str]) -> str:
    """Return names in words, of many the first five."""
    names = list(names)
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
