"""The separated experiments: measured beside published, as tables, a figure and sentences."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from subgrid.evaluation.findings import Part
from subgrid.evaluation.published import separated_row
from subgrid.evaluation.report import Section, Table, Verdict, section
from subgrid.evaluation.style import (
    Panel,
    add_legend,
    log_axis,
    looks,
    new_panel,
    panel_inches,
    styled,
)

if TYPE_CHECKING:
    import xarray as xr

_METRICS = {
    "mse": "MSE",
    "relative_l2": "relative ℓ2",
    "relative_spectral_l2": "relative spectral ℓ2",
}


TASK_PAIRS = (("coarsened", "across"), ("buildup", "direct"))


@dataclass(frozen=True)
class SeparatedScores:
    """The offline scores of one network and task, one dataset of `offline_scores` per network.

    `network`: its name as shown; `architecture`: its name in the paper's tables, "small" or
    "large"; `task`, `high`, `low`: see `subgrid.nn.SeparatedNetwork`.
    """

    network: str
    architecture: str
    task: str
    high: int
    low: int
    sets: "Sequence[xr.Dataset]"


Pair = tuple[SeparatedScores, SeparatedScores]


def separated_part(scores: Sequence[SeparatedScores]) -> Part:
    """Return what a report says: a sentence, verdicts per pair of tasks, a figure, two tables."""
    trained = sum(len(one.sets) for one in scores)
    names = ", ".join(dict.fromkeys(one.network for one in scores))
    summary = (
        f"{trained} trainings of {names}: what a network gains from the small scales of the state "
        "(coarsened against across) and from the large scales of the forcing (buildup against "
        "direct), by the mean squared error on held-out samples."
    )
    return Part((_section(scores),), summary, _verdicts(scores))


def _section(scores: Sequence[SeparatedScores]) -> Section:
    return section(
        "Separated experiments: error of every network",
        "One point per trained network, the mean over its held-out samples, by network and the two "
        "sizes. A network that sees the small scales of the state against one that does not "
        "(coarsened, across); one that sees the large scales of the forcing against one that does "
        "not (buildup, direct). Compare figure 5 of Otness, Zanna & Bruna 2025.",
        [_panel(cases_beside(scores, tasks), tasks) for tasks in TASK_PAIRS],
        [
            _table(
                scores,
                TASK_PAIRS[0],
                "Separated: are the small scales of the state needed for the large ones of the "
                "forcing?",
                "Error of the forcing's scales that a grid of the lower size holds, predicted from "
                "the whole state (coarsened) and from a state without its small scales (across).",
            ),
            _table(
                scores,
                TASK_PAIRS[1],
                "Separated: does it help to know the large scales of the forcing?",
                "Error of the forcing at the higher size, predicted from the state and the true "
                "forcing of the lower size (buildup) and from the state alone (direct).",
            ),
        ],
    )


def _verdicts(scores: Sequence[SeparatedScores]) -> tuple[Verdict, ...]:
    """Return per pair of tasks in how many cases the first has the smaller MSE, and by how much."""
    sizes, found = _all_sizes(scores), []
    for tasks in TASK_PAIRS:
        ratios, published = [], []
        for one, other in cases_beside(scores, tasks):
            ratios.append(_ratio(*(network_means(s, "mse") for s in (one, other))))
            row = separated_row(one.architecture, "mse", one.high, one.low, sizes)
            published += [] if row is None else [row[1][tasks[0]] / row[1][tasks[1]]]
        smaller = sum(ratio < 1 for ratio in ratios)
        outcome = {len(ratios): "better", 0: "worse"}.get(smaller, "unclear")
        theirs = f"; published: {_range(published)}" if published else ""
        sentence = (
            f"the smaller error in {smaller} of {len(ratios)} cases; ratio of mean squared errors "
            f"{_range(ratios)}{theirs}."
        )
        found.append(Verdict(f"{tasks[0]} against {tasks[1]}", sentence, outcome))
    return tuple(found)


def _ratio(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.mean(first) / np.mean(second))


def _range(ratios: Sequence[float]) -> str:
    return f"{min(ratios):.2f} to {max(ratios):.2f}, median {np.median(ratios):.2f}"


def _all_sizes(scores: Sequence[SeparatedScores]) -> tuple[int, ...]:
    return tuple(sorted({s.high for s in scores} | {s.low for s in scores}, reverse=True))


def cases_beside(scores: Sequence[SeparatedScores], tasks: tuple[str, str]) -> list[Pair]:
    """Return the cases of the first task, each with that of the second it is compared with.

    Of the same network and sizes; "direct" knows only the higher size.
    """
    by_case = {(s.network, s.task, s.high, s.low): s for s in scores}
    alone = tasks[1] == "direct"
    return [
        (one, by_case[one.network, tasks[1], one.high, one.high if alone else one.low])
        for one in scores
        if one.task == tasks[0]
    ]


def network_means(scores: SeparatedScores, metric: str) -> np.ndarray:
    """Return the mean over samples of every network."""
    return np.array([float(data[metric].mean()) for data in scores.sets])


def _table(
    scores: Sequence[SeparatedScores], tasks: tuple[str, str], title: str, note: str
) -> Table:
    sizes, rows = _all_sizes(scores), []
    for metric, words in _METRICS.items():
        for one, other in cases_beside(scores, tasks):
            ours = [network_means(s, metric) for s in (one, other)]
            published = separated_row(one.architecture, metric, one.high, one.low, sizes)
            theirs = ("", "", "", "")
            if published is not None:
                (high, small), means = published
                first, second = means[tasks[0]], means[tasks[1]]
                theirs = (f"{high}, {small}", f"{first:g}", f"{second:g}", f"{first / second:.2f}")
            rows.append(
                (
                    f"{one.network}: {words}",
                    f"{one.high}, {one.low}",
                    *(_shown(values) for values in ours),
                    f"{_ratio(*ours):.2f}",
                    *theirs,
                )
            )
    return Table(
        title,
        f"{note} Mean over held-out samples and networks, in brackets the standard deviation over "
        "networks. MSE in units of the variance of the forcing at the higher size. Published: "
        "Otness, Zanna & Bruna 2025, tables 1 and 2, at the sizes of equal ratio.",
        (
            "network",
            "sizes",
            tasks[0],
            tasks[1],
            "ratio",
            "published sizes",
            tasks[0],
            tasks[1],
            "ratio",
        ),
        tuple(rows),
    )


def _shown(values: np.ndarray) -> str:
    spread = f" ({np.std(values, ddof=1):.2g})" if len(values) > 1 else ""
    return f"{np.mean(values):.3g}{spread}"


@styled
def _panel(beside: Sequence[Pair], tasks: tuple[str, str]) -> Panel:
    figure, (axes,) = new_panel(inches=panel_inches(len(beside)))
    styles, shown = looks(tasks), []
    for side, task in enumerate(tasks):
        means = [network_means(pair[side], "mse") for pair in beside]
        places = [
            place + 0.36 * (side - 0.5) + np.linspace(-0.08, 0.08, len(values) + 2)[1:-1]
            for place, values in enumerate(means)
        ]
        axes.plot(
            np.concatenate(places),
            np.concatenate(means),
            ls="none",
            marker=("o", "s")[side],
            ms=6,
            alpha=0.8,
            color=styles[task].colour,
            label=task,
        )
        shown.extend(means)
    ticks = [f"{one.network}\n{one.high},{one.low}" for one, _ in beside]
    axes.set_xticks(range(len(beside)), ticks)
    axes.set_xlim(-0.6, len(beside) - 0.4)
    axes.grid(False, axis="x")
    log_axis(axes.yaxis, np.concatenate(shown))
    axes.set_ylabel("MSE [variance of the forcing\nat the higher size]")
    axes.set_title(" against ".join(tasks))
    add_legend(figure, axes)
    alt = f"mean squared error of every network, {' and '.join(tasks)}"
    return Panel(f"separated_{'_'.join(tasks)}", figure, alt)
