"""One model against another: ratios by hand, members paired, networks drawn on their own."""

import json

import numpy as np
import pytest
import xarray as xr

from subgrid.evaluation import StepCost, compare, pair_record, with_costs
from subgrid.evaluation import table as read

EIGHT = np.arange(1.0, 9.0)


def spectra(values, factor=10.0, dead=()):
    """Return a run with one bin below the cut: `values` per member, `factor` times in layer two."""
    values = np.asarray(values, float)
    layers = np.stack([values, factor * values], axis=1)[..., None]
    bins = np.concatenate([layers, 1e6 * np.ones_like(layers)], axis=-1)  # one beyond the cut
    blown = np.full(len(values), -1)
    blown[list(dead)] = 1
    return xr.Dataset(
        {
            "kinetic_energy_spectrum": (("member", "level", "wavenumber"), bins),
            "blew_up_at": ("member", blown),
        },
        coords={
            "wavenumber": [1.0, 3.0],
            "time": [1.0],
            "level": ("level", [1, 2], {"names": "upper lower", "long_name": "layer"}),
        },
        attrs={"dt": 1.0},
    )


def compared(model, other, dead=((), ())):
    """Return the table of two models, each a list of spectra per network; no truth: zero."""
    members = len(model[0])
    runs = {
        name: [
            spectra(one, dead=[m for n, m in lost if n == number])
            for number, one in enumerate(sets)
        ]
        for name, sets, lost in zip("ab", (model, other), dead, strict=True)
    }
    truth, options = spectra(np.zeros(members)), {"cut": 2.0, "samples": 400}
    return compare(runs, truth, ["spectral_error"], pairs=[("a", "b")], **options)


def ratio(table, part="upper"):
    return read.ratios(table, "a", "b")[part]


def test_the_ratio_is_that_of_the_mean_errors_of_all_networks():
    found = compared([np.ones(8)], [2 * np.ones(8), 6 * np.ones(8)])
    for layer in ("upper", "lower"):
        assert ratio(found, layer).estimate == pytest.approx(1 / 4)
        # the two networks of the other: both the one, each once, both the other
        assert ratio(found, layer).low == pytest.approx(1 / 6)
        assert ratio(found, layer).high == pytest.approx(1 / 2)
    assert read.compared_members(found, "a", "b") == 8


def test_members_are_paired_and_networks_are_not():
    paired = ratio(compared([EIGHT], [2 * EIGHT]))
    assert (paired.low, paired.high) == pytest.approx((0.5, 0.5))
    networks = [np.ones(8), 3 * np.ones(8)]
    crossed = ratio(compared(networks, networks))
    assert crossed.estimate == pytest.approx(1)
    assert crossed[1:3] == pytest.approx((1 / 3, 3))


def test_only_members_that_all_networks_of_both_survived_are_compared():
    wild = np.where(EIGHT == 1, 1e9, 1.0)  # the member that network 1 of the other loses
    found = compared([wild], [2 * np.ones(8), 2 * wild], dead=((), [(1, 0)]))
    assert read.compared_members(found, "a", "b") == 7
    assert ratio(found).estimate == pytest.approx(0.5)


def test_a_network_without_a_run_is_left_out_and_a_model_without_one_is_not_compared():
    dead = [(1, member) for member in range(8)]
    found = compared([4 * EIGHT, 9 * EIGHT], [2 * EIGHT], dead=(dead, ()))
    assert ratio(found, "lower").estimate == pytest.approx(2)
    lost = compared([EIGHT, EIGHT], [EIGHT], dead=([*dead, *((0, m) for m in range(8))], ()))
    assert read.compared_members(lost, "a", "b") == 0
    assert np.isnan(ratio(lost).estimate)


def test_the_record_says_the_same():
    table = compared([EIGHT], [2 * EIGHT], dead=((), [(0, 3)]))
    plain = pair_record(table, "a", "b", None)
    assert plain["cost"] is None
    timed = with_costs(table, {"a": StepCost(1e-3, 1.0), "b": StepCost(4e-3, 4.0)})
    record = json.loads(json.dumps(pair_record(timed, "a", "b", {"a": (400, 400), "b": (800,)})))
    assert record["error_ratio"]["upper"]["estimate"] == pytest.approx(0.5)
    assert record["cost"]["ratio"] == 0.25
    assert (record["model"], record["other"], record["members"]) == ("a", "b", 7)
    assert record["updates"] == [[400, 400], [800]]
    assert record["finding"] == (
        "smaller error; training seeds not covered; unequal budgets; 1 of 8 runs of b blew up"
    )
