"""Legends that fit their figure, logarithmic axes that are labelled, panels of any width."""

import io

import numpy as np
import pytest

from subgrid.evaluation.report import section
from subgrid.evaluation.style import (
    PANEL_INCHES,
    Panel,
    add_legend,
    data_uri,
    log_axis,
    new_panel,
    panel_inches,
    styled,
)


@styled
def drawn(labels, notes=()):
    figure, (axes,) = new_panel()
    for label in labels:
        axes.plot([0, 1], [0, 1], label=label)
    add_legend(figure, axes, notes)
    figure.savefig(io.BytesIO(), dpi=figure.dpi)  # lays it out
    return figure, axes


def test_a_short_legend_leaves_the_figure_as_it_is():
    figure, _ = drawn(["truth", "net"])
    assert tuple(figure.get_size_inches()) == PANEL_INCHES


@pytest.mark.parametrize("name", ["model", "compact-multiscale, validation"])
def test_a_long_legend_fits_and_leaves_the_panel_its_height(name):
    notes = ["a model with a long name, alpha-10: 3 of 16 members blew up, 13 drawn, others not"]
    figure, axes = drawn([f"{name} {number}" for number in range(17)], notes)
    assert figure.get_figwidth() == PANEL_INCHES[0]
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.width
    _, usual = drawn(["truth", "net"])
    height = axes.get_window_extent().height
    # the line height is a round number: the panel may lose or gain a quarter
    assert height == pytest.approx(usual.get_window_extent().height, rel=0.25)


@pytest.mark.parametrize("values", [[1.0, 1.01], [0.11, 0.19], [3e-4, 5.0], [np.nan, 0.0, 2.0]])
def test_a_logarithmic_axis_holds_its_values_and_has_labels(values):
    figure, (axes,) = new_panel()
    log_axis(axes.yaxis, values)
    figure.canvas.draw()
    low, high = axes.get_ylim()
    positive = [value for value in values if value > 0]
    assert low < min(positive)
    assert high > max(positive)
    inside = [tick for tick in axes.get_yticks() if low <= tick <= high]
    assert inside
    assert axes.get_xscale() == "linear"


def test_a_panel_grows_with_what_stands_in_it_and_is_shown_wide():
    assert panel_inches(3) == PANEL_INCHES
    assert panel_inches(20, 0.4) == (9.0, PANEL_INCHES[1])
    panels = [
        Panel("a", new_panel()[0], "a"),
        Panel("b", new_panel(inches=panel_inches(20))[0], "b"),
    ]
    assert [image.wide for image in section("t", "c", panels).images] == [False, True]


def test_a_label_longer_than_its_axis_is_broken_before_its_units_not_cut():
    figure, (axes,) = new_panel()
    axes.plot([0, 1], [0, 1])
    axes.set_ylabel("error of the spectrum of the total kinetic energy, both layers [m³ s⁻²]")
    data_uri(figure)
    assert axes.get_ylabel().endswith("both layers\n[m³ s⁻²]")
    box = axes.yaxis.label.get_window_extent()
    assert box.x0 >= 0
    assert box.y0 >= 0
    assert box.y1 <= figure.bbox.y1


def test_a_label_that_fits_stays_on_one_line():
    figure, (axes,) = new_panel()
    axes.set_ylabel("error of the spectrum [m³ s⁻²]")
    data_uri(figure)
    assert "\n" not in axes.get_ylabel()
