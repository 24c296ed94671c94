"""The figure of the variants: every model in every group, and none that vanishes unseen."""

import numpy as np
import pytest
from matplotlib.patches import PathPatch

from subgrid.evaluation import BlowUp, Interval, OnlineScore
from subgrid.evaluation.score_plots import plot_error_boxes
from subgrid.evaluation.style import looks
from subgrid.evaluation.variant_plots import plot_variant_boxes

LAYERS = ("upper", "lower")


def score(name, *members):
    """Return the score of one network; members that are None blew up."""
    values = np.array([[np.nan if value is None else value for value in members]])
    dead = tuple(BlowUp(0, i, 10, 1.0) for i, value in enumerate(members) if value is None)
    keys = [f"kinetic_energy_spectrum_{layer}" for layer in LAYERS]
    nothing = Interval(np.nan, np.nan, np.nan)
    return OnlineScore(
        name, dead, np.isfinite(values), dict.fromkeys(keys, nothing), {}, {},
        {key: values * factor for key, factor in zip(keys, (1, 10), strict=True)},
        layers=("upper", "lower"))  # fmt: skip


def made_up(far=3.0):
    return {
        "as configured": {"none": score("none", 1.0, 2.0), "net": score("net", 2.0, 3.0)},
        "alpha-5": {"none": score("none", 1.5, 2.5), "net": score("net", None, None)},
        "alpha-10": {"none": score("none", 1.0, 1.0), "net": score("net", None, far)},
    }


STYLES = looks(["none", "net"])


def boxes(axes):
    """Return the middle in x and the colour of each box."""
    found = [patch for patch in axes.patches if isinstance(patch, PathPatch)]
    return [
        (round(float(np.mean(patch.get_path().get_extents().intervalx)), 6), patch.get_facecolor())
        for patch in found
    ]


def test_every_model_has_a_box_or_a_cross_in_every_group():
    panels = plot_variant_boxes(made_up(), STYLES)
    assert [panel.name for panel in panels] == ["variants_upper", "variants_lower"]
    axes = panels[0].figure.axes[0]
    ticks = [text.get_text() for text in axes.get_xticklabels()]
    assert ticks == ["as configured", "alpha-5", "alpha-10"]
    # two models in a group of width 0.84: at -0.21 and +0.21
    places, colours = zip(*boxes(axes), strict=True)
    assert places == (-0.21, 0.21, 0.79, 1.79, 2.21)
    assert colours[0] == colours[2] == colours[3]
    assert colours[1] == colours[4] != colours[0]
    crosses = [line for line in axes.lines if line.get_marker() == "x" and len(line.get_xdata())]
    assert [float(line.get_xdata()[0]) for line in crosses] == [pytest.approx(1.21)]
    assert crosses[0].get_color() == STYLES["net"].colour
    # the points of a member are those of its layer
    lower = panels[1].figure.axes[0]
    assert any(np.array_equal(line.get_ydata(), [20.0, 30.0]) for line in lower.lines)


def test_the_legend_names_the_models_that_lost_members():
    legend = plot_variant_boxes(made_up(), STYLES)[0].figure.legends[0]
    notes = legend.get_title().get_text().replace("\n", " ")
    assert "alpha-5: net: all 2 members blew up" in notes
    assert "alpha-10: net: 1 of 2 members blew up, 1 drawn" in notes
    assert "x: no member to draw" in notes
    assert "as configured" not in notes
    assert [text.get_text() for text in legend.get_texts()] == ["no closure", "net"]


@pytest.mark.parametrize(("far", "scale"), [(9.0, "linear"), (11.0, "log")])
def test_errors_far_apart_get_a_logarithmic_axis(far, scale):
    axes = plot_variant_boxes(made_up(far), STYLES)[0].figure.axes[0]
    assert axes.get_yscale() == scale
    assert axes.get_ylim()[1] > far
    single = {"none": score("none", 1.0, 2.0), "net": score("net", 2.0, far)}
    assert plot_error_boxes(single, STYLES)[0].figure.axes[0].get_yscale() == scale


def test_nothing_to_draw_is_still_a_figure_that_says_so():
    dead = {"as configured": {"net": score("net", None, None)}}
    panel = plot_variant_boxes(dead, STYLES)[0]
    panel.figure.canvas.draw()
    assert "all 2 members blew up" in panel.figure.legends[0].get_title().get_text()
