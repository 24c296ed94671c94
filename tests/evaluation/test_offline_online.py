"""Rank correlations between offline and online errors, against some made by hand."""

import numpy as np
import pytest
import xarray as xr

from subgrid.evaluation.offline_online import foresight_table, rank_correlation


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([1.0, 2.0, 3.0], [10.0, 20.0, 500.0], 1.0),
        ([1.0, 2.0, 3.0], [3.0, 2.0, 1.0], -1.0),
        # ranks 0 1 2 3 and 1 0 2 3: 1 - 6 · 2 / (4 · 15)
        ([1.0, 2.0, 3.0, 4.0], [2.0, 1.0, 3.0, 4.0], 0.8),
        # ranks ½ ½ 2 and 0 1 2, from their means: -½ -½ 1 and -1 0 1
        ([5.0, 5.0, 7.0], [1.0, 2.0, 3.0], 1.5 / np.sqrt(1.5 * 2)),
        ([1.0, np.nan, 3.0], [1.0, 2.0, 3.0], np.nan),
    ],
)
def test_rank_correlation_by_hand(one, other, expected):
    assert rank_correlation(one, other) == pytest.approx(expected, nan_ok=True)


def run(upper, lower, blew_up_at=-1):
    """Return two members whose spectra lie off by `upper` and `lower` in their mean."""
    spectra = np.stack([np.full((2, 3), 5.0) + side for side in (-1.0, 1.0)])
    spectra += np.array([upper, lower])[:, None]
    spectra[:, :, 2] += 1e3  # beyond the cut
    return xr.Dataset(
        {
            "kinetic_energy_spectrum": (("member", "level", "wavenumber"), spectra),
            "blew_up_at": ("member", [-1, blew_up_at]),
        },
        {"wavenumber": [1.0, 2.0, 3.0], "time": [10.0]},
        {"dt": 10.0},
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


RUNS = {
    "none": [run(9.0, 9.0)],
    "net": [run(1.0, 1.0), run(2.0, 2.0), run(3.0, 5.0)],
    "classical": [run(4.0, 4.0)],
    "other": [run(5.0, 3.0)],
}
OFFLINE = {
    "net": [offline(0.1, 0.9, 0.9), offline(0.2, 0.8, 0.8, 2.0), offline(0.3, 0.5, 1.5, 3.0)],
    "classical": [offline(0.4, 0.6, 0.4, 4.0)],
    "other": [offline(0.5, 0.7, 1.7, 5.0)],
}


def table(offline=OFFLINE, runs=RUNS):
    return foresight_table(offline, runs, run(0.0, 0.0), baseline="none", cut=2.5)


def test_every_offline_error_is_ranked_against_the_free_runs_of_its_layer():
    rows = {row[0]: row[1:] for row in table().rows}
    # upper: R² grows with the error; lower: it falls from 0.9 to 0.5 as the error grows to 5
    assert rows["1 - R²"] == ("-1.00", "1.00")
    assert rows["relative ℓ2"] == rows["relative spectral ℓ2"] == ("1.00", "0.60")
    # 1 - 6 · (2² + 2²) / (5 · 24), errors of the energy too: 0.1, 0.2, 0.5, 0.6, 0.7 for errors
    # online of 1, 2, 3, 4, 5 and 1, 2, 5, 4, 3
    assert rows["energy added"] == ("1.00", "0.60")
    assert rows["1 - R² below the filter"][1] == "-"  # not known for the lower layer
    assert "over 5 networks and closures" in table().note


def test_networks_that_lost_a_member_and_older_runs_are_left_out():
    dead = RUNS | {"other": [run(5.0, 3.0, blew_up_at=1)]}
    assert not table(runs=dead).rows  # four are too few
    older = {**OFFLINE, "classical": [OFFLINE["classical"][0].drop_vars("work_spectrum")]}
    assert not table(older).rows


def test_members_without_a_closure_that_blew_up_leave_none():
    assert not table(runs=RUNS | {"none": [run(9.0, 9.0, blew_up_at=1)]}).rows
