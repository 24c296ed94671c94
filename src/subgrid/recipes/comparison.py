"""What recipes share that compare closures: data, models, tests, scores and report."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from subgrid.config import Config, check_builds
from subgrid.errors import ConfigError
from subgrid.evaluation import METRICS, Part
from subgrid.experiment import AbstractRecipe, RunFolder, Task
from subgrid.recipes.evaluate import write_scores
from subgrid.recipes.make_report import make_report
from subgrid.recipes.measuring_tasks import reference, scored_members, tests_of
from subgrid.recipes.model_tasks import STORE, TaskSet, data_tasks, model_tasks
from subgrid.recipes.pretrained import copies, kept_copies, refuse_changed_bundles
from subgrid.recipes.stability import check_time_steps

if TYPE_CHECKING:
    import xarray as xr

    from subgrid.recipes.results import Results

_SCORED = ("seed", "models", "evaluation")  # sections that decide the scores, besides its own


class AbstractComparison(AbstractRecipe):
    """Base of the recipes that simulate a truth, train on it, and compare closures with it.

    One with sections of its own says what they add: trainings, measurements, and what scores.json
    and the report tell of them.
    """

    def more_models(self, tasks: TaskSet) -> Iterator[tuple[str, Task]]:
        """Yield further trainings, by "NAME/NUMBER": those of the models that its sections add."""
        for model in tasks.config.added_models():
            yield from model_tasks(tasks, model)

    def more_measured(self, tasks: TaskSet) -> Iterator[Task]:
        """Yield what else is measured."""
        yield from ()

    def tables(self, folder: RunFolder, results: "Results") -> dict[str, "xr.Dataset"]:
        """Return its own tables of scores, which scores.zarr keeps in groups of these names."""
        return {}

    def record(self, folder: RunFolder, tables: Mapping[str, "xr.Dataset"]) -> dict[str, Any]:
        """Return what scores.json keeps of it; `tables`: its own by name."""
        return {}

    def parts(self, folder: RunFolder) -> Iterable[Part]:
        """Return what the report shows of it."""
        return ()

    def warnings(self, folder: RunFolder) -> list[str]:
        """Return sentences that the report begins with."""
        return []

    def tasks(self, config: Config) -> Iterator[Task]:
        """Yield the tasks: data, models, tests, then scores and report."""
        tasks = data_tasks(config)
        # adapted models come last: they are made of others
        for model in sorted(config.models, key=lambda one: one.base(config) not in (None, one)):
            tasks.models.update(model_tasks(tasks, model))
        tasks.models.update(self.more_models(tasks))
        measured = [reference(tasks, scored_members(config))]
        for model in config.models:
            measured += tests_of(tasks, model)
        measured += self.more_measured(tasks)
        scores = self._scores(config, [*tasks.all(), *measured])
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

    def _scores(self, config: Config, inputs: Sequence[Task]) -> Task:
        tables = config.to_dict()
        decide = {name: tables.get(name) for name in (*_SCORED, *self.sections)}
        return Task(
            name="scores.json",
            stage="evaluate",
            settings={**decide, "metrics": METRICS.names(), "tables": "in groups"},
            run=write_scores,
            inputs=tuple(inputs),
            outputs=("scores.json", "scores.zarr"),
            files=rf"scores\.(json|zarr/(\w[\w.-]*/)*{STORE})",  # tables in groups, too
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
