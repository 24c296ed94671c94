"""The ranking of an architecture search, as in Otness, Zanna & Bruna 2025, appendix C.2."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from subgrid.evaluation import table as scores
from subgrid.evaluation.components import of_component, score_name, with_article
from subgrid.evaluation.draw import matrix
from subgrid.evaluation.findings import Part
from subgrid.evaluation.record import score_record
from subgrid.evaluation.report import Table, section
from subgrid.evaluation.style import Panel
from subgrid.evaluation.verdicts import REMARKED

if TYPE_CHECKING:
    import xarray as xr

Searched = tuple[str, tuple[str, ...]]  # a model of the table, its networks, coarsest scale first


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
