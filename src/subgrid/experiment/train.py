"""The stage that trains the learned closures, each of its seeds by itself."""

from collections.abc import Callable
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
from subgrid.experiment.card import model_card
from subgrid.experiment.folder import RunFolder
from subgrid.experiment.progress import Progress
from subgrid.experiment.separated import cases, train_case
from subgrid.experiment.simulate import check_online_step
from subgrid.experiment.training_runs import Watch, pairs, remove_checkpoints, training_seed
from subgrid.provenance import write_atomic
from subgrid.training import train_cascade, train_offline


def train(folder: RunFolder, progress: Progress, mapped: Callable[..., Any]) -> dict[str, Any]:
    """Write models/NAME/seed_K for every learned closure and return what the manifest keeps.

    Training data are those of the train split; the weights kept are the best on the validation
    split; the test split is not looked at, but for the speed of its flow. A training that was
    interrupted goes on from its last checkpoint. Raises UnstableRunError for a loss that does not
    stay finite and CorruptFileError for a damaged checkpoint.
    """
    config = folder.config
    notes: dict[str, Any] = {}
    if config.learned():
        check_online_step(config, folder.split("test"))
        notes["models"] = {
            f"{model.name}/seed_{number}": _train_one(folder, model, number, progress)
            for model in config.learned()
            for number in range(model.seeds)
        }
    if config.separated:
        notes["separated"] = {
            f"{case.label}/seed_{case.number}": train_case(folder, case, progress)
            for case in cases(config)
        }
    return notes


def _train_one(
    folder: RunFolder, model: LearnedConfig, number: int, progress: Progress
) -> dict[str, Any]:
    config, target = folder.config, folder.model(model.name, number)
    label = f"{model.name} seed {number}"
    seed = training_seed(config.seed, model.name, number)
    notes = {"seed": seed}
    if (target / "model.json").exists():
        load_closure(target)  # raises if it was damaged
        remove_checkpoints(target)
        progress.note(f"train {label}: done already")
        return notes
    coarse = build_coarse_systems(config, build_system(config))
    train_samples, validation_samples = (
        pairs(folder, split, coarse[0]) for split in ("train", "validation")
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
        callbacks=(Watch(progress, label),),
    )
    # the closure comes last: a folder that holds it is complete
    write_atomic(target / "card.md", model_card(folder, model, number, result))
    save_closure(result.closure, target, {"experiment": config.label, "seed": seed})
    remove_checkpoints(target)
    return notes
