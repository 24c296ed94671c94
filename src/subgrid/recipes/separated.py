"""The separated experiments: what a network gains from scales, each task trained and scored."""

from collections.abc import Iterator
from functools import partial
from typing import final

from subgrid.experiment import Task
from subgrid.recipes.cases import cases, score_case, train_case
from subgrid.recipes.comparison import AbstractComparison
from subgrid.recipes.made import Made, training
from subgrid.recipes.measured import result


@final
class SeparatedRecipe(AbstractComparison):
    """Trains every network of [[separated]] for tasks between scales, and scores it offline."""

    section = "separated"

    def more_models(self, made: Made) -> Iterator[tuple[str, Task]]:
        """Yield the training of every case."""
        for case in cases(made.config):
            entry = case.entry.model_dump(mode="json", exclude={"seeds", "training"})
            training_of = made.config.training_of(case.entry)
            settings = {
                "entry": entry,
                "training": training_of.model_dump(mode="json", exclude={"in_memory"}),
                "task": case.task,
                "sizes": [case.high, case.low],
            }
            run = partial(train_case, case=case)
            task = training(made, case.label, case.number, settings, run)
            yield f"{case.label}/{case.number}", task

    def more_measured(self, made: Made) -> Iterator[Task]:
        """Yield the offline scores of every case."""
        for case in cases(made.config):
            yield result(
                f"evaluation/separated/{case.label}-seed{case.number}.zarr",
                {"samples": made.config.evaluation.samples},
                partial(score_case, case=case),
                inputs=(made.data["test"], made.models[f"{case.label}/{case.number}"]),
            )
