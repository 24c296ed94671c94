"""Experiments: a config becomes a run folder, stage by stage, killed and resumed at will."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for type checkers and editors, which do not run __getattr__
    from subgrid.experiment.citations import citations
    from subgrid.experiment.export import export_model
    from subgrid.experiment.folder import RunFolder
    from subgrid.experiment.keys import STAGES, stage_keys
    from subgrid.experiment.lock import RunLock
    from subgrid.experiment.markdown import make_markdown
    from subgrid.experiment.noise import with_chosen_noise
    from subgrid.experiment.plan import plan_run
    from subgrid.experiment.progress import Lines, Progress, Task
    from subgrid.experiment.run import run_experiment
    from subgrid.experiment.workers import open_workers

# imported on first use: the command line shows its help and its progress without JAX
_NAMES = {
    "STAGES": "keys",
    "stage_keys": "keys",
    "Lines": "progress",
    "Progress": "progress",
    "Task": "progress",
    "RunFolder": "folder",
    "RunLock": "lock",
    "make_markdown": "markdown",
    "run_experiment": "run",
    "open_workers": "workers",
    "plan_run": "plan",
    "citations": "citations",
    "export_model": "export",
    "with_chosen_noise": "noise",
}

__all__ = [
    "STAGES",
    "Lines",
    "Progress",
    "RunFolder",
    "RunLock",
    "Task",
    "citations",
    "export_model",
    "make_markdown",
    "open_workers",
    "plan_run",
    "run_experiment",
    "stage_keys",
    "with_chosen_noise",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its module on first use."""
    if name in _NAMES:
        return getattr(importlib.import_module(f"subgrid.experiment.{_NAMES[name]}"), name)
    raise AttributeError(f"module 'subgrid.experiment' has no attribute {name!r}")
