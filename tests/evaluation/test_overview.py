"""The overview of a report, costs and foresight, against numbers made by hand."""

import itertools

import numpy as np
import pytest
import xarray as xr
from made_tables import NAN, made_table, model

from subgrid.evaluation import Findings, NetworkSize, Timing, render_html, render_markdown
from subgrid.evaluation.overview import overview_table
from subgrid.evaluation.sections_cost import cost_section, cost_table
from subgrid.evaluation.sections_offline import chance_level, foresight_table, rank_correlation
from subgrid.evaluation.style import looks

DT = 21600.0  # four steps a day
FLOORS = (0.5, 0.1)
SHAPE = (1, 3)
MODELS = {
    "none": model(4.0, 0.2, cost=1.0, floors=FLOORS, shape=SHAPE, similar=(0.0,) * 4),
    "costly": model(
        1.0,
        0.1,
        gains=((0.75, 0.6, 0.8), (0.5, -0.25, 0.625)),
        similar=(0.9, -3.0, 0.5, 0.7),
        cost=123.0,
        dead=((0, 0), (0, 1)),
        floors=FLOORS,
        shape=SHAPE,
    ),
    "cheap": model(
        8.0,
        0.2,
        gains=((-1.0, NAN, NAN), (0.0, NAN, NAN)),
        similar=(0.1, 0.2, 0.3, NAN),
        cost=2.0,
        floors=FLOORS,
        shape=SHAPE,
    ),
    "untimed": model(4.0, 0.2, gains=(0.0, 0.0), floors=FLOORS, shape=SHAPE, similar=(NAN,) * 4),
}
OFFLINE = {
    "costly": [
        xr.Dataset(
            {
                "r_squared": ("channel", r),
                "r_squared_below_filter": ("channel", below),
                "work_spectrum": (("source", "wavenumber"), [work, [1.0, 3.0, -2.0]]),
            }
        )
        for r, below, work in (
            ([0.4, 0.8], [0.1, 0.2], [0.0, 4.0, 9.0]),  # misses 1 and 1 of 4: 0.5
            ([0.6, 0.9], [0.3, np.nan], [0.0, 0.0, 0.0]),  # adds nothing: 1
        )
    ]
}


def found(models, coarse=None, **more):
    """Return findings of nothing but a table."""
    runs = {name: [xr.Dataset()] for name in models}
    return Findings(coarse, xr.Dataset(), runs, made_table(models), 1.0, **more)


@pytest.fixture
def table():
    return overview_table(found(MODELS, offline=OFFLINE), looks(MODELS))


def test_rows_are_those_made_by_hand(table):
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["no closure"] == ("1", "1.00", "1.00", "-", "-", "-", "-", "0 of 3")
    # the upper end of a reduction is the lower end of what remains; the median of four similarities
    # is the mean of 0.5 and 0.7; R² and energy means of two networks
    assert rows["costly"] == (
        "123", "0.25 [0.20, 0.40]", "0.50 [0.38, 1.25]", "0.60", "0.50 / 0.85", "0.20 / -", "0.75",
        "2 of 3",
    )  # fmt: skip
    # similarities that are not known are left out
    assert rows["cheap"] == ("2", "2.00", "1.00", "0.20", "-", "-", "-", "0 of 3")
    assert rows["sampling floor"][1:3] == ("0.12", "0.50")  # 0.5 / 4 and 0.1 / 0.2


def test_the_cheapest_comes_first_and_the_untimed_last(table):
    shown = [row[0] for row in table.rows]
    assert shown == ["no closure", "cheap", "costly", "untimed", "sampling floor"]
    assert {len(row) for row in table.rows} == {len(table.columns)}


def test_without_any_run_that_is_scored_there_is_nothing_to_say():
    every = ((0, 0), (0, 1), (0, 2))
    alone = {"none": model(NAN, NAN, cost=1.0, dead=every, shape=SHAPE)}
    rows = overview_table(found(alone), looks(alone)).rows
    assert rows[0][1:4] == ("1", "-", "-")
    assert rows[1][2:4] == ("-", "-")


def test_the_report_shows_it_before_all_else(data):
    for page in (render_html(data), render_markdown(data)):
        assert page.index("Overview") < page.index("Verdicts")
    for row in data.overview.rows:
        assert "| " + " | ".join(row) + " |" in page
        assert len(row) == len(data.overview.columns)


COSTS = {
    "none": model((8.0, 4.0, 12.0), 8.0, cost=0.25),
    "best": model((2.0, 1.0, 3.0), 2.0, cost=2.0),
    "untimed": model(1.0, 1.0),
}


def test_title_and_caption_say_what_was_timed_and_whether_it_is_worth_it():
    styles = looks(COSTS)
    (alone,) = cost_section(found(COSTS, timing=Timing(DT, "an abacus")), styles)
    assert alone.title == "Skill against cost"
    assert "timed on an abacus" in alone.caption
    assert [image.name for image in alone.images] == ["skill_cost_upper", "skill_cost_lower"]
    timing = Timing(DT, "an abacus", finer_grids=True)
    (grids,) = cost_section(found(COSTS, timing=timing), styles)
    assert grids.title == "Is it worth its cost? Skill against cost"
    untimed = {"untimed": COSTS["untimed"]}
    assert cost_section(found(untimed, timing=Timing(DT, "an abacus")), styles) == []
    lasting = {name: {**one, "time": (3.0, 2.0, 4.0)} for name, one in COSTS.items()}
    (both,) = cost_section(found(lasting, timing=timing), styles)
    assert both.images[0].name == "lasting_cost"
    assert both.caption.startswith("How long runs follow the truth, and error of the kinetic")


def test_the_table_has_times_ratios_and_sizes_where_known():
    sizes, styles = {"best": NetworkSize(12345, 6789.0)}, looks(COSTS)
    table = cost_table(found(COSTS, timing=Timing(DT, "an abacus", sizes)), styles)
    rows = {row[0]: row[1:] for row in table.rows}
    assert table.columns[3:] == (
        "time per simulated day [ms]", "weights", "kFLOP per cell and step",
    )  # fmt: skip
    assert rows["best"] == ("2", "2", "8", "12,345", "6.79")
    assert rows["no closure"] == ("0.25", "0.25", "1", "-", "-")
    assert "untimed" not in rows
    assert "an abacus" in table.note
    plain = cost_table(found(COSTS, timing=Timing(DT, "an abacus")), styles)
    assert {len(row) for row in plain.rows} == {len(plain.columns)} == {4}


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([1.0, 2.0, 3.0], [10.0, 20.0, 500.0], 1.0),
        ([1.0, 2.0, 3.0], [3.0, 2.0, 1.0], -1.0),
        # ranks 0 1 2 3 and 1 0 2 3: 1 - 6 · 2 / (4 · 15)
        ([1.0, 2.0, 3.0, 4.0], [2.0, 1.0, 3.0, 4.0], 0.8),
        # ranks ½ ½ 2 and 0 1 2, from their means: -½ -½ 1 and -1 0 1
        ([5.0, 5.0, 7.0], [1.0, 2.0, 3.0], 1.5 / np.sqrt(1.5 * 2)),
        ([1.0, 2.0, 3.0], [(0, 9.0), (1, 2.0), (1, 3.0)], 1.0),
        ([1.0, np.nan, 3.0], [1.0, 2.0, 3.0], np.nan),
        ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0], np.nan),
    ],
)
def test_rank_correlation_by_hand(one, other, expected):
    assert rank_correlation(one, other) == pytest.approx(expected, nan_ok=True)


def test_chance_level_is_that_of_all_orders():
    lists = [rank_correlation(range(6), order) for order in itertools.permutations(range(6))]
    # values of so few are steps apart of 2/35; the level lies on one of them
    assert chance_level(6) == pytest.approx(np.quantile(np.abs(lists), 0.95), abs=2 / 35 + 1e-9)
    assert np.isnan(chance_level(1))


def offline(upper, lower, work, pooled=1.0):
    """Return offline scores: R² of each layer, energy added where the truth adds 1."""
    return xr.Dataset(
        {
            "r_squared": ("channel", [upper, lower]),
            "r_squared_below_filter": ("channel", [0.5, np.nan]),
            "pooled_relative_l2": pooled,
            "pooled_relative_spectral_l2": 2.0 * pooled,
            "work_spectrum": (("source", "wavenumber"), [[work, 0.0, 0.0], [1.0, 0.0, -1.0]]),
        }
    )


# errors online 1 … 6 in the upper layer, 1 2 5 4 3 6 in the lower one; R² up and down with them
ERRORS = dict(zip("abcdef", [(1, 1), (2, 2), (3, 5), (4, 4), (5, 3), (6, 6)], strict=True))
ONLINE = {"none": model(9.0, 9.0)} | {
    name: model(*map(float, pair), gains=(0.0, 0.0)) for name, pair in ERRORS.items()
}
FORETOLD = {
    # of two networks the mean counts: R² 0.1 and 0.95, energy 0.9 and 1.1, so 0.1 wrong
    "a": [offline(0.0, 1.0, 0.85, 0.5), offline(0.2, 0.9, 1.05, 1.5)],
    "b": [offline(0.2, 0.8, 0.8, 2.0)],
    "c": [offline(0.3, 0.5, 1.5, 3.0)],
    "d": [offline(0.4, 0.6, 0.4, 4.0)],
    "e": [offline(0.5, 0.7, 1.7, 5.0)],
    "f": [offline(0.6, 0.4, 0.1, 6.0)],
}


def test_every_offline_error_is_ranked_against_the_free_runs_of_its_layer():
    table = foresight_table(FORETOLD, made_table(ONLINE))
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["1 - R²"] == ("-1.00", "1.00")
    # lower layer: 1 - 6 · (2² + 2²) / (6 · 35)
    assert rows["relative ℓ2"] == rows["relative spectral ℓ2"] == ("1.00", "0.77")
    assert rows["error of the energy added"] == ("1.00", "0.77")
    assert rows["1 - R² below the filter"] == ("-", "-")  # all equal, and not known
    assert "over 6 models" in table.note


def test_models_with_lost_members_are_worse_than_all_others():
    lost = ONLINE | {"a": model(1.0, 1.0, gains=(0.0, 0.0), dead=((0, 0),))}
    rows = {row[0]: row[1:] for row in foresight_table(FORETOLD, made_table(lost)).rows}
    # "a" is now last, with the least error offline: ranks 0 … 5 and 5 0 1 2 3 4
    assert rows["relative ℓ2"][0] == f"{1 - 6 * (25 + 5) / (6 * 35):.2f}"


def test_closures_without_the_energy_added_and_few_models_have_no_table():
    older = {**FORETOLD, "d": [FORETOLD["d"][0].drop_vars("work_spectrum")]}
    assert not foresight_table(older, made_table(ONLINE)).rows
    few = {name: sets for name, sets in FORETOLD.items() if name != "f"}
    assert not foresight_table(few, made_table(ONLINE)).rows
