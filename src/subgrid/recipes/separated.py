"""The separated experiments: what a network gains from scales, each task trained and scored."""

from collections.abc import Iterator
from functools import partial
from typing import final

from subgrid.experiment import Task
from subgrid.recipes.cases import cases, score_case, train_case
from subgrid.recipes.comparison import AbstractComparison
from subgrid.recipes.measuring_tasks import result_task
from subgrid.recipes.model_tasks import TaskSet, training_task


@final
class SeparatedRecipe(AbstractComparison):
    """Trains every network of [[separated]] for tasks between scales, and scores it offline."""

    section = "separated"

    def more_models(self, tasks: TaskSet) -> Iterator[tuple[str, Task]]:
        """Yield the training of every case."""
        for case in cases(tasks.config):
            entry = case.entry.model_dump(mode="json", exclude={"seeds", "training"})
            training_of = tasks.config.training_of(case.entry)
            settings = {
                "entry": entry,
                "training": training_of.model_dump(mode="json", exclude={"in_memory"}),
                "task": case.task,
                "sizes": [case.high, case.low],
            }
            run = partial(train_case, case=case)
            task = training_task(tasks, case.label, case.number, settings, run)
            yield f"{case.label}/{case.number}", task

    def more_measured(self, tasks: TaskSet) -> Iterator[Task]:
        """Yield the offline scores of every case."""
        for case in cases(tasks.config):
            yield result_task(
                f"evaluation/separated/{case.label}-seed{case.number}.zarr",
                {"samples": tasks.config.evaluation.samples},
                partial(score_case, case=case),
                inputs=(tasks.data["test"], tasks.models[f"{case.label}/{case.number}"]),
            )
