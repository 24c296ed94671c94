"""The engine of experiments: tasks with keys in a run folder, killed and resumed at will."""

from typing import TYPE_CHECKING

from subgrid.registry import on_first_use

if TYPE_CHECKING:  # for type checkers and editors, which do not run __getattr__
    from subgrid.experiment.folder import RunFolder as RunFolder
    from subgrid.experiment.lock import RunLock as RunLock
    from subgrid.experiment.progress import Lines as Lines
    from subgrid.experiment.progress import Progress as Progress
    from subgrid.experiment.progress import Work as Work
    from subgrid.experiment.run import run_experiment as run_experiment
    from subgrid.experiment.task import STAGES as STAGES
    from subgrid.experiment.task import AbstractRecipe as AbstractRecipe
    from subgrid.experiment.task import Context as Context
    from subgrid.experiment.task import Estimate as Estimate
    from subgrid.experiment.task import Task as Task
    from subgrid.experiment.workers import open_workers as open_workers

# the command line shows its help and its progress without JAX
__getattr__ = on_first_use(
    __name__,
    folder="RunFolder",
    lock="RunLock",
    progress="Lines Progress Work",
    run="run_experiment",
    task="STAGES AbstractRecipe Context Estimate Task",
    workers="open_workers",
)
