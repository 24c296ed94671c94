"""The learning curves of a run."""

from pathlib import Path
from typing import Any

from subgrid.config import AdaptedConfig, LearnedConfig
from subgrid.errors import CorruptFileError
from subgrid.experiment.folder import RunFolder
from subgrid.training import read_records, training_remarks

_FEW_UPDATES = 50
_STUCK = 3
_LOWERED = 0.98  # a network whose units died gives a constant: 0.996 of the first loss in one run


def learning_curves(folder: RunFolder) -> dict[str, list[dict[str, Any]]]:
    """Return the records of the last network of each learned model, of its first seed.

    In a multiscale model that is the one that adds the finest scale; the others learn other
    targets, whose losses do not compare.
    """
    curves = {}
    for model in folder.config.learned():
        if records := learning_records(folder, model, 0):
            curves[model.name] = records[-1]
    return curves


def tuning_curves(folder: RunFolder) -> dict[str, list[dict[str, Any]]]:
    """Return the records of each training through the solver, of the first network."""
    return {
        model.name: records
        for model in folder.config.adapted()
        for records in learning_records(folder, model, 0)
    }


def remarks_of(folder: RunFolder, model: LearnedConfig | AdaptedConfig) -> list[str]:
    """Return what is to be said of the trainings of a model, of all its networks and scales.

    Of an adapted model those of the one it is made of, too.
    """
    config, base = folder.config, model.base(folder.config)
    said = []
    if base is not model:
        said += [f"{base.name}, {remark}" for remark in remarks_of(folder, base)]
    for number in range(len(model.labels(config))):
        for file in _metrics_files(folder, model.name, number):
            stage = _stage(folder, model.name, number, file)
            said += [f"seed {number}{stage}: {remark}" for remark in _remarks(file)]
    return said


def remarks_of_network(folder: RunFolder, name: str, number: int) -> list[str]:
    """Return what is to be said of the trainings of one initialisation."""
    return [r for file in _metrics_files(folder, name, number) for r in _remarks(file)]


def _remarks(file: Path) -> tuple[str, ...]:
    records = read_records(file)
    return training_remarks(records[-1]) if records else ()


def remarks(folder: RunFolder) -> dict[str, str]:
    """Return model → what is to be said of its trainings, for the models where there is something.

    The names are those of the config, of a search and of a calibration included.
    """
    config = folder.config
    models = (*config.learned(), *config.added_models(), *config.adapted())
    return {m.name: "; ".join(said) for m in models if (said := remarks_of(folder, m))}


def unchanged(folder: RunFolder) -> list[str]:
    """Return a sentence per training through the solver that kept the weights it began with."""
    config = folder.config
    return [
        f"{label}: training through the solver made it no better on the validation windows: its "
        f"weights are those of {model.of}."
        for model in config.adapted()
        if model.fine_tune is not None
        for number, label in enumerate(model.labels(config))
        for records in learning_records(folder, model, number)
        if records[-1]["best_update"] == 0
    ]


def learning_records(
    folder: RunFolder, model: LearnedConfig | AdaptedConfig, number: int
) -> list[list[dict[str, Any]]]:
    """Return the records of each training of one initialisation: one, or one per scale.

    The coarsest scale comes first; the last losses are the closure's own. Of an adapted model that
    through the solver, if it has any, whose losses are of another kind. Raises CorruptFileError for
    a file that is gone or damaged, or lacks the record of the best update.
    """
    found = []
    for file in _metrics_of(folder, model, number):
        records = read_records(file)
        best = records[-1].get("best_update") if records else None
        if best not in [record["update"] for record in records]:
            raise CorruptFileError(
                f"{file} is gone, or lacks the record of the best update. Restore it, or make the "
                f"models again: `subgrid train {folder.path} --force`."
            )
        found.append(records)
    return found


def _metrics_of(folder: RunFolder, model: LearnedConfig | AdaptedConfig, number: int) -> list[Path]:
    """Return the metrics files that the training of one initialisation writes."""
    place = folder.model(model.name, number)
    return [place / file for file in model.metrics_files()]


def unlearned(folder: RunFolder) -> list[str]:
    """Return a sentence per training that lowered its loss by less than 2 %, or ended stuck.

    Stuck: the last three losses are the same to the last digit. A network whose units died is so
    where nothing else in it is trained, no bias of the output. Losses that were not finite are left
    out, and trainings of a few updates not asked (`tiny`).
    """
    every = folder.config.every_training()
    trainings = [(name, number) for name, seeds in every for number in range(seeds)]
    found = []
    for name, number in trainings:
        for file in _metrics_files(folder, name, number):
            records = read_records(file)
            losses = [loss for r in records if (loss := r["validation"]["loss"]) is not None]
            few = not losses or records[-1]["update"] < _FEW_UPDATES
            stuck = len(losses) > _STUCK and len(set(losses[-_STUCK:])) == 1
            if few or (min(losses) < _LOWERED * losses[0] and not stuck):
                continue
            stage = _stage(folder, name, number, file)
            how = "stopped learning" if stuck else "hardly learned"
            found.append(
                f"{name}, seed {number}{stage}, {how}: validation loss {losses[0]:.3g} before, "
                f"{min(losses):.3g} at best. Its units may have died."
            )
    return found


def _metrics_files(folder: RunFolder, name: str, number: int) -> list[Path]:
    return sorted(folder.model(name, number).rglob("metrics.jsonl"))


def _stage(folder: RunFolder, name: str, number: int, file: Path) -> str:
    """Return ", stage_K" for the metrics of one scale of several, else nothing."""
    return "" if file.parent == folder.model(name, number) else f", {file.parent.name}"


def best_record(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the record of the update whose weights were kept."""
    wanted = records[-1]["best_update"]
    return next(record for record in records if record["update"] == wanted)
