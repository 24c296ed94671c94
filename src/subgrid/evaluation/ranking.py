"""The ranking of an architecture search, as in Otness, Zanna & Bruna 2025, appendix C.2."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from subgrid.evaluation.layers import keyed, layer_words, of_layer
from subgrid.evaluation.report import ReportTable
from subgrid.evaluation.scores import OnlineScore
from subgrid.evaluation.style import Panel, new_panel, styled
from subgrid.evaluation.verdicts import REMARKED, score_record


@dataclass(frozen=True)
class Ranked:
    """A model of a search: its `networks`, coarsest scale first, its score and its ranks by layer.

    Rank 1 has the smallest spectral error of all whose members survived; models with members that
    blew up come after these, by how many did.
    """

    networks: tuple[str, ...]
    score: OnlineScore
    ranks: tuple[int, ...]

    @property
    def worst(self) -> int:
        """The worst of the ranks, which decides."""
        return max(self.ranks)

    def record(self) -> dict[str, Any]:
        """Return what scores.json keeps."""
        return {
            "architecture": list(self.networks),
            "ranks": {
                layer or "flow": r for layer, r in zip(self.score.layers, self.ranks, strict=True)
            },
            **score_record(self.score),
        }


def ranking(models: Sequence[tuple[tuple[str, ...], OnlineScore]]) -> list[Ranked]:
    """Return the models (networks, score), best first.

    Ranked by the spectral error of each layer, then by the worst of these ranks, then by their sum.
    """

    layers = models[0][1].layers if models else ()
    keys = {layer: [score.rank_key(layer) for _, score in models] for layer in layers}
    found = [
        Ranked(
            networks,
            score,
            tuple(
                1 + sum(o < score.rank_key(layer) for o in others) for layer, others in keys.items()
            ),
        )
        for networks, score in models
    ]
    return sorted(found, key=lambda one: (one.worst, sum(one.ranks), one.networks))


def ranking_table(ranked: Sequence[Ranked]) -> ReportTable:
    """Return the ranking as a table."""
    layers = ranked[0].score.layers if ranked else ()
    return ReportTable(
        "Search: architectures ranked",
        "Every choice of one network per scale, coarsest first. Error of the kinetic energy "
        "spectrum below the cut relative to no closure; ranked for each layer, then by the worst "
        "of both ranks (Otness, Zanna & Bruna 2025, appendix C.2). Models with members that blew "
        "up come last; the published search chose psm4 with pmd8. Ranked by the test "
        "trajectories, as published: the choice flatters the error of the best. For its own score "
        "train it in an experiment with another seed, whose trajectories are others. Cost: time "
        "per step relative to the coarse model alone.",
        (
            "networks",
            *(of_layer("error / no closure", layer) for layer in layers),
            *(of_layer("rank", layer) for layer in layers),
            "blown up",
            "cost",
        ),
        tuple(
            (
                ", ".join(one.networks) + (f" {REMARKED}" if one.score.remark else ""),
                *(_number(one.score.remaining(layer).estimate) for layer in layers),
                *map(str, one.ranks),
                f"{len(one.score.blow_ups)} of {one.score.runs}",
                "" if one.score.cost is None else f"{one.score.cost.ratio:.1f}",
            )
            for one in ranked
        ),
    )


@styled
def plot_ranking(ranked: Sequence[Ranked]) -> list[Panel]:
    """Return a map per layer of the error against both networks; none unless there are two.

    Darker is better; a cross marks models with members that blew up.
    """
    if not ranked or len(ranked[0].networks) != 2:
        return []
    coarse, fine = (list(dict.fromkeys(sorted(one.networks[i] for one in ranked))) for i in (0, 1))
    panels = []
    for layer in ranked[0].score.layers:
        figure, (axes,) = new_panel()
        values = np.full((len(coarse), len(fine)), np.nan)
        for one in ranked:
            place = coarse.index(one.networks[0]), fine.index(one.networks[1])
            values[place] = one.score.remaining(layer).estimate
            if one.score.blow_ups:
                axes.plot(place[1], place[0], marker="x", color="#D55E00", ms=9, mew=2)
        image = axes.imshow(values, cmap="viridis", vmin=0.0, aspect="auto", origin="lower")
        middle = np.nanmax(values, initial=0.0) / 2
        for (row, column), value in np.ndenumerate(values):
            colour = "white" if value < middle else "black"
            axes.text(column, row, _number(value), ha="center", va="center", color=colour, size=7)
        axes.set_xticks(range(len(fine)), fine, rotation=45)
        axes.set_yticks(range(len(coarse)), coarse)
        axes.set_xlabel("network at the finest scale")
        axes.set_ylabel("network at the coarser scale")
        axes.grid(False)
        figure.colorbar(image, ax=axes, label=of_layer("error / no closure", layer_words(layer)))
        alt = of_layer("map of the spectral error of all pairs of networks", layer_words(layer))
        panels.append(Panel(keyed("search", layer), figure, alt))
    return panels


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.2f}"
