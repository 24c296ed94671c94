"""The fitted closures of a run: numbers found in its training split at once."""

from typing import Any

from subgrid.closures import holds_closure, save_closure
from subgrid.config import FittedConfig, build_coarse_systems, build_system
from subgrid.data import open_dataset
from subgrid.experiment.task import Context
from subgrid.recipes.training_runs import keep_hashes


def fit_one(context: Context, model: FittedConfig) -> dict[str, Any]:
    """Write models/NAME unless it is there, and return nothing for the manifest.

    Raises CorruptFileError if what is there, or the data, were damaged.
    """
    folder, target = context.folder, context.folder.model(model.name)
    config = folder.config
    if holds_closure(target):
        folder.load_model(model.name)  # raises if it was damaged
    else:
        coarse = build_coarse_systems(config, build_system(config))[0]
        data = open_dataset(folder.split("train"), config.coarse.sizes[0])
        save_closure(model.fit(config, coarse, data), target, {"experiment": config.label})
        context.progress.note(f"train: fitted {model.name}")
    keep_hashes(target)
    return {}
