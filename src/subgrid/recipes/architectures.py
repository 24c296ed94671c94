"""A search for an architecture: every choice of networks trained, run freely, ranked."""

from collections.abc import Iterator
from typing import final

from subgrid.experiment import Task
from subgrid.recipes.comparison import AbstractComparison
from subgrid.recipes.made import Made, learned
from subgrid.recipes.measured import cost, online


@final
class ArchitecturesRecipe(AbstractComparison):
    """Searches an architecture: every choice of [search] trained, run freely and ranked."""

    section = "search"

    def more_models(self, made: Made) -> Iterator[tuple[str, Task]]:
        """Yield the trainings of every choice."""
        for model in made.config.searched():
            yield from learned(made, model)

    def more_measured(self, made: Made) -> Iterator[Task]:
        """Yield the free runs and the cost of every choice."""
        for model in made.config.searched():
            for number in range(model.seeds):
                yield online(made, "test", model, number)
            yield cost(made, model)
