"""Checks between the sections of a config that need no simulation."""

from collections import Counter

from pydantic import ValidationError

from subgrid.config.explain import plain_words
from subgrid.config.sections import (
    ClosureConfig,
    CoarseConfig,
    DataConfig,
    EvaluationConfig,
    LearnedConfig,
    NoClosureConfig,
    TrainingConfig,
    TruthConfig,
    merged_training,
)

_Model = NoClosureConfig | ClosureConfig | LearnedConfig


def consistency_problems(
    truth: TruthConfig,
    coarse: CoarseConfig,
    data: DataConfig,
    models: tuple[_Model, ...],
    training: TrainingConfig,
    evaluation: EvaluationConfig,
) -> list[str]:
    """Return one line, with the key, value and what is allowed, per pair that does not fit."""
    return [
        *_size_problems(truth, coarse),
        *_name_problems(models),
        *_network_problems(models, coarse),
        *_training_problems(models, training),
        *_evaluation_problems(data, evaluation),
    ]


def _size_problems(truth: TruthConfig, coarse: CoarseConfig) -> list[str]:
    nx, ny = truth.nx, truth.nx if truth.ny is None else truth.ny
    problems = [
        f"{key}: got {size}; must be even and at least 4"
        for key, size in (("truth.nx", nx), ("truth.ny", ny))
        if size % 2 or size < 4
    ]
    for size in coarse.sizes:
        if size % 2 or size < 4:
            problems.append(f"coarse.sizes: got {size}; every size must be even and at least 4")
        elif size >= nx:
            problems.append(f"coarse.sizes: got {size}; must be smaller than truth.nx = {nx}")
        elif size * ny % nx or (size * ny // nx) % 2:
            problems.append(
                f"coarse.sizes: {size} cells along x make {size * ny / nx:g} along y for a truth "
                f"of {ny} x {nx} cells; must be an even whole number"
            )
    pairs = zip(coarse.sizes, coarse.sizes[1:], strict=False)
    if any(fine <= small for fine, small in pairs):
        problems.append(f"coarse.sizes: got {list(coarse.sizes)}; must decrease, finest first")
    return problems


def _name_problems(models: tuple[_Model, ...]) -> list[str]:
    counts = Counter(model.name for model in models)
    return [
        f"models: the name {name!r} is used {times} times; every model needs its own"
        for name, times in counts.items()
        if times > 1
    ]


def _network_problems(models: tuple[_Model, ...], coarse: CoarseConfig) -> list[str]:
    return [
        f"models.{model.name}.networks: got {len(model.networks)} for {len(coarse.sizes)} coarse "
        f"sizes {list(coarse.sizes)}; a multiscale model has one network per size"
        for model in models
        if isinstance(model, LearnedConfig)
        and model.arrangement == "multiscale"
        and len(model.networks) != len(coarse.sizes)
    ]


def _training_problems(models: tuple[_Model, ...], training: TrainingConfig) -> list[str]:
    problems = []
    for model in models:
        if not isinstance(model, LearnedConfig):
            continue
        try:
            merged_training(training, model)
        except ValidationError as error:
            for problem in error.errors():
                key = ".".join(["models", model.name, "training", *map(str, problem["loc"])])
                problems.append(f"{key}: got {problem['input']!r}; {plain_words(problem['msg'])}")
    return problems


def _evaluation_problems(data: DataConfig, evaluation: EvaluationConfig) -> list[str]:
    tests = data.trajectories.test
    if evaluation.members <= tests:
        return []
    return [
        f"evaluation.members: got {evaluation.members}; must be at most data.trajectories.test = "
        f"{tests}: each member starts from a test trajectory of its own"
    ]
