"""A search for an architecture: every choice of networks trained, run freely, ranked."""

from collections.abc import Iterator
from typing import final

from subgrid.experiment import Task
from subgrid.recipes.comparison import AbstractComparison
from subgrid.recipes.measuring_tasks import cost, online
from subgrid.recipes.model_tasks import TaskSet, train_tasks


@final
class ArchitecturesRecipe(AbstractComparison):
    """Searches an architecture: every choice of [search] trained, run freely and ranked."""

    section = "search"

    def more_models(self, tasks: TaskSet) -> Iterator[tuple[str, Task]]:
        """Yield the trainings of every choice."""
        for model in tasks.config.searched():
            yield from train_tasks(tasks, model)

    def more_measured(self, tasks: TaskSet) -> Iterator[Task]:
        """Yield the free runs and the cost of every choice."""
        for model in tasks.config.searched():
            for number in range(model.seeds):
                yield online(tasks, "test", model, number)
            yield cost(tasks, model)
