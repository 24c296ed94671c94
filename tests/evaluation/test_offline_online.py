"""Rank correlations between offline and online errors, against some made by hand."""

import itertools

import numpy as np
import pytest
import xarray as xr

from subgrid.evaluation import Interval, OnlineScore
from subgrid.evaluation.offline_online import chance_level, foresight_table, rank_correlation
from subgrid.evaluation.survival import BlowUp


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


def score(name, upper, lower, dead=0):
    keys = ("kinetic_energy_spectrum_upper", "kinetic_energy_spectrum_lower")
    return OnlineScore(
        name=name,
        blow_ups=tuple(BlowUp(0, member, 10, 1.0) for member in range(dead)),
        scored=np.ones((1, 3), bool),
        errors={k: Interval(v, v, v) for k, v in zip(keys, (upper, lower), strict=True)},
        reductions={},
        similarity={},
        member_errors={},
        layers=("upper", "lower"),
    )


def offline(upper, lower, work, pooled=1.0):
    """Return offline scores: R² of each layer, energy added where the truth adds 1."""
    return xr.Dataset(
        {
            "r_squared": ("level", [upper, lower]),
            "r_squared_below_filter": ("level", [0.5, np.nan]),
            "pooled_relative_l2": pooled,
            "pooled_relative_spectral_l2": 2.0 * pooled,
            "work_spectrum": (("source", "wavenumber"), [[work, 0.0, 0.0], [1.0, 0.0, -1.0]]),
        }
    )


# errors online 1 … 6 in the upper layer, 1 2 5 4 3 6 in the lower one; R² up and down with them
ERRORS = dict(zip("abcdef", [(1, 1), (2, 2), (3, 5), (4, 4), (5, 3), (6, 6)], strict=True))
SCORES = {name: score(name, *map(float, pair)) for name, pair in ERRORS.items()}
OFFLINE = {
    # of two networks the mean counts: R² 0.1 and 0.95, energy 0.9 and 1.1, so 0.1 wrong
    "a": [offline(0.0, 1.0, 0.85, 0.5), offline(0.2, 0.9, 1.05, 1.5)],
    "b": [offline(0.2, 0.8, 0.8, 2.0)],
    "c": [offline(0.3, 0.5, 1.5, 3.0)],
    "d": [offline(0.4, 0.6, 0.4, 4.0)],
    "e": [offline(0.5, 0.7, 1.7, 5.0)],
    "f": [offline(0.6, 0.4, 0.1, 6.0)],
}


def test_every_offline_error_is_ranked_against_the_free_runs_of_its_layer():
    table = foresight_table(OFFLINE, SCORES | {"none": score("none", 9.0, 9.0)})
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["1 - R²"] == ("-1.00", "1.00")
    # lower layer: 1 - 6 · (2² + 2²) / (6 · 35)
    assert rows["relative ℓ2"] == rows["relative spectral ℓ2"] == ("1.00", "0.77")
    assert rows["error of the energy added"] == ("1.00", "0.77")
    assert rows["1 - R² below the filter"] == ("-", "-")  # all equal, and not known
    assert "over 6 models" in table.note


def test_models_with_lost_members_are_worse_than_all_others():
    lost = SCORES | {"a": score("a", 1.0, 1.0, dead=1)}
    rows = {row[0]: row[1:] for row in foresight_table(OFFLINE, lost).rows}
    # "a" is now last, with the least error offline: ranks 0 … 5 and 5 0 1 2 3 4
    assert rows["relative ℓ2"][0] == f"{1 - 6 * (25 + 5) / (6 * 35):.2f}"


def test_older_runs_and_few_models_have_no_table():
    older = {**OFFLINE, "d": [OFFLINE["d"][0].drop_vars("work_spectrum")]}
    assert not foresight_table(older, SCORES).rows
    few = {name: sets for name, sets in OFFLINE.items() if name != "f"}
    assert not foresight_table(few, SCORES).rows
