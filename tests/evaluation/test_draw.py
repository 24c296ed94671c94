"""Drawings that metrics share, by what stands on their axes."""

import numpy as np
import pytest
from matplotlib.patches import PathPatch

from subgrid.evaluation.draw import (
    Curve,
    Point,
    bars,
    boxes,
    histogram,
    lines,
    maps,
    matrix,
    pareto_front,
    points,
)
from subgrid.evaluation.style import looks
from subgrid.grids import PeriodicLine

STYLES = looks(["none", "net"])
NAN = np.nan


def axes_of(panel):
    return panel.figure.axes[0]


def groups(far=3.0):
    return {
        "as configured": {"none": np.array([1.0, 2.0]), "net": np.array([2.0, 3.0])},
        "alpha-5": {"none": np.array([1.5, 2.5]), "net": np.array([NAN, NAN])},
        "alpha-10": {"none": np.array([1.0, 1.0]), "net": np.array([NAN, far])},
    }


def test_every_model_has_a_box_or_a_cross_in_every_group():
    axes = axes_of(boxes("errors", "boxes", groups(), STYLES, "error"))
    ticks = [text.get_text() for text in axes.get_xticklabels()]
    assert ticks == ["as configured", "alpha-5", "alpha-10"]
    found = [patch for patch in axes.patches if isinstance(patch, PathPatch)]
    places = [round(float(np.mean(patch.get_path().get_extents().intervalx)), 6) for patch in found]
    # two models in a group of width 0.84: at -0.21 and +0.21
    assert places == [-0.21, 0.21, 0.79, 1.79, 2.21]
    colours = [patch.get_facecolor() for patch in found]
    assert colours[0] == colours[2] == colours[3]
    assert colours[1] == colours[4] != colours[0]
    crosses = [line for line in axes.lines if line.get_marker() == "x" and len(line.get_xdata())]
    assert [float(line.get_xdata()[0]) for line in crosses] == [pytest.approx(1.21)]
    assert crosses[0].get_color() == STYLES["net"].colour
    assert any(np.array_equal(line.get_ydata(), [2.0, 3.0]) for line in axes.lines)


def test_models_are_named_below_a_single_group_and_in_the_legend_of_several():
    single = boxes("errors", "boxes", {"": groups()["as configured"]}, STYLES, "error")
    assert [t.get_text() for t in axes_of(single).get_xticklabels()] == ["no closure", "net"]
    legend = boxes("e", "e", groups(), STYLES, "error", notes=["net: lost"]).figure.legends[0]
    assert [text.get_text() for text in legend.get_texts()] == ["no closure", "net"]
    assert legend.get_title().get_text() == "net: lost"


@pytest.mark.parametrize(("far", "scale"), [(9.0, "linear"), (11.0, "log")])
def test_errors_far_apart_get_a_logarithmic_axis(far, scale):
    axes = axes_of(boxes("errors", "boxes", groups(far), STYLES, "error"))
    assert axes.get_yscale() == scale
    assert axes.get_ylim()[1] > far


def test_nothing_to_draw_is_still_a_figure_that_says_so():
    dead = {"as configured": {"net": np.full(2, NAN)}}
    panel = boxes("errors", "boxes", dead, STYLES, "error", notes=["net: all 2 members blew up"])
    panel.figure.canvas.draw()
    assert "all 2 members blew up" in panel.figure.legends[0].get_title().get_text()


def test_the_front_is_that_of_the_models_no_other_beats():
    found = {"a": (3.0, 1.0), "b": (1.0, 5.0), "c": (2.0, 5.0), "d": (2.0, 4.0), "e": (3.0, 1.0)}
    # c costs more than b for the same error; a and e are equal: neither beats the other
    assert pareto_front(found) == ["b", "d", "a", "e"]
    assert pareto_front({}) == []
    assert pareto_front({"one": (1.0, 1.0)}) == ["one"]


NAMES = {"none": (1.0, 8.0), "cheap": (2.0, 4.0), "beaten": (4.0, 6.0), "unstable": (3.0, 1.0),
         "best": (8.0, 2.0)}  # fmt: skip
LOOKS = looks(NAMES)


def scattered(sign=1, **more):
    found = [
        Point(LOOKS[n], x, y, y - 0.5, y + 0.5, hollow=n == "unstable")
        for n, (x, y) in NAMES.items()
    ]
    if sign < 0:
        found = [p._replace(value=10 - p.value, low=9.5 - p.value, high=10.5 - p.value)
                 for p in found]  # fmt: skip
    return axes_of(points("p", "p", found, "cost", "error", low_is_best=sign > 0, **more))


def test_points_have_the_front_of_the_solid_ones():
    axes = scattered()
    drawn = {bar.get_label(): bar[0] for bar in axes.containers}
    hollow = [name for name, bar in drawn.items() if bar.get_markerfacecolor() == "none"]
    assert hollow == ["unstable"]
    assert drawn["best"].get_xydata()[0] == pytest.approx((8.0, 2.0))
    front = next(line for line in axes.lines if line.get_label() == "Pareto front")
    x, y = front.get_data()
    np.testing.assert_allclose(x[1:4], [1.0, 2.0, 8.0])
    np.testing.assert_allclose(y[1:4], [8.0, 4.0, 2.0])
    assert (x[0], x[-1]) == (1.0, axes.get_xlim()[1])  # to the edges
    assert (y[0], y[-1]) == (axes.get_ylim()[1], 2.0)


def test_the_front_of_what_is_better_upwards():
    axes = scattered(-1)
    x, y = next(line for line in axes.lines if line.get_label() == "Pareto front").get_data()
    np.testing.assert_allclose(x[1:4], [1.0, 2.0, 8.0])
    np.testing.assert_allclose(y, [0.0, 2.0, 6.0, 8.0, 8.0])


def test_values_below_the_floor_are_shaded():
    axes = scattered(floor=3.0)
    (shade,) = axes.patches
    assert (shade.get_y(), shade.get_y() + shade.get_height()) == (axes.get_ylim()[0], 3.0)
    assert shade.get_label() == "sampling floor"
    assert not scattered().patches


def test_only_hollow_points_leave_no_front():
    found = [Point(STYLES["net"], 1.0, 1.0, NAN, NAN, hollow=True)]
    axes = axes_of(points("p", "p", found, "cost", "error"))
    assert "Pareto front" not in [line.get_label() for line in axes.lines]


def test_lines_have_bands_limits_and_marks():
    x = np.arange(1.0, 4.0)
    curve = Curve(STYLES["net"], x, x**2, (x, x**3))
    more = {"log": "xy", "limits": (0.5, 40.0), "down": (2.0, "cut")}
    axes = axes_of(lines("l", "l", [curve], "k", "E(k)", **more))
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert axes.get_ylim() == (0.5, 40.0)
    assert [line.get_label() for line in axes.lines] == ["net", "cut"]
    assert len(axes.collections) == 1


def test_bars_end_at_minus_one_and_an_arrow_says_so():
    values = {"net": [0.5, -3.0, NAN]}
    axes = axes_of(bars("b", "b", ["a", "b", "c"], values, STYLES, "similarity"))
    assert [bar.get_width() for bar in axes.patches] == [0.5, -1.0, 0.0]
    assert [line.get_ydata()[0] for line in axes.lines if line.get_marker() == "<"] == [1.0]


def test_a_field_of_one_dimension_is_a_line():
    line = PeriodicLine(8)
    panel = maps("f", "f", {"truth": np.sin(np.arange(8.0))}, line, "x")
    assert len(axes_of(panel).lines) == 1
    panel.figure.canvas.draw()


def test_a_matrix_has_its_numbers_and_crosses():
    values, crossed = np.array([[0.2, NAN], [0.5, 0.7]]), np.array([[False, False], [True, False]])
    axes = axes_of(matrix("m", "m", values, "ab", "cd", "rows", "columns", "error", crossed))
    shown = {(t.get_position(), t.get_text()) for t in axes.texts if t.get_text()}
    assert shown == {((0, 0), "0.20"), ((0, 1), "0.50"), ((1, 1), "0.70")}
    assert [tuple(line.get_xydata()[0]) for line in axes.lines] == [(0.0, 1.0)]


def test_a_rank_histogram_stands_beside_a_flat_one():
    shares = {"net": np.array([0.5, 0.25, 0.25])}
    axes = axes_of(histogram("h", "h", shares, STYLES, "rank", "share"))
    assert set(axes.lines[0].get_ydata()) == {1 / 3}
