"""The stages of an experiment and the keys that say when one must run again."""

from typing import Any

from subgrid.config import Config
from subgrid.provenance import config_hash

STAGES = ("simulate", "train", "evaluate", "report")


def stage_parts(config: Config) -> dict[str, dict[str, Any]]:
    """Return, for each stage, the part of the config that its output depends on.

    A stage depends on its own settings and on everything the stages before it depend on.
    """
    tables = config.to_dict()
    simulate = {name: tables[name] for name in ("seed", "truth", "coarse", "data")}
    if config.coarse.target == "step":
        simulate["coarse_dt"] = config.coarse_dt
    both = zip(tables["models"], config.models, strict=True)
    learned = [table for table, model in both if model.stored]
    train = {**simulate, "training": tables["training"], "learned": learned}
    train |= {
        name: tables[name] for name in ("separated", "search", "calibration") if name in tables
    }
    evaluate = {**train, "models": tables["models"], "evaluation": tables["evaluation"]}
    return {"simulate": simulate, "train": train, "evaluate": evaluate, "report": tables}


def stage_keys(config: Config) -> dict[str, str]:
    """Return the key of each stage: the hash of what it depends on."""
    return {stage: config_hash(part) for stage, part in stage_parts(config).items()}
