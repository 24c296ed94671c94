"""Checks between the sections of a config that need no simulation: grids, names and networks."""

import inspect
import itertools
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from subgrid.config import lengths
from subgrid.config.sections import (
    AdaptedConfig,
    AnyModelConfig,
    CalibrationConfig,
    CoarseConfig,
    GridConfig,
    LearnedConfig,
    SearchConfig,
    SeparatedConfig,
    TruthConfig,
)
from subgrid.numbers import LARGEST_COUNT

_Models = tuple[AnyModelConfig, ...]
_MOST_CHOICES = 10_000


def consistency_problems(sections: Mapping[str, Any]) -> list[str]:
    """Return one line, with the key, value and what is allowed, per pair that does not fit.

    `sections`: those that could be read, by name; `every_model` is `models` if none is missing
    there. A check of a section that is not there is left out.
    """
    problems = []
    for check in _CHECKS:
        needed = inspect.signature(check).parameters
        if needed.keys() <= sections.keys():
            problems += check(**{name: sections[name] for name in needed})
    return list(dict.fromkeys(problems))


def _cell_problems(truth: TruthConfig) -> list[str]:
    ny = truth.nx if truth.ny is None else truth.ny
    if truth.nx * ny <= LARGEST_COUNT:
        return []
    return [
        f"truth.nx: {truth.nx} x {ny} cells are more than the {LARGEST_COUNT} that 32-bit indices "
        "count"
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
    if any(fine <= small for fine, small in itertools.pairwise(coarse.sizes)):
        problems.append(f"coarse.sizes: got {list(coarse.sizes)}; must decrease, finest first")
    return problems


def _name_problems(models: _Models) -> list[str]:
    counts = Counter(model.name for model in models)
    problems = [
        f"models: the name {name!r} is used {times} times; every model needs its own"
        for name, times in counts.items()
        if times > 1
    ]
    for model in models:
        if model.name == "truth" or (model.name == "none" and model.kind != "none"):
            problems.append(f"models.{model.name}.name: {model.name!r} has a meaning of its own")
    seeds = {model.name: model.seeds for model in models if isinstance(model, LearnedConfig)}
    seeds |= {
        model.name: seeds[model.of]
        for model in models
        if isinstance(model, AdaptedConfig) and model.of in seeds
    }
    trained = {f"{name}-seed{i}": name for name, count in seeds.items() for i in range(count)}
    problems += [
        f"models.{model.name}.name: {model.name!r} is what a trained network of the learned model "
        f"{trained[model.name]!r} is called in files and tables; rename one of the two"
        for model in models
        if model.name in trained
    ]
    return problems


def _baseline_problems(every_model: _Models) -> list[str]:
    alone = sum(model.kind == "none" for model in every_model)
    if alone == 1:
        return []
    return [
        f'models: {alone} of kind "none"; exactly one is needed, since every closure is compared '
        "with the coarse model alone"
    ]


def _adapted_problems(every_model: _Models) -> list[str]:
    """Return which adapted models are of none that is trained here."""
    learned = [model.name for model in every_model if isinstance(model, LearnedConfig)]
    return [
        f"models.{model.name}.of: got {model.of!r}; must be a learned model of this run: "
        f"{', '.join(learned) or 'there is none'}"
        for model in every_model
        if isinstance(model, AdaptedConfig) and model.of not in learned
    ]


def _calibration_problems(
    truth: TruthConfig,
    coarse: CoarseConfig,
    models: _Models,
    calibration: CalibrationConfig | None,
) -> list[str]:
    """Return what is wrong with the levels and models of a calibration."""
    if calibration is None:
        return []
    tried = [model.name for _, _, model in calibration.tried()]
    problems = [
        f"calibration: the name {name!r} is used {times} times; every model needs its own, every "
        "level is tried once, and no other model is called so"
        for name, times in Counter([*tried, *(model.name for model in models)]).items()
        if times > 1 and name in tried
    ]
    names = [model.name for model in calibration.models]
    problems += [
        f"calibration.skip: got {name!r}; must be one of {', '.join(names)}"
        for name in calibration.skip
        if name not in names
    ]
    if not tried:
        problems.append(f"calibration.skip: got {list(calibration.skip)}; leaves no model to try")
    if list(calibration.levels) != sorted(calibration.levels):
        problems.append(f"calibration.levels: got {list(calibration.levels)}; must increase")
    return [*problems, *_network_problems(truth, coarse, calibration.models)]


def _network_problems(truth: TruthConfig, coarse: CoarseConfig, models: _Models) -> list[str]:
    """Return what is wrong with the scales of multiscale models and the number of networks."""
    problems = []
    ny = truth.nx if truth.ny is None else truth.ny
    for model in models:
        if not isinstance(model, LearnedConfig):
            continue
        sizes, key = model.scales(coarse), f"models.{model.name}"
        longest = sizes[0] * max(1.0, ny / truth.nx)
        if model.target_cut and model.target_cut < 2 / longest:
            problems.append(
                f"{key}.target_cut: got {model.target_cut:g}; must be at least {2 / longest:.3g}, "
                f"or no wave of {longest:g} cells is left to learn"
            )
        if model.arrangement != "multiscale":
            continue
        if len(model.networks) != len(sizes):
            what = "coarse sizes" if model.sizes is None else "sizes"
            problems.append(
                f"{key}.networks: got {len(model.networks)} for {len(sizes)} {what} {list(sizes)}; "
                "a multiscale model has one network per size"
            )
        coarser = max(sizes[1:], default=0)
        if model.target_cut and coarser >= model.target_cut * sizes[0]:
            problems.append(
                f"{key}.target_cut: got {model.target_cut:g}, but size {coarser} of {sizes[0]} "
                "holds all these scales already, and the last network would have none to add; "
                "take coarser sizes or a single scale"
            )
        if model.sizes is None:
            continue  # what is wrong with coarse.sizes is told once, under that key
        if sizes[0] != coarse.sizes[0]:
            problems.append(
                f"{key}.sizes: got {list(sizes)}; the first must be coarse.sizes[0] = "
                f"{coarse.sizes[0]}, the grid of the coarse model"
            )
        if any(fine <= small for fine, small in itertools.pairwise(sizes)):
            problems.append(f"{key}.sizes: got {list(sizes)}; must decrease, finest first")
        if any(size % 2 or size < 4 or size * ny % (2 * truth.nx) for size in sizes):
            problems.append(
                f"{key}.sizes: got {list(sizes)}; every size must be even and at least 4, and so "
                "the cells along y"
            )
    return problems


def _separated_problems(
    models: _Models, separated: tuple[SeparatedConfig, ...], coarse: CoarseConfig
) -> list[str]:
    taken = Counter(network.name for network in (*models, *separated))
    problems = [
        f"separated: the name {network.name!r} is used {taken[network.name]} times; every model "
        "and every separated network needs its own"
        for network in separated
        if taken[network.name] > 1
    ]
    if separated and len(coarse.sizes) < 2:
        problems.append(
            f"coarse.sizes: got {list(coarse.sizes)}; the separated experiments compare scales: at "
            "least two are needed"
        )
    return problems


def _grid_problems(truth: TruthConfig, coarse: CoarseConfig, models: _Models) -> list[str]:
    ny = truth.nx if truth.ny is None else truth.ny
    problems = []
    for model in models:
        if not isinstance(model, GridConfig):
            continue
        size, key = model.size, f"models.{model.name}.size"
        if not coarse.sizes[0] < size <= truth.nx:
            problems.append(
                f"{key}: got {size}; must be above coarse.sizes[0] = {coarse.sizes[0]} and at most "
                f"truth.nx = {truth.nx}"
            )
        elif size % 2 or size * ny % truth.nx or (size * ny // truth.nx) % 2:
            problems.append(f"{key}: got {size}; must be even, and so the cells along y")
    return problems


def _search_problems(
    models: _Models,
    separated: tuple[SeparatedConfig, ...],
    search: SearchConfig | None,
    coarse: CoarseConfig,
) -> list[str]:
    if search is None:
        return []
    problems = [
        f"search.candidates: got {name!r} {times} times; each is tried once"
        for name, times in Counter(search.candidates).items()
        if times > 1
    ]
    scales = len(coarse.sizes)
    if len(search.candidates) ** scales > _MOST_CHOICES:
        return [
            *problems,
            f"search.candidates: {len(search.candidates)} for each of {scales} sizes make more "
            f"than {_MOST_CHOICES} choices; each is trained",
        ]
    try:
        choices = Counter(model.name for model in search.models(scales))
    except ValidationError as error:
        name = error.errors()[0]["input"]
        return [*problems, f"search.candidates: {name!r} is no name of a model, of 60 characters"]
    taken = {entry.name for entry in (*models, *separated)}
    problems += [
        f"search: {name!r} is also the name of a model or a separated network; rename that"
        for name in choices
        if name in taken
    ]
    if not problems:
        problems += [
            f"search: {times} choices are called {name!r}; leave one of the candidates out"
            for name, times in choices.items()
            if times > 1
        ]
    return problems


_CHECKS: tuple[Callable[..., list[str]], ...] = (
    _cell_problems,
    _size_problems,
    _name_problems,
    _baseline_problems,
    _adapted_problems,
    _network_problems,
    _calibration_problems,
    _separated_problems,
    _grid_problems,
    _search_problems,
    lengths.training_problems,
    lengths.split_problems,
    lengths.evaluation_problems,
    lengths.reference_problems,
    lengths.count_problems,
    lengths.window_problems,
    lengths.forcing_problems,
)
