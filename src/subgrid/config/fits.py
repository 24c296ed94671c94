"""Checks, before anything is simulated, that what a config builds fits together."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

from subgrid.config.builders import build_coarse_systems, build_system
from subgrid.config.section import Parts
from subgrid.config.settings import Config
from subgrid.errors import ConfigError


def check_builds(
    config: Config, copies: Mapping[str, Path] | None = None, trust: bool = False
) -> None:
    """Build every object of a config once; raises what the builders do.

    `copies`: the bundles that a run took over, by the name of the model; `trust`: whether bundles
    and networks may name code of packages that the config does not.

    A wrong constant, argument or shape is found before a folder is made and hours are simulated.
    Several settings that are wrong make one ConfigError with a line for each. For a class that is
    not ours what its code raises is raised, ShapeError for arrays of other shapes and TypeError for
    other dtypes than are expected. Networks are traced only, not filled with numbers.
    """
    system = build_system(config)
    parts = Parts(config, build_coarse_systems(config, system), system, copies or {}, trust)
    sections = list(config.sections())
    problems = _problems(partial(section.build, parts, key) for key, section in sections)
    if not problems:  # these need all that they put together
        problems = _problems(partial(section.trace, parts, key) for key, section in sections)
    if len(problems) == 1:
        raise problems[0]
    if problems:
        lines = (f"\n  {error}" for error in problems)
        raise ConfigError(f"{len(problems)} problems:{''.join(lines)}") from problems[0]


def _problems(checks: Iterable[Callable[[], None]]) -> list[ConfigError]:
    """Return what checks that do not depend on one another find wrong with settings."""
    problems: list[ConfigError] = []
    for check in checks:
        try:
            check()
        except ConfigError as error:
            problems.append(error)
        except Exception:
            if not problems:
                raise
            break  # what a user's class raises may come of a setting that is wrong
    return problems
