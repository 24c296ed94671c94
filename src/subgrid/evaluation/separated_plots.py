"""The figure of the separated experiments: the error of every network, task beside task."""

from collections.abc import Sequence

import numpy as np

from subgrid.evaluation.report import ReportFigure, report_figure
from subgrid.evaluation.separated_tables import (
    TASK_PAIRS,
    Beside,
    SeparatedScores,
    cases_beside,
    network_means,
)
from subgrid.evaluation.style import (
    Panel,
    add_legend,
    log_axis,
    looks,
    new_panel,
    panel_inches,
    styled,
)


def separated_figure(separated: Sequence[SeparatedScores]) -> ReportFigure:
    """Return the figure of `plot_separated`, with its caption."""
    return report_figure(
        "Separated experiments: error of every network",
        "One point per trained network, the mean over its held-out samples, by network and the two "
        "sizes. A network that sees the small scales of the state against one that does not "
        "(coarsened, across); one that sees the large scales of the forcing against one that does "
        "not (buildup, direct). Compare figure 5 of Otness, Zanna & Bruna 2025.",
        plot_separated(separated),
    )


@styled
def plot_separated(scores: Sequence[SeparatedScores]) -> list[Panel]:
    """Return a panel per pair of tasks: the MSE of every trained network, by network and sizes.

    A point is the mean over the samples of one network, in units of the variance of the forcing at
    the higher size; as figure 5 of Otness, Zanna & Bruna 2025.
    """
    return [_panel(cases_beside(scores, tasks), tasks) for tasks in TASK_PAIRS]


def _panel(beside: Sequence[Beside], tasks: tuple[str, str]) -> Panel:
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
