"""The figure of the separated experiments: every network where it belongs."""

import numpy as np
import pytest
import xarray as xr

from subgrid.recipes.separated_scores import (
    TASK_PAIRS,
    SeparatedScores,
    _panel,
    cases_beside,
    separated_part,
)


def case(network, task, high, low, *samples):
    names = ("mse", "relative_l2", "relative_spectral_l2")
    sets = tuple(xr.Dataset({n: ("sample", np.array(v)) for n in names}) for v in samples)
    return SeparatedScores(network, network, task, high, low, sets)


def plot_separated(scores):
    """Return the panels of the figure."""
    return [_panel(cases_beside(scores, tasks), tasks) for tasks in TASK_PAIRS]


MADE_UP = [
    case("small", "direct", 64, 64, [0.5, 0.7]),
    case("small", "coarsened", 64, 48, [0.1, 0.3], [0.4, 0.4]),
    case("small", "across", 64, 48, [0.8, 0.8], [0.9, 0.9]),
    case("small", "buildup", 64, 48, [0.3, 0.3]),
    case("small", "coarsened", 64, 32, [0.01, 0.03], [0.05, 0.05]),
    case("small", "across", 64, 32, [0.08, 0.08], [0.07, 0.07]),
    case("small", "buildup", 64, 32, [0.35, 0.45]),
]


def test_every_network_is_a_point_at_its_mean():
    panels = {panel.name: panel.figure.axes[0] for panel in plot_separated(MADE_UP)}
    assert list(panels) == ["separated_coarsened_across", "separated_buildup_direct"]
    axes = panels["separated_coarsened_across"]
    assert axes.get_yscale() == "log"
    assert [text.get_text() for text in axes.get_xticklabels()] == ["small\n64,48", "small\n64,32"]
    coarsened, across = axes.lines
    np.testing.assert_allclose(coarsened.get_ydata(), [0.2, 0.4, 0.02, 0.05])  # means of samples
    np.testing.assert_allclose(across.get_ydata(), [0.8, 0.9, 0.08, 0.07])
    # one task left of its tick, the other right of it, no two points in one place
    np.testing.assert_array_equal(np.rint(coarsened.get_xdata()), [0, 0, 1, 1])
    assert np.all(coarsened.get_xdata() < np.rint(coarsened.get_xdata()))
    assert np.all(across.get_xdata() > np.rint(across.get_xdata()))
    assert len({*coarsened.get_xdata(), *across.get_xdata()}) == 8
    assert coarsened.get_color() != across.get_color()
    assert coarsened.get_marker() != across.get_marker()
    low, high = axes.get_ylim()
    assert low < 0.02
    assert high > 0.9


def test_direct_stands_beside_every_lower_size():
    _, panel = plot_separated(MADE_UP)
    buildup, direct = panel.figure.axes[0].lines
    np.testing.assert_allclose(buildup.get_ydata(), [0.3, 0.4])
    np.testing.assert_allclose(direct.get_ydata(), [0.6, 0.6])
    assert "buildup and direct" in panel.alt


@pytest.mark.parametrize("values", [[0.5], [0.5, np.nan]])
def test_a_network_without_a_finite_error_leaves_the_others_drawn(values):
    cases = [case("net", task, 8, 8 if task == "direct" else 4, values) for task in
             ("coarsened", "across", "buildup", "direct")]  # fmt: skip
    for panel in plot_separated(cases):
        assert np.isfinite(panel.figure.axes[0].get_ylim()).all()
        panel.figure.canvas.draw()


def test_the_verdicts_count_the_cases_and_give_the_range_of_ratios():
    first, second = separated_part(MADE_UP).verdicts
    # coarsened over across: 0.3/0.85 and 0.035/0.075; buildup over direct: 0.3/0.6 and 0.4/0.6
    assert first.label == "coarsened against across"
    assert first.outcome == "better"
    assert "in 2 of 2 cases; ratio of mean squared errors 0.35 to 0.47, median 0.41" in (
        first.sentence
    )
    # 64, 48 and 32 stand in for the published 128, 96 and 64
    assert "published: 0.40 to 0.81, median 0.60" in first.sentence
    assert "0.50 to 0.67, median 0.58" in second.sentence
    worse = [
        case("own", "coarsened", 64, 48, [0.5]),
        case("own", "across", 64, 48, [0.4]),
        case("own", "direct", 64, 64, [0.4]),
        case("own", "buildup", 64, 48, [0.2]),
    ]
    found = separated_part(worse).verdicts
    assert [verdict.outcome for verdict in found] == ["worse", "better"]
    assert "published" not in found[0].sentence


def test_the_summary_counts_the_trainings():
    assert separated_part(MADE_UP).summary.startswith("11 trainings of small: ")
