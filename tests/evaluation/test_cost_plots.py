"""Skill against cost: time per simulated day, the Pareto front by hand, unstable models hollow."""

import dataclasses
import math

import numpy as np
import pytest

from subgrid.evaluation import (
    BlowUp,
    Interval,
    NetworkSize,
    OnlineScore,
    Predictability,
    StepCost,
    Timing,
)
from subgrid.evaluation.cost_plots import (
    pareto_front,
    plot_lasting_cost,
    plot_skill_cost,
    skill_cost_figure,
)
from subgrid.evaluation.style import looks
from subgrid.evaluation.survival import DAYS
from subgrid.evaluation.tables import cost_table

DT = 21600.0  # four steps a day
TIMING = Timing(DT, "an abacus")


def score(name, milliseconds, error, dead=0):
    """Return the score of a model of so many milliseconds per step."""
    keys = [f"kinetic_energy_spectrum_{layer}" for layer in ("upper", "lower")]
    errors = dict.fromkeys(keys, Interval(error, 0.5 * error, 1.5 * error))
    cost = None if milliseconds is None else StepCost(1e-3 * milliseconds, milliseconds / 0.25)
    lost = tuple(BlowUp(0, member, 10, 1.0) for member in range(dead))
    scored = np.arange(4)[None] >= dead
    return OnlineScore(name, lost, scored, errors, {}, {}, {}, cost, layers=("upper", "lower"))


SCORES = {
    one.name: one
    for one in (
        score("none", 0.25, 8.0),
        score("cheap", 0.5, 4.0),
        score("beaten", 1.0, 6.0),  # by "cheap", in both
        score("unstable", 0.75, 1.0, dead=1),
        score("best", 2.0, 2.0),
        score("untimed", None, 1.0),
        score("unscored", 1.0, math.nan),
    )
}
STYLES = looks(SCORES)


def test_the_front_is_that_of_the_models_no_other_beats():
    points = {"a": (3.0, 1.0), "b": (1.0, 5.0), "c": (2.0, 5.0), "d": (2.0, 4.0), "e": (3.0, 1.0)}
    # c costs more than b for the same error; a and e are equal: neither beats the other
    assert pareto_front(points) == ["b", "d", "a", "e"]
    assert pareto_front({}) == []
    assert pareto_front({"one": (1.0, 1.0)}) == ["one"]


def test_a_day_is_as_many_steps_as_it_has():
    assert StepCost(2e-3, 4.0).per_unit(DT, DAYS) == pytest.approx(8e-3)


def drawn(axes, label):
    return next(line for line in axes.lines if line.get_label() == label)


def test_errors_below_the_sampling_floor_are_shaded():
    key = "kinetic_energy_spectrum_upper"
    scores = {name: dataclasses.replace(one, floors={key: 3.0}) for name, one in SCORES.items()}
    upper, lower = (panel.figure.axes[0] for panel in plot_skill_cost(scores, STYLES, TIMING))
    (shade,) = upper.patches
    assert (shade.get_y(), shade.get_y() + shade.get_height()) == (upper.get_ylim()[0], 3.0)
    assert shade.get_label() == "sampling floor"
    assert not lower.patches  # not known there


def test_the_figure_has_the_models_the_front_and_hollow_ones():
    panels = plot_skill_cost(SCORES, STYLES, TIMING)
    assert [panel.name for panel in panels] == ["skill_cost_upper", "skill_cost_lower"]
    axes = panels[0].figure.axes[0]
    assert axes.get_xlabel() == "time per simulated day [ms], one member"
    bars = {bar.get_label(): bar[0] for bar in axes.containers}
    assert set(bars) == {"no closure", "cheap", "beaten", "unstable", "best"}
    assert bars["best"].get_xydata()[0] == pytest.approx((8.0, 2.0))  # 4 steps of 2 ms
    hollow = [name for name, bar in bars.items() if bar.get_markerfacecolor() == "none"]
    assert hollow == ["unstable"]
    front = drawn(axes, "Pareto front")
    assert front.get_drawstyle() == "steps-post"
    x, y = front.get_data()
    np.testing.assert_allclose(x[1:4], [1.0, 2.0, 8.0])
    np.testing.assert_allclose(y[1:4], [8.0, 4.0, 2.0])
    assert (x[0], x[-1]) == (1.0, axes.get_xlim()[1])  # to the edges
    assert (y[0], y[-1]) == (axes.get_ylim()[1], 2.0)
    legend = panels[0].figure.legends[0]
    assert "Pareto front" in [text.get_text() for text in legend.get_texts()]
    assert "1 of 4 members blew up" in legend.get_title().get_text()


def followed(name, time, dead=0):
    """Return that a model follows the truth for so long, ± 1."""
    span, unknown = Interval(time, time - 1, time + 1), Interval(0.1, 0.0, 0.2)
    lost, one = tuple(BlowUp(0, member, 10, 1.0) for member in range(dead)), np.full((1, 4), time)
    return Predictability(name, one, one, 0, lost, span, unknown, None, "units", 4, np.arange(4))


def test_how_long_runs_follow_the_truth_is_better_upwards():
    names = {"none": 3.0, "cheap": 5.0, "beaten": 4.0, "unstable": 9.0, "best": 6.0, "untimed": 8.0}
    lasting = {name: followed(name, time, name == "unstable") for name, time in names.items()}
    (panel,) = plot_lasting_cost(lasting, SCORES, STYLES, TIMING)
    axes = panel.figure.axes[0]
    assert axes.get_ylabel() == "decorrelation time [units]"
    assert axes.get_ylim()[0] == 0
    bars = {bar.get_label(): bar[0] for bar in axes.containers}
    assert set(bars) == {"no closure", "cheap", "beaten", "unstable", "best"}
    assert [n for n, bar in bars.items() if bar.get_markerfacecolor() == "none"] == ["unstable"]
    x, y = drawn(axes, "Pareto front").get_data()
    np.testing.assert_allclose(x[1:4], [1.0, 2.0, 8.0])
    np.testing.assert_allclose(y, [0.0, 3.0, 5.0, 6.0, 6.0])
    figure = skill_cost_figure(SCORES, STYLES, TIMING, lasting)
    assert len(figure.images) == 3
    assert figure.caption.startswith("How long runs follow the truth, and error of the kinetic")
    assert skill_cost_figure(SCORES, STYLES, TIMING).caption.startswith("Error of the kinetic")


def test_title_and_caption_say_what_was_timed_and_whether_it_is_worth_it():
    alone = skill_cost_figure(SCORES, STYLES, Timing(DT, "an abacus"))
    assert alone.title == "Skill against cost"
    assert "timed on an abacus" in alone.caption
    grids = skill_cost_figure(SCORES, STYLES, Timing(DT, "an abacus", finer_grids=True))
    assert grids.title == "Is it worth its cost? Skill against cost"
    untimed = {"untimed": SCORES["untimed"]}
    assert skill_cost_figure(untimed, STYLES, Timing(DT, "an abacus")).images == ()


def test_only_unstable_models_leave_no_front():
    scores = {"a": score("a", 1.0, 1.0, dead=2)}
    axes = plot_skill_cost(scores, looks(scores), TIMING)[0].figure.axes[0]
    assert "Pareto front" not in [line.get_label() for line in axes.lines]


def test_the_table_has_times_ratios_and_sizes_where_known():
    sizes = {"best": NetworkSize(12345, 6789.0), "cheap": NetworkSize(10, math.nan)}
    table = cost_table(SCORES, STYLES, Timing(DT, "an abacus", sizes))
    rows = {row[0]: row[1:] for row in table.rows}
    assert table.columns[3:] == (
        "time per simulated day [ms]", "weights", "kFLOP per cell and step",
    )  # fmt: skip
    assert rows["best"] == ("2", "8", "8", "12,345", "6.79")
    assert rows["cheap"] == ("0.5", "2", "2", "10", "-")
    assert rows["beaten"] == ("1", "4", "4", "-", "-")
    assert "untimed" not in rows
    assert "an abacus" in table.note
    plain = cost_table(SCORES, STYLES, Timing(DT, "an abacus"))
    assert {len(row) for row in plain.rows} == {len(plain.columns)} == {4}
