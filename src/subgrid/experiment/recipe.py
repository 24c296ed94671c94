"""A recipe: a kind of experiment, which says what tasks a config means."""

import abc
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from subgrid.config import RECIPES, Config
from subgrid.experiment.task import Task

if TYPE_CHECKING:
    from subgrid.experiment.folder import RunFolder


class AbstractRecipe(abc.ABC):
    """Makes the tasks of an experiment from its config, which names it as `recipe`.

    Your own is registered by the entry point `subgrid.recipes` or given as "module:Class".
    `sections`: those of the config that it brings, by name, each its type and its default, such as
    `{"search": (SearchConfig | None, None)}` for a `subgrid.config.Section`; only a config with
    this recipe has them.
    """

    sections: ClassVar[Mapping[str, tuple[Any, Any]]] = {}

    @abc.abstractmethod
    def tasks(self, config: Config) -> Iterable[Task]:
        """Return the tasks, each after those that it needs; nothing is computed yet."""

    def check(  # noqa: B027 - a recipe need not have checks of its own
        self,
        config: Config,
        stages: Sequence[str],
        folder: "RunFolder | None" = None,
        force: bool = False,
        trust: bool = False,
    ) -> None:
        """Raise what would fail later on, before anything is written; nothing by default.

        `stages`: those asked for; `folder`: the run, if it was begun; `force`: whether they are
        made again; `trust`: see `run_experiment`.
        """

    def notes(self, folder: "RunFolder") -> list[str]:
        """Return sentences on a run that is about to go on, for the progress display."""
        return []


def recipe_of(config: Config) -> AbstractRecipe:
    """Return the recipe that a config names; raises UnknownNameError, listing the known ones."""
    return RECIPES.get(config.recipe)()


def may_build(there: Config, ours: Config) -> bool:
    """Return whether the tasks of another's config can be looked at without code of theirs."""
    return ":" not in there.recipe or there.recipe == ours.recipe
