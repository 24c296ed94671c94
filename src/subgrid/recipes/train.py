"""Trains and adapts the learned closures, each of their initialisations by itself."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from subgrid.closures import LearnedClosure, in_system
from subgrid.config import (
    AdaptedConfig,
    LearnedConfig,
    build_coarse_systems,
    build_constraints,
    build_model,
    build_online_system,
    build_system,
)
from subgrid.data import Windows
from subgrid.experiment.task import Context
from subgrid.provenance import write_atomic
from subgrid.randomness import random_key
from subgrid.recipes.card import model_card
from subgrid.recipes.training_runs import Watch, samples_of, train_once
from subgrid.training import train_cascade, train_offline, train_online


def train_one(context: Context, model: LearnedConfig, number: int) -> dict[str, Any]:
    """Write models/NAME/seed_NUMBER and return what the manifest keeps of it.

    The weights kept are the best on the validation split. A training that was interrupted goes on
    from its last checkpoint. Raises UnstableRunError for a loss that does not stay finite and
    CorruptFileError for a damaged checkpoint.
    """
    folder, config = context.folder, context.folder.config

    def fit(target: Path, seed: int, watch: Watch) -> LearnedClosure:
        coarse = build_coarse_systems(config, build_system(config))[0]
        cascade = model.multiscale
        in_memory = config.training_of(model).in_memory
        stages = range(len(model.changes()))
        plans = [config.training_of(model, stage).plan() for stage in stages]
        trainer: Callable[..., Any] = train_cascade if cascade else train_offline
        result = trainer(
            model.closure(config, coarse, random_key(seed)),
            samples_of(folder, "train", coarse, in_memory),
            samples_of(folder, "validation", coarse, in_memory),
            plans if cascade else plans[0],
            folder=target,
            seed=seed,
            callbacks=(watch,),
        )
        write_atomic(target / "card.md", model_card(folder, model, number))
        return result.closure

    return train_once(folder, model.name, number, context.progress, fit)


def adapt_one(context: Context, model: AdaptedConfig, number: int) -> dict[str, Any]:
    """Write a network of a learned model, changed as its config says."""
    folder, progress = context.folder, context.progress
    config, base = folder.config, model.base(folder.config)
    coarse = build_coarse_systems(config, build_system(config))[0]
    online = build_online_system(config, coarse)

    def fit(target: Path, seed: int, watch: Watch) -> LearnedClosure:
        closure = folder.load_model(base.name, number)
        if (tune := model.fine_tune) is not None:
            in_memory = config.training_of(base).in_memory
            names, coupling = [v.name for v in coarse.variables], model.coupling_in(config)
            training, validation = (
                Windows(folder.split(split), config.coarse.sizes[0], names, tune.frames, in_memory)
                for split in ("train", "validation")
            )
            closure = train_online(
                closure,
                lambda closure: build_model(
                    online, config.coarse_dt, in_system(closure, online), coupling
                ),
                training,
                validation,
                tune.plan(),
                folder=target,
                seed=seed,
                steps_per_frame=config.steps_per_frame,
                callbacks=(watch,),
            ).closure
        if model.output:
            samples = samples_of(folder, "train", coarse, in_memory=False)
            constraints = build_constraints(model.output, coarse, f"models.{model.name}")
            added = [one.fitted(samples) for one in constraints]
            closure = closure.changed(output=closure.output.with_constraints(*added))
            progress.note(f"train {model.name}: {', '.join(one.in_words for one in added)}")
        target.mkdir(parents=True, exist_ok=True)  # there is none where nothing was trained
        write_atomic(target / "card.md", model_card(folder, model, number))
        return closure

    return train_once(folder, model.name, number, context.progress, fit)
