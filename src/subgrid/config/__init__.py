"""The config of an experiment: sections, presets, and the builders that turn names into objects."""

from subgrid.config.builders import (
    build_coarse_systems,
    build_coarseners,
    build_model,
    build_online_system,
    build_system,
    build_target,
    cells_of,
    title_of,
    validity_of,
    value_count,
)
from subgrid.config.fits import check_builds
from subgrid.config.fitted import FittedConfig
from subgrid.config.kinds import (
    BASELINE,
    AbstractModelConfig,
    Candidate,
    PretrainedConfig,
    Stepped,
)
from subgrid.config.learned import AdaptedConfig, LearnedConfig
from subgrid.config.loading import (
    config_from_dict,
    config_to_toml,
    is_preset,
    is_run_folder,
    load_config,
    preset_names,
    preset_text,
    profile_names,
    read_source,
    read_toml,
)
from subgrid.config.names import check_names, own_packages, require_trusted_names
from subgrid.config.output import build_constraints, output_in_words
from subgrid.config.recipes import RECIPES
from subgrid.config.section import Parts, Section
from subgrid.config.sections import VariantConfig
from subgrid.config.separated import SeparatedConfig
from subgrid.config.settings import Config

__all__ = [
    "BASELINE",
    "RECIPES",
    "AbstractModelConfig",
    "AdaptedConfig",
    "Candidate",
    "Config",
    "FittedConfig",
    "LearnedConfig",
    "Parts",
    "PretrainedConfig",
    "Section",
    "SeparatedConfig",
    "Stepped",
    "VariantConfig",
    "build_coarse_systems",
    "build_coarseners",
    "build_constraints",
    "build_model",
    "build_online_system",
    "build_system",
    "build_target",
    "cells_of",
    "check_builds",
    "check_names",
    "config_from_dict",
    "config_to_toml",
    "is_preset",
    "is_run_folder",
    "load_config",
    "output_in_words",
    "own_packages",
    "preset_names",
    "preset_text",
    "profile_names",
    "read_source",
    "read_toml",
    "require_trusted_names",
    "title_of",
    "validity_of",
    "value_count",
]
