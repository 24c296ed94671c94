"""The files of tasks in a run folder: which are results, which may go, which are not ours."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from subgrid.experiment.folder import RunFolder
from subgrid.experiment.task import Task
from subgrid.ownership import files_below, is_leftover, remove_ours


def results(folder: RunFolder, task: Task) -> list[Path]:
    """Return the files that a task has written; those of users are none."""
    return sorted(_matching(folder, task, task.files))


def removable(folder: RunFolder, names: Iterable[str]) -> set[Path]:
    """Return the files of tasks that this run wrote: those the manifest lists, if it is done."""
    manifest, found = folder.manifest(), set()
    for name in names:
        record = manifest["tasks"].get(name) or manifest["begun"].get(name, {})
        listed = [folder.path / file for file in record.get("files", {})]
        found |= set(listed)
        if (task := folder.tasks.get(name)) is None:
            continue
        found |= set() if listed else set(results(folder, task))
        found |= {*_matching(folder, task, task.passing), *leftovers(folder, task)}
    return found


def remove(folder: RunFolder, files: set[Path]) -> list[Path]:
    """Remove these files and the folders that are empty then; return what else lies there."""
    places = sorted({folder.path / file.relative_to(folder.path).parts[0] for file in files})
    left = []
    for place in places:
        if place.is_dir():
            left += remove_ours(place, lambda name, place=place: place / name in files)
        else:
            place.unlink(missing_ok=True)
    return left


def leftovers(folder: RunFolder, task: Task) -> list[Path]:
    """Return what a kill left half written, in the folders of a task or beside its files."""
    found = [file for file in _files(folder, task) if _left_over(file.name)]
    for place in task.places(folder.path):
        for entry in place.parent.glob(f".{place.name}.subgrid-*"):
            found += files_below(entry) if entry.is_dir() else [entry]
    return found


def remove_leftovers(folder: RunFolder) -> None:
    """Remove what is of no use in a run folder in which nobody is at work.

    What kills left half written, the progress of tasks that are done, and folders that are empty.
    """
    done = folder.manifest()["tasks"]
    for task in folder.tasks.values():
        useless = leftovers(folder, task)
        if task.name in done:
            useless += _matching(folder, task, task.passing)
        for file in useless:
            file.unlink(missing_ok=True)
    tops = {
        place.relative_to(folder.path).parts[0]
        for t in folder.tasks.values()
        for place in t.places(folder.path)
    }
    for entry in folder.path.iterdir():
        if entry.is_dir() and entry.name in tops:
            remove_ours(entry, lambda _: False)
        elif _left_over(entry.name) and entry.is_file():
            entry.unlink()


def _matching(folder: RunFolder, task: Task, pattern: str) -> Iterator[Path]:
    for file in _files(folder, task):
        if re.fullmatch(pattern, file.relative_to(folder.path).as_posix()):
            yield file


def _left_over(name: str) -> bool:
    return is_leftover(name, lambda _: False)


def _files(folder: RunFolder, task: Task) -> Iterator[Path]:
    for place in task.places(folder.path):
        if place.is_dir():
            yield from files_below(place)
        elif place.is_file():
            yield place
