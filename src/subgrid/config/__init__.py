"""The config of an experiment: sections, presets, and the builders that turn names into objects."""

from subgrid.config.builders import (
    build_closure,
    build_coarse_systems,
    build_coarseners,
    build_network,
    build_online_system,
    build_plan,
    build_separated_network,
    build_system,
    check_builds,
    check_names,
)
from subgrid.config.loading import (
    config_from_dict,
    config_to_toml,
    load_config,
    preset_names,
    preset_text,
    profile_names,
)
from subgrid.config.sections import (
    ClosureConfig,
    CoarseConfig,
    DataConfig,
    EvaluationConfig,
    LearnedConfig,
    NoClosureConfig,
    SeparatedConfig,
    TrainingConfig,
    TruthConfig,
)
from subgrid.config.settings import Config

__all__ = [
    "ClosureConfig",
    "CoarseConfig",
    "Config",
    "DataConfig",
    "EvaluationConfig",
    "LearnedConfig",
    "NoClosureConfig",
    "SeparatedConfig",
    "TrainingConfig",
    "TruthConfig",
    "build_closure",
    "build_coarse_systems",
    "build_coarseners",
    "build_network",
    "build_online_system",
    "build_plan",
    "build_separated_network",
    "build_system",
    "check_builds",
    "check_names",
    "config_from_dict",
    "config_to_toml",
    "load_config",
    "preset_names",
    "preset_text",
    "profile_names",
]
