"""Experiments: a config becomes a run folder, stage by stage, killed and resumed at will."""

from subgrid.experiment.folder import RunFolder
from subgrid.experiment.keys import STAGES, stage_keys
from subgrid.experiment.lock import RunLock
from subgrid.experiment.progress import Lines, Progress, Task
from subgrid.experiment.run import run_experiment
from subgrid.experiment.workers import worker_map

__all__ = [
    "STAGES",
    "Lines",
    "Progress",
    "RunFolder",
    "RunLock",
    "Task",
    "run_experiment",
    "stage_keys",
    "worker_map",
]
