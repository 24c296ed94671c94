"""The closures that a run compares, built or loaded, under the names that tables and files use."""

import itertools
from collections.abc import Iterable
from typing import Any

from subgrid.config import Candidate, Config
from subgrid.experiment.folder import RunFolder


def candidates(
    folder: RunFolder, coarse_system: Any, models: Iterable[Any] | None = None
) -> list[Candidate]:
    """Return every closure of some models, the learned ones once per seed.

    `models`: those of the config, in its order, unless given.

    Raises CorruptFileError for damaged weights and what a user's own closure raises.
    """
    config = folder.config
    return [
        model.candidate(config, coarse_system, folder, number)
        for model in (config.models if models is None else models)
        for number in range(len(model.labels(config)))
    ]


def labels(config: Config) -> dict[str, str]:
    """Return the name to show for each model: the user's own for the one without a closure."""
    return {model.shown: model.name for model in config.models}


def paired_models(config: Config) -> list[tuple[str, str]]:
    """Return the pairs that runs followed by their truth are compared in.

    Multiscale models with those of a single scale, and adapted ones with what they are made of.
    """
    adapted = [(model.name, model.of) for model in config.adapted()]
    return [*multiscale_pairs(config), *adapted]


def multiscale_pairs(config: Config) -> list[tuple[str, str]]:
    """Return every pair of names of a multiscale model and a learned one of a single scale."""
    multiscale = [model.name for model in config.learned() if model.multiscale]
    others = [model.name for model in config.learned() if not model.multiscale]
    return list(itertools.product(multiscale, others))
