"""Runs the tasks of an experiment in its folder, each once."""

import os
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from subgrid import __version__
from subgrid.computing import lenient
from subgrid.config import Config, check_names, own_packages
from subgrid.errors import RunFolderError
from subgrid.experiment.environments import code_changes, participants, refuse_other_settings
from subgrid.experiment.folder import RunFolder
from subgrid.experiment.lock import RunLock
from subgrid.experiment.outputs import removable, remove, remove_leftovers, results
from subgrid.experiment.progress import Progress, duration
from subgrid.experiment.refusals import differences
from subgrid.experiment.takeover import first_five, list_files, source_of_data, take_over_data
from subgrid.experiment.task import STAGES, Task, recipe_of
from subgrid.experiment.workers import Workers, open_workers
from subgrid.provenance import environment


@lenient()
def run_experiment(
    config: Config,
    out: str | Path,
    *,
    stages: Sequence[str] = STAGES,
    progress: Progress | None = None,
    workers: int = 1,
    dask: str | None = None,
    data_from: str | Path | None = None,
    force: bool = False,
    trust: bool = False,
) -> RunFolder:
    """Run the tasks of an experiment in the folder `out` and return the folder.

    A task that is done for this config is skipped, and one that was interrupted goes on where it
    stopped, whatever stopped it. `stages`: those whose tasks are to be done, some of "simulate",
    "train", "evaluate", "report"; what they need must be done. `workers`, `dask`: see
    `open_workers`. `data_from`: a run whose finished data are copied instead of simulated. `force`:
    remove what the stages made and make it again; files that they did not make stay. `trust`:
    whether bundles, and what lies in `out`, may name code of other packages than the config does,
    which is yours. A finished run is looked at where it cannot be written.

    A folder takes a changed config that has work in common with it: tasks that the change reaches
    are done again, and what the new config does not have any more stays as it is, out of scores and
    report, until its stage is forced.

    Raises UntrustedCodeError if they do, ConfigError for names that are in no registry, for a time
    step that cannot work and for data that cannot be taken over, RunFolderError for a folder that
    has nothing in common with the config, begun by another version or whose unfinished training has
    another bundle than now, RunLockedError if another process has it, and whatever a task raises;
    what was finished stays.
    """
    progress = Progress() if progress is None else progress
    out = Path(out)
    wanted = [stage for stage in STAGES if stage in stages]
    source = check_run(config, out, stages=wanted, data_from=data_from, force=force, trust=trust)
    made = RunFolder.existing(out, config, trust)
    if made is not None and not os.access(out, os.W_OK):
        _look_at(made, wanted, force, progress)
        return made
    out.mkdir(parents=True, exist_ok=True)
    with RunLock(out), open_workers(workers, dask) as team:
        _tell_change(out, config, progress)
        folder = RunFolder.create(out, config, trust)
        progress.note(f"run folder {out}")
        _require_done_before(folder, wanted)
        _refuse_mixing(folder, wanted, force)
        _clear(folder, folder.stale(), progress)
        if force:
            _remove_outputs(folder, wanted[0], progress)
        for line in recipe_of(config).notes(folder):
            progress.note(line)
        take_over_data(folder, source, progress)
        _Pass(folder, progress).over(wanted, team)
    return folder


@lenient()
def check_run(
    config: Config,
    out: Path,
    *,
    stages: Sequence[str] = STAGES,
    data_from: str | Path | None = None,
    force: bool = False,
    trust: bool = False,
) -> RunFolder | None:
    """Raise what `run_experiment` would before it begins; nothing is written.

    `stages`: in the order of STAGES. Returns the run whose data are to be copied, if any are.
    """
    check_names(config)
    folder = RunFolder.existing(out, config, trust)
    recipe_of(config).check(config, stages, folder, force, trust)
    source = source_of_data(config, out, data_from, stages[0], force)
    if folder is not None:
        _refuse_mixing(folder, stages, force)
    return source


class _Pass:
    """One pass over the tasks that are not done, told by stages."""

    def __init__(self, folder: RunFolder, progress: Progress):
        self._folder, self._progress = folder, progress
        self._began: dict[str, float] = {}
        self._resumed: set[str] = set()
        self._left: dict[str, set[str]] = {}
        self._at: dict[str, float] = {}

    def over(self, stages: Sequence[str], workers: Workers) -> None:
        """Do the tasks of these stages that are not done."""
        todo: list[Task] = []
        for stage in stages:
            tasks = self._folder.stage(stage)
            done = self._folder.done(tasks)
            if len(done) == len(tasks):
                self._progress.note(f"{stage}: done already")
            self._left[stage] = {task.name for task in tasks if task.name not in done}
            todo += [task for task in tasks if task.name not in done]
        order = list(self._folder.tasks)
        todo.sort(key=lambda task: order.index(task.name))
        workers.do(todo, self._folder, self._progress, self._begin, self._done)
        remove_leftovers(self._folder)

    def _begin(self, task: Task) -> None:
        folder, stage = self._folder, task.stage
        if stage not in self._began:
            self._began[stage] = time.monotonic()
            self._progress.note(f"{stage}: begins")
            earlier = participants(folder.manifest(), STAGES[: STAGES.index(stage) + 1])
            for line in code_changes(stage, environment(), earlier):
                self._progress.note(line)
        if folder.mark_begun(task.name):
            self._resumed.add(task.name)
        for place in task.places(folder.path):
            top = folder.path / place.relative_to(folder.path).parts[0]
            if top.is_symlink() and not top.exists():  # to a folder that was cleared elsewhere
                top.resolve().mkdir(parents=True)
            place.parent.mkdir(parents=True, exist_ok=True)
        self._at[task.name] = time.monotonic()

    def _done(self, task: Task, notes: Mapping[str, Any] | None, where: Mapping[str, Any]) -> None:
        seconds = time.monotonic() - self._at[task.name]
        resumed = task.name in self._resumed
        self._folder.mark_done(
            task.name, seconds, results(self._folder, task), notes, where=where, resumed=resumed
        )
        self._left[task.stage].remove(task.name)
        if not self._left[task.stage]:
            took = time.monotonic() - self._began[task.stage]
            self._progress.note(f"{task.stage}: done in {duration(took)}")


def _require_done_before(folder: RunFolder, wanted: Sequence[str]) -> None:
    """Raise RunFolderError if a stage needs tasks that are neither done nor asked for."""
    needed = {
        need.name: (need, task.stage)
        for stage in wanted
        for task in folder.stage(stage)
        for need in task.needs
        if need.stage not in wanted
    }
    done = folder.done([task for task, _ in needed.values()])
    for name, (task, stage) in needed.items():
        if name not in done:
            raise RunFolderError(
                f"the stage {task.stage!r} of {folder.path} is not finished, and {stage!r} needs "
                f"its {name}: run `subgrid {task.stage} {folder.path}` first, or `subgrid run "
                f"{folder.path}` for all stages"
            )


def _refuse_mixing(folder: RunFolder, wanted: Sequence[str], force: bool) -> None:
    """Raise RunFolderError if results of two versions or settings would meet in one folder."""
    manifest = folder.manifest()
    if force and wanted[0] == STAGES[0]:
        return
    kept = STAGES[: STAGES.index(wanted[0])] if force else STAGES[:-1]
    earlier, now = participants(manifest, kept), environment()
    alike = all(each.get("settings", now["settings"]) == now["settings"] for _, each in earlier)
    if alike and manifest["subgrid"] == __version__:
        return  # asked first, for what is done is known by the hash of every file
    left = [stage for stage in wanted if force or not folder.is_done(stage)]
    if left in ([], ["report"]):
        return
    refuse_other_settings(left[0], now, earlier)
    if manifest["subgrid"] != __version__:
        raise RunFolderError(
            f"{folder.path} was begun by subgrid {manifest['subgrid']}, this is {__version__}: "
            f"{left[0]!r} would mix results of two versions. Go on with that version, make all "
            f"again (first `subgrid simulate {folder.path} --force`), or choose another --out."
        )


def _look_at(folder: RunFolder, wanted: Sequence[str], force: bool, progress: Progress) -> None:
    """Tell that stages are done in a folder that cannot be written.

    Raises RunFolderError if one of them, or one before them, is not, or is to be made again.
    """
    for stage in STAGES[: STAGES.index(wanted[-1]) + 1]:
        again = force and stage in wanted
        if again or not folder.is_done(stage):
            raise RunFolderError(
                f"{folder.path} cannot be written to, and {stage!r} "
                f"{'would be made again (--force)' if again else 'is not finished'}. Copy the "
                "folder to where you may write, or ask for leave to write there."
            )
    for stage in wanted:
        progress.note(f"{stage}: done already")


def _tell_change(out: Path, config: Config, progress: Progress) -> None:
    """Tell in what the config of a run changes."""
    if (out / "config.toml").exists():
        old = RunFolder.read(out, own_packages(config)).config
        if old.to_dict() != config.to_dict():
            progress.note(f"{out}: takes the new config\n{differences(old, config)}")


def _clear(folder: RunFolder, names: Collection[str], progress: Progress) -> None:
    """Remove the output of tasks of other settings, so that theirs can take its place."""
    if not names:
        return
    records = folder.manifest()["tasks"]
    if lost := [name for name in folder.tasks if name in names and name in records]:
        progress.note(f"made again, as settings changed: {first_five(lost)}")
    _remove(folder, names)


def _remove_outputs(folder: RunFolder, first: str, progress: Progress) -> None:
    """Remove what a stage and those after it made; tell what else lies among it."""
    names = folder.downstream_of(first)
    if left := _remove(folder, names):
        progress.note(f"kept, as this run did not write it: {list_files(folder.path, left)}")
    if first == STAGES[0]:  # nothing of the version that began it is left
        folder.write_manifest({**folder.manifest(), "subgrid": __version__})


def _remove(folder: RunFolder, names: Collection[str]) -> list[Path]:
    """Remove the output of tasks; a kill at any moment leaves what is known to be nobody's."""
    files = removable(folder, names)
    folder.disown(names)
    left = remove(folder, files)
    folder.forget(names)
    return left
