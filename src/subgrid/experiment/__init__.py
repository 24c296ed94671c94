"""Experiments: a config becomes a run folder, stage by stage, killed and resumed at will."""

import importlib
from typing import Any

# imported on first use: the command line shows its help and its progress without JAX
_NAMES = {
    "STAGES": "keys",
    "stage_keys": "keys",
    "Lines": "progress",
    "Progress": "progress",
    "Task": "progress",
    "RunFolder": "folder",
    "RunLock": "lock",
    "run_experiment": "run",
    "worker_map": "workers",
    "plan_run": "plan",
    "closure_laws": "laws",
    "system_laws": "laws",
    "citations": "citations",
}

__all__ = sorted(_NAMES)


def __getattr__(name: str) -> Any:
    """Import a public name from its module on first use."""
    if name in _NAMES:
        return getattr(importlib.import_module(f"subgrid.experiment.{_NAMES[name]}"), name)
    raise AttributeError(f"module 'subgrid.experiment' has no attribute {name!r}")
