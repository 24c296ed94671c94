"""The stage that trains the learned closures, each of its seeds by itself."""

import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from subgrid.closures import load_closure, save_closure
from subgrid.config import (
    LearnedConfig,
    build_coarse_systems,
    build_network,
    build_plan,
    build_system,
)
from subgrid.data import Samples
from subgrid.experiment.card import model_card
from subgrid.experiment.folder import RunFolder
from subgrid.experiment.progress import Progress, Task
from subgrid.experiment.simulate import check_online_step
from subgrid.provenance import write_atomic
from subgrid.training import Event, train_cascade, train_offline


def train(folder: RunFolder, progress: Progress, mapped: Callable[..., Any]) -> dict[str, Any]:
    """Write models/NAME/seed_K for every learned closure and return what the manifest keeps.

    Training data are those of the train split; the weights kept are the best on the validation
    split; the test split is not looked at, but for the speed of its flow. A training that was
    interrupted goes on from its last checkpoint. Raises UnstableRunError for a loss that does not
    stay finite and CorruptFileError for a damaged checkpoint.
    """
    config = folder.config
    if not config.learned():
        return {}
    check_online_step(config, folder.split("test"))
    return {
        "models": {
            f"{model.name}/seed_{number}": _train_one(folder, model, number, progress)
            for model in config.learned()
            for number in range(model.seeds)
        }
    }


def training_seed(seed: int, model: str, number: int) -> int:
    """Return the seed of one training: other for every experiment, model and initialisation."""
    return zlib.crc32(f"{seed}/{model}/{number}".encode())


def _train_one(
    folder: RunFolder, model: LearnedConfig, number: int, progress: Progress
) -> dict[str, Any]:
    config, target = folder.config, folder.model(model.name, number)
    label = f"{model.name} seed {number}"
    seed = training_seed(config.seed, model.name, number)
    notes = {"seed": seed}
    if (target / "model.json").exists():
        load_closure(target)  # raises if it was damaged
        _remove_checkpoints(target)
        progress.note(f"train {label}: done already")
        return notes
    coarse = build_coarse_systems(config, build_system(config))
    names = [variable.name for variable in coarse[0].variables]
    wanted = [*names, *(f"{name}_forcing" for name in names)]
    train_samples, validation_samples = (
        Samples(folder.split(split), config.coarse.sizes[0], wanted)
        for split in ("train", "validation")
    )
    network = build_network(config, model, coarse[0], jax.random.key(np.uint32(seed)))
    trainer = train_cascade if model.arrangement == "multiscale" else train_offline
    result = trainer(
        network,
        train_samples,
        validation_samples,
        build_plan(config, model),
        folder=target,
        seed=seed,
        zero_mean=model.zero_mean,
        flux_form=model.flux_form,
        grid=coarse[0].grid,
        callbacks=(_Watch(progress, label),),
    )
    # the closure comes last: a folder that holds it is complete
    write_atomic(target / "card.md", model_card(folder, model, number, result))
    save_closure(result.closure, target, {"experiment": config.label, "seed": seed})
    _remove_checkpoints(target)
    return notes


def _remove_checkpoints(target: Path) -> None:
    """Remove what a training needs to go on, once its best weights are saved as a closure."""
    for checkpoints in target.rglob("checkpoints"):
        shutil.rmtree(checkpoints)


class _Watch:
    """Shows the updates of a training, or of the several of a cascade, as tasks."""

    def __init__(self, progress: Progress, label: str):
        self._progress, self._label = progress, label
        self._task: Task | None = None
        self._remark = ""

    def __call__(self, event: Event) -> None:
        """Take an event of the training loop."""
        if event.kind == "start" or self._task is None:
            name = " ".join(part for part in ("train", self._label, event.label) if part)
            self._task, self._remark = self._progress.task(name, event.updates, "updates"), ""
        if event.kind == "record":
            self._remark = f"validation loss {event.record['validation']['loss']:.4g}"
        if event.kind == "end":
            self._task.finish()
        else:
            self._task.update(event.update, self._remark)
