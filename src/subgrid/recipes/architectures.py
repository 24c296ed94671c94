"""A search for an architecture: every choice of networks trained, run freely, ranked.

After Otness, Zanna & Bruna 2025, appendix C.2.
"""

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, final

import numpy as np
from pydantic import Field, ValidationError

from subgrid.config import BASELINE, Config, LearnedConfig, Parts, Section, check
from subgrid.config.kinds import MULTISCALE
from subgrid.config.output import Constraints, constraint_names
from subgrid.config.training import training_problems
from subgrid.config.values import Count, FreeTable, Names, Positive
from subgrid.evaluation import table as scores
from subgrid.evaluation.components import of_component, score_name, with_article
from subgrid.evaluation.draw import matrix
from subgrid.evaluation.findings import Part
from subgrid.evaluation.record import score_record
from subgrid.evaluation.report import Table, section
from subgrid.evaluation.style import Panel
from subgrid.evaluation.verdicts import REMARKED
from subgrid.experiment import RunFolder, Task
from subgrid.recipes.comparison import AbstractComparison
from subgrid.recipes.evaluate import read_scores, table_of
from subgrid.recipes.measuring_tasks import cost, online, scored_members
from subgrid.recipes.model_tasks import TaskSet
from subgrid.recipes.results import Results, online_path, read_dataset, step_costs

if TYPE_CHECKING:
    import xarray as xr

_MOST_CHOICES = 10_000
_SEARCH = "search"  # the group of scores.zarr
Searched = tuple[str, tuple[str, ...]]  # a model of the table, its networks, coarsest scale first


class SearchConfig(Section):
    """A search for an architecture: every way to choose one of `candidates` per coarse size.

    Each choice is a multiscale model (see `LearnedConfig` for the other settings), tested online
    like the models but kept out of their figures; all are ranked by their spectral errors.
    """

    named: ClassVar[Mapping[str, str]] = {"candidates": "network"}
    cited: ClassVar[tuple[str, ...]] = MULTISCALE
    renamed: ClassVar[Mapping[str, str]] = {"zero_mean": 'output = ["zero-mean"]'}

    candidates: Names
    width: Positive = 1.0
    output: Constraints = ()
    seeds: Count = 1
    training: FreeTable = Field(default_factory=dict)

    def more_models(self, config: Config) -> tuple[LearnedConfig, ...]:
        """Return the model of every choice, called by its networks: "psm4_pmd8"."""
        choices = itertools.product(self.candidates, repeat=len(config.coarse.sizes))
        return tuple(map(self._model, choices))

    def _model(self, networks: tuple[str, ...]) -> LearnedConfig:
        return LearnedConfig(
            name=re.sub(r"[^A-Za-z0-9_.-]", "-", "_".join(networks)),
            kind="learned",
            networks=networks,
            arrangement="multiscale",
            width=self.width,
            output=self.output,
            seeds=self.seeds,
            training=self.training,
        )

    def code(self, key: str) -> list[tuple[str, str, str]]:
        """Return the names of the candidates and of the constraints."""
        held = constraint_names(self.output)
        return [*super().code(key), *((f"{key}.output", "constraint", name) for name in held)]

    def trainings(self, key: str) -> list[tuple[str, "SearchConfig"]]:
        """Return itself."""
        return [(key, self)]

    @check
    def _training_fits(self, config: Config, key: str) -> Iterator[str]:
        yield from training_problems(config, self.training, f"{key}.training")

    @check
    def _choices(self, config: Config, key: str) -> Iterator[str]:
        counts, scales = Counter(self.candidates), len(config.coarse.sizes)
        repeated = [name for name, times in counts.items() if times > 1]
        for name in repeated:
            yield f"{key}.candidates: got {name!r} {counts[name]} times; each is tried once"
        if len(self.candidates) ** scales > _MOST_CHOICES:
            yield (
                f"{key}.candidates: {len(self.candidates)} for each of {scales} sizes make more "
                f"than {_MOST_CHOICES} choices; each is trained"
            )
            return
        try:
            choices = Counter(model.name for model in self.more_models(config))
        except ValidationError as error:
            name = error.errors()[0]["input"]
            yield f"{key}.candidates: {name!r} is no name of a model, of 60 characters"
            return
        taken = {model.name for model in config.models}.intersection(choices)
        for name in sorted(taken):
            yield f"{key}: {name!r} is also the name of a model; rename that"
        if not repeated and not taken:
            for name, times in choices.items():
                if times > 1:
                    yield (
                        f"{key}: {times} choices are called {name!r}; leave one of the candidates "
                        "out"
                    )

    def _each_alone(self, parts: Parts) -> list[LearnedConfig]:
        scales = len(parts.config.coarse.sizes)
        return [self._model((name,) * scales) for name in self.candidates]

    def build(self, parts: Parts, key: str) -> None:
        """Trace the network of every candidate in every place."""
        for model in self._each_alone(parts):
            model.build(parts, key)

    def trace(self, parts: Parts, key: str) -> None:
        """Raise unless the networks can be trained and make increments."""
        for model in self._each_alone(parts):
            model.trace(parts, key)

    def facts(self, config: Config) -> dict[str, str]:
        """Return what is searched."""
        count, names = len(self.more_models(config)), ", ".join(self.candidates)
        return {
            "search": f"{count} choices of {names}, width {self.width:g}, {self.seeds} "
            "initialisation(s) each"
        }


class Ranked(NamedTuple):
    """A model of a search, its networks and its ranks by component.

    Rank 1 has the smallest error of all whose members survived; models with members that blew up
    come after these, by how many did.
    """

    model: str
    networks: tuple[str, ...]
    ranks: dict[str, int]

    @property
    def worst(self) -> int:
        """The worst of the ranks, which decides."""
        return max(self.ranks.values())


def ranking(table: "xr.Dataset", models: Sequence[Searched]) -> list[Ranked]:
    """Return the models of a table, best first.

    Ranked by the error of each component, then by the worst of these ranks, then by their sum.
    """
    metric, quantity = scores.main_error(table)
    keys = {
        part: {name: scores.rank_key(table, metric, name, quantity, part) for name, _ in models}
        for part in scores.words(table, quantity)
    }

    def ranks(name: str) -> dict[str, int]:
        return {
            part: 1 + sum(key < known[name] for key in known.values())
            for part, known in keys.items()
        }

    found = [Ranked(name, networks, ranks(name)) for name, networks in models]
    return sorted(found, key=lambda one: (one.worst, sum(one.ranks.values()), one.networks))


def ranked_record(table: "xr.Dataset", one: Ranked) -> dict[str, Any]:
    """Return what scores.json keeps."""
    ranks = {part or "flow": rank for part, rank in one.ranks.items()}
    return {"architecture": list(one.networks), "ranks": ranks, **score_record(table, one.model)}


def search_part(table: "xr.Dataset", models: Sequence[Searched]) -> Part:
    """Return the section of a search: a map of all pairs and the ranking."""
    ranked, quantity = ranking(table, models), scores.main_error(table)[1]
    caption = f"Error of {with_article(quantity)} of every pair of networks; crosses: blow-ups."
    tables = [ranking_table(table, ranked)]
    return Part((section("Search: all pairs", caption, _panels(table, ranked), tables),))


def ranking_table(table: "xr.Dataset", ranked: Sequence[Ranked]) -> Table:
    """Return the ranking as a table."""
    metric, quantity = scores.main_error(table)
    parts = list(scores.words(table, quantity))

    def row(one: Ranked) -> tuple[str, ...]:
        cost = scores.cost(table, one.model)
        left = [scores.remaining(table, metric, one.model, quantity, part) for part in parts]
        lost, runs = len(scores.blow_ups(table, one.model)), scores.ran(table, one.model).size
        return (
            ", ".join(one.networks) + (f" {REMARKED}" if scores.remark(table, one.model) else ""),
            *("" if np.isnan(v.estimate) else f"{v.estimate:.2f}" for v in left),
            *(str(one.ranks[part]) for part in parts),
            f"{lost} of {runs}",
            "" if np.isnan(cost) else f"{cost:.1f}",
        )

    return Table(
        "Search: architectures ranked",
        f"Every choice of one network per scale, coarsest first. Error of {with_article(quantity)} "
        "below the cut relative to no closure; ranked for each component, then by the worst of the "
        "ranks (Otness, Zanna & Bruna 2025, appendix C.2). Models with members that blew up come "
        "last; the published search chose psm4 with pmd8. Ranked by the test trajectories, as "
        "published: the choice flatters the error of the best. For its own score train it in an "
        "experiment with another seed, whose trajectories are others. Cost: time per step relative "
        "to the coarse model alone.",
        (
            "networks",
            *(of_component("error / no closure", part) for part in parts),
            *(of_component("rank", part) for part in parts),
            "blown up",
            "cost",
        ),
        tuple(map(row, ranked)),
    )


def _panels(table: "xr.Dataset", ranked: Sequence[Ranked]) -> list[Panel]:
    """Return a map per component of the error against both networks; none unless there are two."""
    if not ranked or len(ranked[0].networks) != 2:
        return []
    metric, quantity = scores.main_error(table)
    rows, columns = (list(dict.fromkeys(sorted(r.networks[i] for r in ranked))) for i in (0, 1))
    panels = []
    for part, called in scores.words(table, quantity).items():
        values = np.full((len(rows), len(columns)), np.nan)
        crossed = np.zeros(values.shape, bool)
        for one in ranked:
            place = rows.index(one.networks[0]), columns.index(one.networks[1])
            left = scores.remaining(table, metric, one.model, quantity, part)
            values[place] = left.estimate
            crossed[place] = bool(scores.blow_ups(table, one.model))
        names = score_name("search", part), of_component("map of the error of all pairs", called)
        labels = "network at the coarser scale", "network at the finest scale"
        bar = of_component("error / no closure", called)
        panels.append(matrix(*names, values, rows, columns, *labels, bar, crossed))
    return panels


@final
class ArchitecturesRecipe(AbstractComparison):
    """Searches an architecture: every choice of [search] trained, run freely and ranked."""

    sections: ClassVar = {"search": (SearchConfig | None, None)}

    def more_measured(self, tasks: TaskSet) -> Iterator[Task]:
        """Yield the free runs and the cost of every choice."""
        members = scored_members(tasks.config)
        for model in tasks.config.added_models():
            for number in range(model.seeds):
                yield online(tasks, members, model, number)
            yield cost(tasks, model)

    def tables(self, folder: RunFolder, results: Results) -> dict[str, "xr.Dataset"]:
        """Return the table of the models of the search."""
        runs = {
            model.name: [
                read_dataset(folder.evaluation / online_path(label))
                for label in model.trained_names()
            ]
            for model in folder.config.added_models()
        }
        if not runs:
            return {}
        costs = step_costs(folder, [BASELINE, *runs])
        runs = {BASELINE: results.online[BASELINE], **runs}
        return {_SEARCH: table_of(folder, results, runs, costs)}

    def record(self, folder: RunFolder, tables: Mapping[str, "xr.Dataset"]) -> dict[str, Any]:
        """Return the ranking."""
        if _SEARCH not in tables:
            return {}
        table = tables[_SEARCH]
        ranked = ranking(table, _searched(folder.config))
        return {"search": [ranked_record(table, one) for one in ranked]}

    def parts(self, folder: RunFolder) -> Iterator[Part]:
        """Yield the map of all pairs and the ranking."""
        if models := _searched(folder.config):
            yield search_part(read_scores(folder, _SEARCH), models)


def _searched(config: Config) -> list[Searched]:
    return [(model.name, model.networks) for model in config.added_models()]
