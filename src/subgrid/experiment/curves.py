"""The learning curves of a run."""

from typing import Any

from subgrid.config import LearnedConfig
from subgrid.experiment.folder import RunFolder
from subgrid.training import read_records


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


def learning_records(
    folder: RunFolder, model: LearnedConfig, number: int
) -> list[list[dict[str, Any]]]:
    """Return the records of each training of one initialisation: one, or one per scale.

    The coarsest scale comes first; the last losses are the closure's own.
    """
    files = sorted(folder.model(model.name, number).rglob("metrics.jsonl"))
    return [read_records(file) for file in files]


def best_record(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the record of the update whose weights were kept."""
    wanted = records[-1]["best_update"]
    return next(record for record in records if record["update"] == wanted)
