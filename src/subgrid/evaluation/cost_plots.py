"""Skill against cost: every model against its time for a unit of simulated time."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from subgrid.evaluation.cost import StepCost, Timing
from subgrid.evaluation.intervals import Interval, percent
from subgrid.evaluation.layers import keyed, layer_words, of_layer
from subgrid.evaluation.predictability import Predictability
from subgrid.evaluation.report import ReportFigure, report_figure
from subgrid.evaluation.score_plots import error_axis, lost_notes
from subgrid.evaluation.scores import KE_SPECTRUM, OnlineScore, common_floor
from subgrid.evaluation.style import (
    Look,
    Panel,
    add_legend,
    log_axis,
    new_panel,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def skill_cost_figure(
    scores: Mapping[str, OnlineScore],
    styles: Mapping[str, Look],
    timing: Timing,
    followed: Mapping[str, Predictability] | None = None,
) -> ReportFigure:
    """Return the figure of skill against cost, without panels if no model was timed.

    `followed`: how long runs follow the truth, for a panel of that.
    """
    timed = any(score.cost is not None for score in scores.values())
    panels = plot_lasting_cost(followed, scores, styles, timing) if timed and followed else []
    what, whose = (
        ("How long runs follow the truth, and error", "their") if panels else ("Error", "its")
    )
    level = percent(next(iter(scores.values())).level)
    worth = "Is it worth its cost? " if timing.finer_grids else ""
    return report_figure(
        f"{worth}Skill against cost",
        f"{what} of the kinetic energy spectrum, with {whose} {level} interval, against the time "
        f"of one member for a {timing.length}, timed on {timing.device}. Pareto front: through the "
        "models that no other one beats in both skill and cost. Hollow: models with members that "
        "blew up, which are not on it. Shaded, of errors: below the sampling floor, the error "
        "expected of the truth's own statistics with other weather, where models cannot be told "
        "apart.",
        [*panels, *plot_skill_cost(scores, styles, timing)] if timed else [],
    )


@styled
def plot_skill_cost(
    scores: Mapping[str, OnlineScore], styles: Mapping[str, Look], timing: Timing
) -> list[Panel]:
    """Return a panel per layer: spectral error with its interval against the time per day.

    `timing`: the time step of the coarse model, of which each takes its `cost`, and what time is
    counted in. A step line is the Pareto front; models with members that blew up are hollow and not
    on it.
    """
    layers = next(iter(scores.values())).layers
    return [_panel(scores, styles, timing, layer) for layer in layers]


@styled
def plot_lasting_cost(
    followed: Mapping[str, Predictability],
    scores: Mapping[str, OnlineScore],
    styles: Mapping[str, Look],
    timing: Timing,
) -> list[Panel]:
    """Return a panel like those of `plot_skill_cost`, of decorrelation times instead of errors."""
    figure, (axes,) = new_panel()
    points = {
        name: (_milliseconds(cost, timing), one.decorrelation.estimate)
        for name, one in followed.items()
        if (cost := scores[name].cost) is not None and np.isfinite(one.decorrelation.estimate)
    }
    for name, (cost, _) in points.items():
        one = followed[name]
        _draw(axes, cost, one.decorrelation, styles[name], hollow=bool(one.blow_ups))
    log_axis(axes.xaxis, [cost for cost, _ in points.values()])
    axes.set_ylim(bottom=0)
    stable = {n: (cost, -time) for n, (cost, time) in points.items() if not followed[n].blow_ups}
    _draw_front(axes, [points[name] for name in pareto_front(stable)], worst=0)
    axes.set_xlabel(f"time per {timing.length} [ms], one member")
    axes.set_ylabel(f"decorrelation time [{next(iter(followed.values())).units}]")
    add_legend(figure, axes, lost_notes(scores, styles))
    return [Panel("lasting_cost", figure, "decorrelation time against cost")]


def _milliseconds(cost: StepCost, timing: Timing) -> float:
    """Return the time of one member for the unit of simulated time."""
    return 1e3 * cost.per_unit(timing.dt, timing.unit)


def pareto_front(points: Mapping[str, tuple[float, float]]) -> list[str]:
    """Return the models that no other beats in both cost and error, the cheapest first.

    `points`: model → (cost, error). A model is beaten by another that is nowhere worse and
    somewhere better.
    """
    front = [
        name
        for name, (cost, error) in points.items()
        if not any(c <= cost and e <= error and (c, e) != (cost, error) for c, e in points.values())
    ]
    return sorted(front, key=points.__getitem__)


def _panel(
    scores: Mapping[str, OnlineScore], styles: Mapping[str, Look], timing: Timing, layer: str
) -> Panel:
    figure, (axes,) = new_panel()
    key = keyed(KE_SPECTRUM, layer)
    points = {
        name: (_milliseconds(score.cost, timing), score.errors[key].estimate)
        for name, score in scores.items()
        if score.cost is not None and np.isfinite(score.errors[key].estimate)
    }
    highest = []
    for name, (cost, _) in points.items():
        _draw(axes, cost, scores[name].errors[key], styles[name], bool(scores[name].blow_ups))
        highest.append(scores[name].errors[key].high)
    stable = {name: point for name, point in points.items() if not scores[name].blow_ups}
    log_axis(axes.xaxis, [cost for cost, _ in points.values()])
    drawn = np.array([*(error for _, error in points.values()), *highest])
    error_axis(axes, next(iter(scores.values())), layer, drawn[np.isfinite(drawn)])
    _shade_floor(axes, common_floor(scores, key))
    _draw_front(axes, [points[name] for name in pareto_front(stable)])
    axes.set_xlabel(f"time per {timing.length} [ms], one member")
    add_legend(figure, axes, lost_notes(scores, styles))
    alt = of_layer("error against cost", layer_words(layer))
    return Panel(keyed("skill_cost", layer), figure, alt)


def _draw(axes: "Axes", cost: float, skill: Interval, look: Look, hollow: bool) -> None:
    ends = np.nan_to_num([[skill.estimate - skill.low], [skill.high - skill.estimate]], nan=0.0)
    axes.errorbar(
        cost,
        skill.estimate,
        yerr=np.maximum(ends, 0),
        ls="none",
        color=look.colour,
        marker=look.marker,
        mfc="none" if hollow else look.colour,
        ms=8,
        capsize=3,
        label=look.label,
        zorder=3,
    )


def _shade_floor(axes: "Axes", floor: float) -> None:
    """Shade the errors that other weather alone would make."""
    if floor > 0:
        low, high = axes.get_ylim()
        axes.axhspan(
            low, floor, color="#999999", alpha=0.25, lw=0, label="sampling floor", zorder=0
        )
        axes.set_ylim(low, max(high, 1.1 * floor))


def _draw_front(axes: "Axes", points: Sequence[tuple[float, float]], worst: int = 1) -> None:
    """Draw the best skill that each cost buys: steps through `points`, to the edges of the panel.

    From the `worst` edge, 1 the upper, to the cheapest, and right from the last.
    """
    if not points:
        return
    costs, skills = zip(*points, strict=True)
    axes.plot(
        [costs[0], *costs, axes.get_xlim()[1]],
        [axes.get_ylim()[worst], *skills, skills[-1]],
        drawstyle="steps-post",
        color="#444444",
        lw=1.0,
        label="Pareto front",
        zorder=2,
    )
