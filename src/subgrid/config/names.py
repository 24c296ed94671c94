"""The names in a config that stand for code: in a registry, or "module:Class" of a user's own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from subgrid.config.sections import ClosureConfig, LearnedConfig
from subgrid.config.settings import Config
from subgrid.errors import ConfigError
from subgrid.trust import Trust, package_of, require_trust


def named_code(config: Config) -> list[tuple[str, str, str]]:
    """Return every name of a config that stands for code: its key, kind and the name."""
    named = [
        ("truth.system", "system", config.truth.system),
        ("coarse.operator", "coarsener", config.coarse.operator),
    ]
    for model in config.models:
        if isinstance(model, ClosureConfig):
            named.append((f"models.{model.name}.closure", "closure", model.closure))
    named += [
        (f"{key}.networks", "network", name)
        for key, model in models_with_keys(config)
        if isinstance(model, LearnedConfig)
        for name in model.networks
    ]
    for entry in config.separated:
        named.append((f"separated.{entry.name}.network", "network", entry.network))
    if config.search is not None:
        named += [("search.candidates", "network", name) for name in config.search.candidates]
    return named


def own_packages(config: Config) -> frozenset[str]:
    """Return the packages of the code that a config names as "module:Class"."""
    return frozenset(package_of(name) for name in _own(config).values())


def require_trusted_names(config: Config, source: str | Path, trust: Trust = False) -> None:
    """Raise UntrustedCodeError, naming each, if a config names code of its own and is not trusted.

    `source`: the file it was read from, which its reader did not write.
    """
    require_trust(source, _own(config), trust)


def check_names(config: Config) -> None:
    """Raise ConfigError, naming the key, where a name of the config is in no registry."""
    problems = []
    for key, kind, name in named_code(config):
        try:
            _registry(kind).get(name)
        except ConfigError as error:
            problems.append(f"{key}: {error}")
    if problems:
        raise ConfigError("\n".join(dict.fromkeys(problems)))


def models_with_keys(config: Config) -> list[tuple[str, Any]]:
    """Return all models with their keys, those of the calibration too."""
    tried = () if config.calibration is None else config.calibration.models
    return [
        *((f"models.{model.name}", model) for model in config.models),
        *((f"calibration.models.{model.name}", model) for model in tried),
    ]


def _own(config: Config) -> Mapping[str, str]:
    named = named_code(config)
    return {f"{key} = {name!r}": name for key, _, name in named if ":" in name}


def _registry(kind: str) -> Any:
    if kind == "network":
        from subgrid.nn import NETWORKS as registry  # imports JAX
    elif kind == "system":
        from subgrid.systems import SYSTEMS as registry
    elif kind == "coarsener":
        from subgrid.coarsening import COARSENERS as registry
    else:
        from subgrid.closures import CLOSURES as registry
    return registry
