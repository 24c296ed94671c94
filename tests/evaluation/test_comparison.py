"""One model against another: ratios by hand, members paired, networks drawn on their own."""

import dataclasses
import json

import numpy as np
import pytest
import xarray as xr

from subgrid.evaluation import BlowUp, Interval, OnlineScore, StepCost, compare_online
from subgrid.evaluation.style import looks
from subgrid.evaluation.tables import comparison_table

EIGHT = np.arange(1.0, 9.0)


def spectra(values, factor=10.0):
    """Return a run with one bin below the cut: `values` per member, `factor` times in layer two."""
    values = np.asarray(values, float)
    layers = np.stack([values, factor * values], axis=1)[..., None]
    bins = np.concatenate([layers, 1e6 * np.ones_like(layers)], axis=-1)  # one beyond the cut
    return xr.Dataset(
        {
            "kinetic_energy_spectrum": (("member", "level", "wavenumber"), bins),
            "blew_up_at": ("member", np.full(len(values), -1)),
        },
        coords={"wavenumber": [1.0, 3.0], "time": [1.0]},
        attrs={"dt": 1.0},
    )


def score(name, networks, members=8, dead=(), cost=None, level=0.95):
    scored = np.ones((networks, members), bool)
    for run in dead:
        scored[run] = False
    lost = tuple(BlowUp(*run, 1, 1.0) for run in dead)
    some = {"kinetic_energy_spectrum_upper": Interval(1.0, 0.0, 2.0, level)}
    timed = None if cost is None else StepCost(1e-3 * cost, cost)
    return OnlineScore(name, lost, scored, some, {}, {}, {}, timed, layers=("upper", "lower"))


def compared(model, other, dead=((), ()), level=0.95, costs=(None, None)):
    """Return the comparison of two models, each a list of spectra per network; no truth: zero."""
    runs = {"a": [spectra(one) for one in model], "b": [spectra(one) for one in other]}
    members = len(model[0])
    scores = {
        name: score(name, len(runs[name]), members, dead[i], costs[i], level)
        for i, name in enumerate(runs)
    }
    truth = spectra(np.zeros(members))
    (found,) = compare_online([("a", "b")], scores, runs, truth, cut=2.0, level=level, samples=400)
    return found


def test_the_ratio_is_that_of_the_mean_errors_of_all_networks():
    found = compared([np.ones(8)], [2 * np.ones(8), 6 * np.ones(8)], costs=(3.0, 12.0))
    for layer in ("upper", "lower"):
        assert found.ratios[layer].estimate == pytest.approx(1 / 4)
        # the two networks of the other: both the one, each once, both the other
        assert found.ratios[layer].low == pytest.approx(1 / 6)
        assert found.ratios[layer].high == pytest.approx(1 / 2)
    assert found.members == 8
    assert found.cost == pytest.approx(0.25)
    assert found.finding() == "smaller error; training seeds not covered"


def test_members_are_paired_and_networks_are_not():
    paired = compared([EIGHT], [2 * EIGHT]).ratios["upper"]
    assert (paired.low, paired.high) == pytest.approx((0.5, 0.5))
    networks = [np.ones(8), 3 * np.ones(8)]
    crossed = compared(networks, networks)
    assert crossed.ratios["upper"].estimate == pytest.approx(1)
    assert crossed.ratios["upper"][1:3] == pytest.approx((1 / 3, 3))
    assert crossed.finding() == "no clear difference"


def test_only_members_that_all_networks_of_both_survived_are_compared():
    wild = np.where(EIGHT == 1, 1e9, 1.0)  # the member that network 1 of the other loses
    found = compared([wild], [2 * np.ones(8), 2 * wild], dead=((), [(1, 0)]))
    assert found.members == 7
    assert found.ratios["upper"].estimate == pytest.approx(0.5)
    assert found.finding() == "smaller error; training seeds not covered; 1 of 16 runs of b blew up"
    assert found.finding({"b": "B"}).endswith("1 of 16 runs of B blew up")


def test_a_network_without_a_run_is_left_out_and_a_model_without_one_is_not_compared():
    dead = [(1, member) for member in range(8)]
    found = compared([4 * EIGHT, 9 * EIGHT], [2 * EIGHT], dead=(dead, ()))
    assert found.ratios["lower"].estimate == pytest.approx(2)
    assert found.finding() == "larger error; training seeds not covered; 8 of 16 runs of a blew up"
    lost = compared([EIGHT, EIGHT], [EIGHT], dead=([*dead, *((0, m) for m in range(8))], ()))
    assert lost.members == 0
    assert np.isnan(lost.ratios["upper"].estimate)
    assert lost.finding() == "no member to compare; 16 of 16 runs of a blew up"


def test_too_few_members_prove_nothing():
    # five members reach 2 · 2⁻⁵ = 6 %: not 5 %, but 10 %
    few = [np.ones(5)], [2 * np.ones(5)]
    assert compared(*few).finding() == "too few members to tell"
    assert compared(*few, level=0.9).finding() == "smaller error; training seeds not covered"


def test_layers_that_differ_are_told_apart():
    found = compared([np.ones(8)], [2 * np.ones(8)])
    object.__setattr__(found, "ratios", {**found.ratios, "lower": Interval(1.1, 0.9, 1.3)})
    assert found.finding() == (
        "upper: smaller error; lower: no clear difference; training seeds not covered"
    )


def test_record_and_table_say_the_same():
    found = compared([EIGHT], [2 * EIGHT], dead=((), [(0, 3)]), costs=(1.0, 4.0))
    record = json.loads(json.dumps(found.record()))
    assert record["error_ratio"]["upper"]["estimate"] == pytest.approx(0.5)
    assert record["cost"]["ratio"] == 0.25
    assert (record["model"], record["other"], record["members"]) == ("a", "b", 7)
    table = comparison_table([found], looks(["a", "b"], {"b": "single"}))
    assert table.rows == (
        (
            "a / single",
            "7",
            "1 / 1",
            "-",
            "0.50 [0.50, 0.50]",
            "0.50 [0.50, 0.50]",
            "0.25",
            "smaller error; training seeds not covered; 1 of 8 runs of single blew up",
        ),
    )
    assert len(table.columns) == 8
    assert compared([EIGHT], [EIGHT]).record()["cost"] is None


def test_unequal_budgets_are_told():
    # two networks each, of which a multiscale model trains one after the other
    found = compared([EIGHT, EIGHT], [2 * EIGHT, 2 * EIGHT])
    assert found.finding() == "smaller error"
    equal = dataclasses.replace(found, budgets=((400, 400), (400,)))
    assert equal.finding() == "smaller error"
    unequal = dataclasses.replace(found, budgets=((400, 400), (800,)))
    assert unequal.finding() == "smaller error; unequal budgets"
    assert unequal.record()["updates"] == [[400, 400], [800]]
    row = comparison_table([unequal], looks(["a", "b"], {})).rows[0]
    assert row[2:4] == ("2 / 2", "400, 400 / 800")
