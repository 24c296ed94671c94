"""The overview of a report, against numbers made by hand."""

import numpy as np
import pytest
import xarray as xr

from subgrid.evaluation import (
    Interval,
    OnlineScore,
    StepCost,
    render_html,
    render_markdown,
)
from subgrid.evaluation.overview import overview_table
from subgrid.evaluation.style import looks
from subgrid.evaluation.survival import BlowUp

KEYS = ("kinetic_energy_spectrum_upper", "kinetic_energy_spectrum_lower")


def score(name, errors, reductions=(), similarity=(), cost=None, dead=0):
    return OnlineScore(
        name=name,
        blow_ups=tuple(BlowUp(0, member, 10, 1.0) for member in range(dead)),
        scored=np.ones((1, 3), bool),
        errors={
            key: Interval(value, value, value) for key, value in zip(KEYS, errors, strict=True)
        },
        reductions=dict(zip(KEYS, reductions, strict=False)),
        similarity={str(index): value for index, value in enumerate(similarity)},
        member_errors={},
        cost=None if cost is None else StepCost(1e-3 * cost, cost),
        floors=dict(zip(KEYS, (0.5, 0.1), strict=True)),
        layers=("upper", "lower"),
    )


SCORES = {
    one.name: one
    for one in (
        score("none", (4.0, 0.2), cost=1.0),
        score(
            "costly",
            (1.0, 0.1),
            reductions=(Interval(0.75, 0.6, 0.8), Interval(0.5, -0.25, 0.625)),
            similarity=(0.9, -3.0, 0.5, 0.7),
            cost=123.0,
            dead=2,
        ),
        score(
            "cheap",
            (8.0, 0.2),
            reductions=(Interval(-1.0, np.nan, np.nan), Interval(0.0, np.nan, np.nan)),
            similarity=(0.1, 0.2, 0.3),
            cost=2.0,
        ),
        score("untimed", (4.0, 0.2), reductions=(Interval(0.0, 0.0, 0.0),) * 2),
    )
}
OFFLINE = {
    "costly": [
        xr.Dataset(
            {
                "r_squared": ("level", r),
                "r_squared_below_filter": ("level", below),
                "work_spectrum": (("source", "wavenumber"), [work, [1.0, 3.0, -2.0]]),
            }
        )
        for r, below, work in (
            ([0.4, 0.8], [0.1, 0.2], [0.0, 4.0, 9.0]),  # misses 1 and 1 of 4: 0.5
            ([0.6, 0.9], [0.3, np.nan], [0.0, 0.0, 0.0]),  # adds nothing: 1
        )
    ]
}


@pytest.fixture
def table():
    return overview_table(SCORES, OFFLINE, looks(SCORES), {})


def test_rows_are_those_made_by_hand(table):
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["no closure"] == ("1", "1.00", "1.00", "-", "-", "-", "-", "0 of 3")
    # the upper end of a reduction is the lower end of what remains; the median of four similarities
    # is the mean of 0.5 and 0.7; R² and energy means of two networks
    assert rows["costly"] == (
        "123", "0.25 [0.20, 0.40]", "0.50 [0.38, 1.25]", "0.60", "0.50 / 0.85", "0.20 / -", "0.75",
        "2 of 3",
    )  # fmt: skip
    assert rows["cheap"] == ("2", "2.00", "1.00", "0.20", "-", "-", "-", "0 of 3")
    assert rows["sampling floor"][1:3] == ("0.12", "0.50")  # 0.5 / 4 and 0.1 / 0.2


def test_the_cheapest_comes_first_and_the_untimed_last(table):
    shown = [row[0] for row in table.rows]
    assert shown == ["no closure", "cheap", "costly", "untimed", "sampling floor"]
    assert {len(row) for row in table.rows} == {len(table.columns)}


def test_without_any_run_that_is_scored_there_is_nothing_to_say():
    alone = score("none", (np.nan, np.nan), cost=1.0, dead=3)
    alone.scored[:] = False
    rows = overview_table({"none": alone}, {}, looks(["none"]), {}).rows
    assert rows[0][1:4] == ("1", "-", "-")
    assert rows[1][2:4] == ("-", "-")


def test_similarities_that_are_not_known_are_left_out():
    known = score("x", (1.0, 0.1), (Interval(0.5, 0.4, 0.6),) * 2, (0.2, np.nan, 0.4))
    assert known.median_similarity == pytest.approx(0.3)
    assert np.isnan(score("x", (1.0, 0.1)).median_similarity)


def test_the_report_shows_it_before_all_else(data):
    for page in (render_html(data), render_markdown(data)):
        assert page.index("Overview") < page.index("Verdicts")
    for row in data.overview.rows:
        assert "| " + " | ".join(row) + " |" in page
        assert len(row) == len(data.overview.columns)
