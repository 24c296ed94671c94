"""The closures that a run compares, built or loaded, under the names that tables and files use."""

import itertools
from dataclasses import dataclass
from typing import Any

from subgrid.closures import in_system, load_closure, load_metadata
from subgrid.config import (
    AdaptedConfig,
    Config,
    GridConfig,
    LearnedConfig,
    NoClosureConfig,
    PretrainedConfig,
    build_closure,
)
from subgrid.experiment.folder import RunFolder

BASELINE = "none"  # what the evaluation calls the coarse model alone


@dataclass(frozen=True)
class Candidate:
    """One closure under test: of `model`, `label` its own name for messages and files.

    `grid`: the finer grid of a model without a closure; `coupling`: how the closure's increment
    enters the step, the system's own way unless given.
    """

    model: str
    label: str
    closure: Any
    grid: GridConfig | None = None
    coupling: str | None = None


def candidates(folder: RunFolder, coarse_system: Any) -> list[Candidate]:
    """Return every closure of a run in the order of its config, the learned ones once per seed.

    Raises CorruptFileError for damaged weights and what a user's own closure raises.
    """
    found: list[Candidate] = []
    for model in folder.config.models:
        if isinstance(model, NoClosureConfig):
            found.append(Candidate(BASELINE, BASELINE, None))
        elif isinstance(model, LearnedConfig | AdaptedConfig):
            found.extend(trained(folder, model))
        elif isinstance(model, PretrainedConfig):
            place = folder.model(model.name)
            closure = in_system(load_closure(place, folder.trust), coarse_system)
            coupling = model.coupling or load_metadata(place)["metadata"].get("coupling")
            found.append(Candidate(model.name, model.name, closure, coupling=coupling))
        elif isinstance(model, GridConfig):
            found.append(Candidate(model.name, model.name, None, model))
        else:
            closure = build_closure(model, coarse_system)
            found.append(Candidate(model.name, model.name, closure, coupling=model.coupling))
    return found


def trained(folder: RunFolder, model: LearnedConfig | AdaptedConfig) -> list[Candidate]:
    """Return a learned closure, once per seed; raises CorruptFileError for damaged weights."""
    coupling = folder.config.coupling_of(model)
    return [
        Candidate(model.name, label, folder.load_model(model.name, seed), coupling=coupling)
        for seed, label in enumerate(folder.config.labels_of(model))
    ]


def labels(config: Config) -> dict[str, str]:
    """Return the name to show for each model: the user's own for the one without a closure."""
    return {
        BASELINE if isinstance(model, NoClosureConfig) else model.name: model.name
        for model in config.models
    }


def paired_models(config: Config) -> list[tuple[str, str]]:
    """Return the pairs that runs followed by their truth are compared in.

    Multiscale models with those of a single scale, and adapted ones with what they are made of.
    """
    adapted = [(model.name, model.of) for model in config.adapted()]
    return [*multiscale_pairs(config), *adapted]


def multiscale_pairs(config: Config) -> list[tuple[str, str]]:
    """Return every pair of names of a multiscale model and a learned one of a single scale."""
    multiscale = [model.name for model in config.learned() if model.arrangement == "multiscale"]
    others = [model.name for model in config.learned() if model.arrangement != "multiscale"]
    return list(itertools.product(multiscale, others))
