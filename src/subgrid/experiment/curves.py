"""The learning curves of a run."""

from typing import Any

from subgrid.experiment.folder import RunFolder
from subgrid.training import read_records


def learning_curves(folder: RunFolder) -> dict[str, list[dict[str, Any]]]:
    """Return the records of the last network of each learned model, of its first seed.

    In a multiscale model that is the one that adds the finest scale; the others learn other
    targets, whose losses do not compare.
    """
    curves = {}
    for model in folder.config.learned():
        files = sorted(folder.model(model.name, 0).rglob("metrics.jsonl"))
        if files:
            curves[model.name] = read_records(files[-1])
    return curves
