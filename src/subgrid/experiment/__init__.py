"""The engine of experiments: tasks with keys in a run folder, killed and resumed at will."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for type checkers and editors, which do not run __getattr__
    from subgrid.experiment.folder import RunFolder
    from subgrid.experiment.lock import RunLock
    from subgrid.experiment.progress import Lines, Progress, Work
    from subgrid.experiment.recipe import AbstractRecipe
    from subgrid.experiment.run import run_experiment
    from subgrid.experiment.task import STAGES, Context, Estimate, Task
    from subgrid.experiment.workers import open_workers

# imported on first use: the command line shows its help and its progress without JAX
_NAMES = {
    "AbstractRecipe": "recipe",
    "Context": "task",
    "Estimate": "task",
    "STAGES": "task",
    "Task": "task",
    "Lines": "progress",
    "Progress": "progress",
    "Work": "progress",
    "RunFolder": "folder",
    "RunLock": "lock",
    "run_experiment": "run",
    "open_workers": "workers",
}

__all__ = [
    "STAGES",
    "AbstractRecipe",
    "Context",
    "Estimate",
    "Lines",
    "Progress",
    "RunFolder",
    "RunLock",
    "Task",
    "Work",
    "open_workers",
    "run_experiment",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its module on first use."""
    if name in _NAMES:
        return getattr(importlib.import_module(f"subgrid.experiment.{_NAMES[name]}"), name)
    raise AttributeError(f"module 'subgrid.experiment' has no attribute {name!r}")
