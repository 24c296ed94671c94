"""The names in a config that stand for code: in a registry, or "module:Class" of a user's own."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from subgrid.errors import ConfigError
from subgrid.registry import Registry, import_named
from subgrid.trust import Trust, package_of, require_trust

if TYPE_CHECKING:
    from subgrid.config.settings import Config

RECIPES = Registry(
    "recipe",
    {
        "closure": "subgrid.recipes.closure:ClosureRecipe",
        "separated": "subgrid.recipes.separated:SeparatedRecipe",
        "architectures": "subgrid.recipes.architectures:ArchitecturesRecipe",
        "noise": "subgrid.recipes.noise:NoiseRecipe",
    },
)
"""Recipes by name; a class each, see `subgrid.experiment.AbstractRecipe`."""

_REGISTRIES = {  # imported when asked for, as they import JAX
    "recipe": "subgrid.config.names:RECIPES",
    "network": "subgrid.nn:NETWORKS",
    "system": "subgrid.systems:SYSTEMS",
    "coarsener": "subgrid.coarsening:COARSENERS",
    "target": "subgrid.coarsening:TARGETS",
    "closure": "subgrid.closures:CLOSURES",
    "constraint": "subgrid.closures:CONSTRAINTS",
    "metric": "subgrid.evaluation:METRICS",
}


def named_code(config: "Config") -> list[tuple[str, str, str]]:
    """Return every name of a config that stands for code: its key, kind and the name."""
    sections = (named for key, section in config.sections() for named in section.code(key))
    return [("recipe", "recipe", config.recipe), *sections]


def own_packages(config: "Config") -> frozenset[str]:
    """Return the packages of the code that a config names as "module:Class"."""
    return frozenset(package_of(name) for name in _own(config).values())


def require_trusted_names(config: "Config", source: str | Path, trust: Trust = False) -> None:
    """Raise UntrustedCodeError, naming each, if a config names code of its own and is not trusted.

    `source`: the file it was read from, which its reader did not write.
    """
    require_trust(source, _own(config), trust)


def check_names(config: "Config") -> None:
    """Raise ConfigError, naming the key, where a name of the config is in no registry."""
    problems = []
    for key, kind, name in named_code(config):
        try:
            registry(kind).get(name)
        except ConfigError as error:
            problems.append(f"{key}: {error}")
    if problems:
        raise ConfigError("\n".join(dict.fromkeys(problems)))


def registry(kind: str) -> Any:
    """Return the registry of a kind of code."""
    return import_named(_REGISTRIES[kind], "registry")


def shipped(kind: str, name: str) -> Any:
    """Return what is called `name` in a registry; None for "module:Class", which is not run."""
    return None if ":" in name else registry(kind).get(name)


def _own(config: "Config") -> Mapping[str, str]:
    named = named_code(config)
    return {f"{key} = {name!r}": name for key, _, name in named if ":" in name}
