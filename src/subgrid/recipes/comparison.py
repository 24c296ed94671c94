"""What recipes share that compare closures: data, models, tests, scores and report."""

from collections.abc import Iterator, Sequence
from typing import ClassVar

from subgrid.config import Config, check_builds
from subgrid.errors import ConfigError
from subgrid.evaluation import METRICS
from subgrid.experiment import AbstractRecipe, RunFolder, Task
from subgrid.recipes.evaluate import write_scores
from subgrid.recipes.make_report import make_report
from subgrid.recipes.measuring_tasks import reference, tests_of
from subgrid.recipes.model_tasks import (
    STORE,
    TaskSet,
    adapt_tasks,
    copy_task,
    data_tasks,
    fit_task,
    train_tasks,
)
from subgrid.recipes.pretrained import copies, kept_copies, refuse_changed_bundles
from subgrid.recipes.stability import check_time_steps

# sections that not every comparison has → the recipe that they are for
_RECIPES = {"separated": "separated", "search": "architectures", "calibration": "noise"}
_SCORED = ("seed", "models", "evaluation", *_RECIPES)  # sections that decide the scores


class AbstractComparison(AbstractRecipe):
    """Base of the recipes that simulate a truth, train on it, and compare closures with it.

    `section`: of the config, the one that is this recipe's own, if any.
    """

    section: ClassVar[str | None] = None

    def more_models(self, tasks: TaskSet) -> Iterator[tuple[str, Task]]:
        """Yield the trainings of that section, by "NAME/NUMBER"."""
        yield from ()

    def more_measured(self, tasks: TaskSet) -> Iterator[Task]:
        """Yield what is measured for that section."""
        yield from ()

    def tasks(self, config: Config) -> Iterator[Task]:
        """Yield the tasks: data, models, tests, then scores and report."""
        tasks = data_tasks(config)
        for model in config.learned():
            tasks.models.update(train_tasks(tasks, model))
        tasks.models.update(fit_task(tasks, model) for model in config.fitted())
        tasks.models.update(map(copy_task, config.pretrained()))
        for model in config.adapted():
            tasks.models.update(adapt_tasks(tasks, model))
        tasks.models.update(self.more_models(tasks))
        measured = [reference(tasks, "test")]
        for model in config.models:
            measured += tests_of(tasks, model)
        measured += self.more_measured(tasks)
        scores = _scores(config, [*tasks.all(), *measured])
        yield from (*tasks.all(), *measured, scores, _report(config, scores))

    def check(
        self,
        config: Config,
        stages: Sequence[str],
        folder: RunFolder | None = None,
        force: bool = False,
        trust: bool = False,
    ) -> None:
        """Raise ConfigError for what cannot be built, or a time step that cannot work.

        RunFolderError for a bundle that changed while its copy was not recorded.
        """
        for section, recipe in _RECIPES.items():
            if getattr(config, section) and section != self.section:
                raise ConfigError(
                    f"{section}: this section is for recipe = {recipe!r}, and the config says "
                    f"recipe = {config.recipe!r}. Change that, or leave the section out."
                )
        keeps_models = folder is not None and not (force and stages[0] in ("simulate", "train"))
        check_builds(config, copies(folder) if folder and keeps_models else {}, trust)
        try:
            check_time_steps(config, stages)
        except ConfigError:  # stages that are done need no step; asked last, as all is hashed
            if folder is None or force:
                raise
            check_time_steps(config, [stage for stage in stages if not folder.is_done(stage)])
        if folder and keeps_models:
            refuse_changed_bundles(folder)

    def notes(self, folder: RunFolder) -> list[str]:
        """Return a sentence per bundle that was changed after the run took it over."""
        return kept_copies(folder)


def _scores(config: Config, inputs: Sequence[Task]) -> Task:
    tables = config.to_dict()
    return Task(
        name="scores.json",
        stage="evaluate",
        settings={**{n: tables.get(n) for n in _SCORED}, "metrics": METRICS.names()},
        run=write_scores,
        inputs=tuple(inputs),
        outputs=("scores.json", "scores.zarr"),
        files=rf"scores\.(json|zarr/{STORE})",
        where="here",
    )


def _report(config: Config, scores: Task) -> Task:
    return Task(
        name="report.html",
        stage="report",
        settings={"config": config.to_dict()},
        run=make_report,
        inputs=(scores,),
        where="here",
    )
