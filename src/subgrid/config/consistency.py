"""Checks between the sections of a config that need no simulation."""

from collections import Counter
from typing import TYPE_CHECKING

from pydantic import ValidationError

if TYPE_CHECKING:
    from subgrid.config.models import Config


def check_consistency(config: "Config") -> None:
    """Raise ValueError, listing every problem, where two settings do not fit each other."""
    problems = [
        *_size_problems(config),
        *_model_problems(config),
        *_evaluation_problems(config),
    ]
    if problems:
        raise ValueError("\n".join(problems))


def _size_problems(config: "Config") -> list[str]:
    nx, ny = config.truth.nx, config.ny
    problems = []
    for key, size in (("truth.nx", nx), ("truth.ny", ny)):
        if size % 2 or size < 4:
            problems.append(f"{key}: got {size}; must be even and at least 4")
    sizes = config.coarse.sizes
    for size in sizes:
        if size % 2 or size < 4:
            problems.append(f"coarse.sizes: got {size}; every size must be even and at least 4")
        elif size >= nx:
            problems.append(
                f"coarse.sizes: got {size}; must be smaller than the truth's nx = {nx}"
            )
        elif size * ny % nx or (size * ny // nx) % 2:
            problems.append(
                f"coarse.sizes: {size} cells along x would be {size * ny / nx:g} along y for a "
                f"{ny} x {nx} truth; must be an even whole number"
            )
    if any(fine <= coarse for fine, coarse in zip(sizes, sizes[1:], strict=False)):
        problems.append(f"coarse.sizes: got {list(sizes)}; must decrease, finest first")
    return problems


def _model_problems(config: "Config") -> list[str]:
    problems = []
    for name, times in Counter(model.name for model in config.models).items():
        if times > 1:
            problems.append(f"models: the name {name!r} is used {times} times; must be unique")
    for model in config.learned():
        count, scales = len(model.networks), len(config.coarse.sizes)
        if model.arrangement == "multiscale" and count != scales:
            problems.append(
                f"models.{model.name}.networks: got {count} network(s) for {scales} coarse "
                f"size(s) {list(config.coarse.sizes)}; a multiscale model has one per size"
            )
        try:
            config.training_of(model)
        except ValidationError as error:
            for problem in error.errors():
                key = ".".join(str(part) for part in problem["loc"])
                problems.append(
                    f"models.{model.name}.training{'.' if key else ''}{key}: "
                    f"got {problem['input']!r}; {problem['msg']}"
                )
    return problems


def _evaluation_problems(config: "Config") -> list[str]:
    tests = config.data.trajectories.test
    members = config.evaluation.members
    if members > tests:
        return [
            f"evaluation.members: got {members}; must be at most data.trajectories.test = "
            f"{tests}, since each member starts from its own test trajectory"
        ]
    return []
