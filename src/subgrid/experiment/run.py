"""Runs the stages of an experiment in its folder, each once."""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from subgrid import __version__
from subgrid.checksums import signed
from subgrid.computing import lenient
from subgrid.config import Config, check_builds, check_names
from subgrid.errors import ConfigError, RunFolderError
from subgrid.experiment.environments import COPIED, participants, refuse_other_settings, told
from subgrid.experiment.evaluate import evaluate
from subgrid.experiment.folder import RunFolder, differences
from subgrid.experiment.keys import STAGES, stage_keys, stage_parts
from subgrid.experiment.lock import RunLock
from subgrid.experiment.make_report import make_report
from subgrid.experiment.outputs import (
    OUTPUTS,
    is_data,
    recorded,
    removable,
    remove,
    remove_leftovers,
    results,
)
from subgrid.experiment.pretrained import copies, kept_copies, refuse_changed_bundles
from subgrid.experiment.progress import Progress, duration
from subgrid.experiment.simulate import DATA_FROM, simulate
from subgrid.experiment.stability import check_time_steps
from subgrid.experiment.train import train
from subgrid.experiment.workers import Workers, open_workers
from subgrid.ownership import files_below, put_in_place, remove_ours
from subgrid.provenance import environment, write_atomic

_RUNNERS: dict[str, Callable[[RunFolder, Progress, Workers], dict[str, Any]]] = {
    "simulate": simulate,
    "train": train,
    "evaluate": evaluate,
    "report": make_report,
}


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
    """Run stages of an experiment in the folder `out` and return the folder.

    A stage that is done for this config is skipped, and one that was interrupted goes on where it
    stopped, whatever stopped it. `stages`: some of "simulate", "train", "evaluate", "report"; those
    before the first must be done. `workers`, `dask`: see `open_workers`. `data_from`: a run whose
    finished data are copied instead of simulated. `force`: remove what the stages made and make it
    again; files that they did not make stay. `trust`: whether bundles, and what lies in `out`, may
    name code of other packages than the config does, which is yours. A finished run is looked at
    where it cannot be written. A try that finished nothing takes a corrected config.

    Raises UntrustedCodeError if they do, ConfigError for names that are in no registry, for a time
    step that cannot work and for data that cannot be taken over, RunFolderError for a folder of
    another config, begun by another version or whose unfinished training has another bundle than
    now, RunLockedError if another process has it, and whatever a stage raises; what was finished
    stays.
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
        _clear_failed_try(out, config, progress)
        folder = RunFolder.create(out, config, trust)
        progress.note(f"run folder {out}")
        for stage in STAGES[: STAGES.index(wanted[0])]:
            if not folder.is_done(stage):
                raise RunFolderError(
                    f"the stage {stage!r} of {out} is not finished, and {wanted[0]!r} needs it: "
                    f"run `subgrid {stage} {out}` first, or `subgrid run {out}` for all stages"
                )
        _refuse_mixing(folder, wanted, force)
        if force:
            _remove_outputs(folder, wanted[0], progress)
        for line in kept_copies(folder):
            progress.note(line)
        _take_over_data(folder, source, progress)
        for stage in wanted:
            _run_stage(folder, stage, progress, team)
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
    keeps_models = not force or STAGES.index(stages[0]) > STAGES.index("train")
    check_builds(config, copies(folder) if folder is not None and keeps_models else {}, trust)
    try:
        check_time_steps(config, stages)
    except ConfigError:  # stages that are done need no step; asked last, as all files are hashed
        if folder is None or force:
            raise
        check_time_steps(config, [stage for stage in stages if not folder.is_done(stage)])
    source = _source_of_data(config, out, data_from, stages[0], force)
    if folder is not None:
        _refuse_mixing(folder, stages, force)
        if keeps_models:
            refuse_changed_bundles(folder)
    return source


def _run_stage(folder: RunFolder, stage: str, progress: Progress, workers: Workers) -> None:
    if folder.is_done(stage):
        progress.note(f"{stage}: done already")
        return
    earlier = participants(folder.manifest(), STAGES[: STAGES.index(stage) + 1])
    goes_on = folder.mark_begun(stage)
    progress.note(f"{stage}: begins")
    for line in told(stage, environment(), earlier):
        progress.note(line)
    for place in (folder.path / name for name in OUTPUTS[stage]):
        if place.is_symlink() and not place.exists():  # to a folder that was cleared elsewhere
            place.resolve().mkdir(parents=True)
    start = time.monotonic()
    notes = _RUNNERS[stage](folder, progress, workers)
    seconds = time.monotonic() - start
    remove_leftovers(folder)
    folder.mark_done(
        stage, seconds, results(folder, stage), recorded(folder, stage), resumed=goes_on, **notes
    )
    progress.note(f"{stage}: done in {duration(seconds)}")


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


def _clear_failed_try(out: Path, config: Config, progress: Progress) -> None:
    """Remove what a try of another config left that finished nothing, but data that both share."""
    if not (out / "config.toml").exists() or RunFolder.existing(out, config) is not None:
        return
    tried = RunFolder.open(out)
    progress.note(
        f"{out}: nothing of an earlier try is finished; takes the new config\n"
        f"{differences(tried.config, config)}"
    )
    shared = tried.keys["simulate"] == stage_keys(config)["simulate"]
    _remove(tried, STAGES[1:] if shared else STAGES, progress)


def _remove_outputs(folder: RunFolder, first: str, progress: Progress) -> None:
    """Remove what a stage and those after it made; the records go first, so a kill is safe."""
    _remove(folder, STAGES[STAGES.index(first) :], progress)
    if first == STAGES[0]:  # nothing of the version that began it is left
        folder.write_manifest({**folder.manifest(), "subgrid": __version__})


def _remove(folder: RunFolder, stages: Sequence[str], progress: Progress) -> None:
    """Remove the outputs of stages, of which no record stays; tell what else lies among them."""
    ours = {stage: removable(folder, stage) for stage in stages}
    folder.forget(stages[0])
    left = [file for stage in stages for file in remove(folder, stage, ours[stage])]
    if left:
        progress.note(f"kept, as this run did not write it: {_listed(folder.path, left)}")


def _listed(folder: Path, files: Iterable[Path]) -> str:
    names = [file.relative_to(folder).as_posix() for file in files]
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _source_of_data(
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
    begun = (out / "config.toml").exists()
    if begun and not force and RunFolder.read(out).is_done("simulate"):
        return None  # as when the same command is given again
    other, keys = RunFolder.read(Path(data_from)), stage_keys(config)
    if other.keys["simulate"] != keys["simulate"]:
        ours, others = (stage_parts(each)["simulate"] for each in (config, other.config))
        names = dict.fromkeys([*ours, *others])
        differing = [name for name in names if ours.get(name) != others.get(name)]
        raise ConfigError(
            f"--data-from {other.path}: its data were made with other settings in "
            f"{', '.join(differing)}. They must be the same to be taken over."
        )
    theirs = other.manifest()["subgrid"]
    if theirs != __version__:
        raise RunFolderError(
            f"--data-from {other.path}: it was begun by subgrid {theirs}, this is {__version__}: "
            "its data would mix results of two versions. Take them over with that version, or make "
            f"them again (`subgrid simulate {other.path} --force`)."
        )
    refuse_other_settings(
        STAGES[0],
        environment(),
        [(COPIED, each) for _, each in participants(other.manifest(), STAGES[:1])],
    )
    if not other.is_done("simulate"):
        raise RunFolderError(f"--data-from {other.path}: its stage 'simulate' is not finished")
    return other


def _take_over_data(folder: RunFolder, source: RunFolder | None, progress: Progress) -> None:
    """Copy the data of another run, aside first; remove what a killed copy left.

    Where they came from goes into a file among them, so that a kill cannot part the two.
    """
    target = (folder.path / "data").resolve()  # a link to a larger disk stays
    aside = target.with_name(f"{target.name}.partial")
    if aside.is_dir():
        remove_ours(aside, is_data)
    if source is None:
        return
    if aside.exists():
        raise RunFolderError(
            f"{aside}, where data are copied to first, holds files that are not of this run: "
            f"{_listed(aside, files_below(aside))}. Move them elsewhere."
        )
    progress.note(f"simulate: copies the data of {source.path}")
    manifest = source.manifest()
    record = manifest["stages"]["simulate"]
    _copy_data(source, record["files"], aside)
    origin = {
        "folder": str(source.path),
        "config_hash": manifest["config_hash"],
        "environment": record["environment"],
    }
    if "data_from" in record:  # which had taken them over itself
        origin["data_from"] = record["data_from"]
    write_atomic(aside / DATA_FROM, json.dumps(signed(origin), indent=1) + "\n")
    if target.is_dir() and remove_ours(target, is_data):  # files of the user's stay among them
        os.replace(aside / DATA_FROM, target / DATA_FROM)
    put_in_place(aside, target)


def _copy_data(source: RunFolder, names: Iterable[str], target: Path) -> None:
    """Copy files of the data of another run, with the permissions that files get here."""
    target.mkdir(parents=True)
    for name in names:
        copy = target / Path(name).relative_to("data")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source.path / name, copy)
