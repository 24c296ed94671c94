"""Members that blow up: dated, and left out on both sides of every comparison."""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from subgrid.closures import AbstractClosure
from subgrid.evaluation import (
    BlowUp,
    Findings,
    RunInfo,
    RunPlan,
    assemble_report,
    blow_ups,
    compare,
    free_runs,
    outcome,
    reference_statistics,
    render_html,
    score_record,
    two_thirds_cut,
    verdict,
)
from subgrid.evaluation import table as read
from subgrid.evaluation.survival import blow_up_steps
from subgrid.systems.qg_quantities import BUDGET_SPECTRA, LAYER_SPECTRA

KEY = "kinetic_energy_spectrum_upper"
UPPER = {"quantity": "kinetic_energy_spectrum", "component": "upper"}


def error(table, name="model"):
    return read.interval(table, "spectral_error_mean", model=name, **UPPER)


def gain(table, name="model"):
    return read.interval(table, "spectral_error_gain", model=name, **UPPER)


def scored(table, name="model"):
    return read.scored(table, name)


@pytest.fixture(scope="module")
def three(truth):
    """The truth with three members."""
    return truth.isel(member=[0, 1, 0])


def off_by(truth, *parts):
    """A run whose spectra are off the truth's by a share per member."""
    run = truth.copy(deep=True)
    for name in (q.name for q in LAYER_SPECTRA):
        run[name] = truth[name] * (1 + xr.DataArray(list(parts), dims="member"))
    for name in ("snapshots", *(q.name for q in BUDGET_SPECTRA)):
        run[name] = (1 + parts[0]) * truth[name]
    return run


def killed(run, member, step=40):
    """A run of which a member blew up so late that some of its frames were averaged."""
    run = run.copy(deep=True)
    run["blew_up_at"][member] = step
    gone = run["time"].values >= step * run.attrs["dt"]
    for name in ("kinetic_energy", "total_kinetic_energy", "enstrophy", "total_enstrophy"):
        run[name][member, gone] = np.nan
    run["snapshots"][member] = np.nan
    return run


@pytest.fixture(scope="module")
def score(three, coarse):
    """Return a function from models to their scores against the three members of the truth."""

    def scores(reference=three, **runs):
        cut = two_thirds_cut(coarse.grid)
        return compare(runs, reference, baseline="none", system=coarse, cut=cut, samples=200)

    return scores


@pytest.fixture(scope="module")
def page(three, coarse):
    """Return a function from runs to the report and its page."""

    def report(reference=three, **runs):
        cut = two_thirds_cut(coarse.grid)
        scores = compare(runs, reference, baseline="none", system=coarse, cut=cut, samples=200)
        info = RunInfo(title="Blow-ups", facts={}, commands=[])
        data = assemble_report(info, Findings(coarse, reference, runs, scores, cut))
        return data, render_html(data)

    return report


def cells(data, title):
    """Return the table of a report: row name → column → text."""
    table = next(table for table in data.tables if table.title.startswith(title))
    return {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}


def assert_no_nan(data):
    texts = [data.summary, *data.warnings, *(v.sentence for v in data.verdicts)]
    texts += [cell for table in data.tables for row in table.rows for cell in row]
    assert not [text for text in texts if re.search(r"\b(nan|inf)\b", text, re.IGNORECASE)]


def test_a_reduction_compares_the_same_members_on_both_sides(three, score):
    # with the third member on one side only, the reduction would be above 0.9
    base = off_by(three, 0.2, 0.2, 5.0)
    model = killed(off_by(three, 0.1, 0.1, 7.0), 2)
    found = score(none=[base], model=[model])
    np.testing.assert_array_equal(scored(found), [[True, True, False]])
    assert gain(found).estimate == pytest.approx(0.5)
    assert gain(found).low == pytest.approx(0.5)
    members = read.of_runs(found, "spectral_error", "model", **UPPER)
    assert np.isnan(members).tolist() == [[False, False, True]]
    alone = score(none=[base.isel(member=[0, 1])], reference=three.isel(member=[0, 1]))
    half = score(
        none=[base.isel(member=[0, 1])],
        model=[model.isel(member=[0, 1])],
        reference=three.isel(member=[0, 1]),
    )
    assert error(found).estimate == pytest.approx(error(alone, "none").estimate / 2)
    assert read.similarities(found, "model") == read.similarities(half, "model")


def test_the_report_says_which_members_a_score_is_over(three, page):
    base, model = off_by(three, 0.2, 0.2, 5.0), killed(off_by(three, 0.1, 0.1, 7.0), 2)
    data, _ = page(none=[base], model=[model])
    assert data.verdicts[1].sentence.startswith(
        "is unstable: 1 of 3 members blew up, first on day 3; over the surviving members it "
        "reduces the error of the kinetic energy spectrum of the upper layer by 50 %"
    )
    online = cells(data, "Online: free runs")
    assert online["model"]["members scored"] == "2 of 3"
    assert online["no closure"]["members scored"] == "3 of 3"
    assert "model (2 of 3 members)" in next(t.columns for t in data.tables if "Simil" in t.title)
    assert cells(data, "Members that blew up")["model"]["days"] == "3.3"
    assert any("Only 2 members are scored" in w or "Only 3" in w for w in data.warnings)
    assert_no_nan(data)


def test_members_without_a_closure_that_blew_up_are_compared_for_no_model(three, page, score):
    base, model = killed(off_by(three, 0.2, 0.2, 9.0), 2), off_by(three, 0.1, 0.1, 9.0)
    runs = {"none": [base], "model": [model]}
    found = score(**runs)
    np.testing.assert_array_equal(scored(found), [[True, True, False]])
    assert gain(found).estimate == pytest.approx(0.5)
    data, _ = page(**runs)
    alone, other = (v.sentence for v in data.verdicts)
    assert alone == (
        "is unstable: 1 of 3 members blew up, first on day 3; over the surviving members it is "
        "the coarse model that the others are measured against, with an error not "
        "above the sampling floor in both layers."
    )
    assert "(over the 2 of 3 members that can be compared)" in other
    assert other.endswith("; 0 of 3 members blew up.")
    assert data.verdicts[0].outcome == "unstable"
    assert any("1 of 3 members without a closure blew up" in w for w in data.warnings)
    assert_no_nan(data)


def test_without_a_single_run_without_a_closure_errors_are_left_but_no_reductions(three, page):
    base = off_by(three, 0.2, 0.2, 0.2)
    for member in range(3):
        base = killed(base, member)
    data, _ = page(none=[base], model=[off_by(three, 0.1, 0.1, 0.1)])
    alone, other = data.verdicts
    assert alone.sentence == (
        "is unstable: 3 of 3 members blew up, first on day 3; it is not scored."
    )
    assert other.sentence == (
        "cannot be compared: without a closure every member blew up; 0 of 3 members blew up."
    )
    assert other.outcome == "unclear"
    online = cells(data, "Online: free runs")
    assert online["model"]["reduction, upper"] == "-"
    assert "[" in next(v for name, v in online["model"].items() if name.startswith("error, upper"))
    assert_no_nan(data)


def test_a_model_all_of_whose_members_blew_up_has_no_scores(three, page, score):
    model = off_by(three, 0.1, 0.1, 0.1)
    for member, step in enumerate((40, 36, 44)):
        model = killed(model, member, step)
    runs = {"none": [off_by(three, 0.2, 0.2, 0.2)], "model": [model]}
    data, _ = page(**runs)
    assert data.verdicts[1].sentence == (
        "is unstable: 3 of 3 members blew up, first on day 3; it is not scored."
    )
    online = cells(data, "Online: free runs")["model"]
    assert online["members scored"] == "0 of 3"
    assert {text for name, text in online.items() if "upper" in name or "lower" in name} == {"-"}
    assert_no_nan(data)
    record = score_record(score(**runs), "model")
    assert record["scored_runs"] == 0
    assert record["reduction"][KEY]["estimate"] is None
    assert set(record["similarity"].values()) == {None}
    json.dumps(record, allow_nan=False)


def test_survivors_on_one_side_only_are_not_scored(three, score):
    base = killed(killed(off_by(three, 0.2, 0.2, 0.2), 0), 1)
    found = score(none=[base], model=[killed(off_by(three, 0.1, 0.1, 0.1), 2)])
    assert not scored(found).any()
    assert verdict(found, "model").startswith(
        "is unstable: 1 of 3 members blew up, first on day 3; over"
    )
    assert "cannot be scored" in verdict(found, "model")


def test_a_single_survivor_has_no_interval(three, score):
    model = killed(killed(off_by(three, 0.1, 0.1, 0.1), 0), 1)
    found = score(none=[off_by(three, 0.2, 0.2, 0.2)], model=[model])
    assert gain(found).estimate == pytest.approx(0.5)
    # drawing three members again and again would give a width of zero, as if it were certain
    assert np.isnan(gain(found).low)
    assert "one run: no interval" in verdict(found, "model")


def test_each_network_is_compared_over_its_own_survivors(three, score):
    base = off_by(three, 0.2, 0.2, 5.0)
    first = killed(off_by(three, 0.1, 0.1, 7.0), 2)
    second = off_by(three, 0.1, 0.1, 2.5)
    dead = killed(killed(killed(off_by(three, 9.0, 9.0, 9.0), 0), 1), 2)
    found = score(none=[base], model=[first, second, dead])
    assert scored(found).sum(axis=1).tolist() == [2, 3, 0]
    assert (scored(found).sum(), scored(found).any(axis=0).sum(), scored(found).size) == (5, 3, 9)
    # half the error in each network, whatever the draw
    assert gain(found)[:3] == pytest.approx((0.5, 0.5, 0.5))
    assert all(np.isfinite(value) for value in read.similarities(found, "model").values())
    assert len(read.blow_ups(found, "model")) == 4


def test_a_truth_that_is_not_finite_is_scored_for_no_model_and_reported(three, page, score):
    reference = killed(three, 1, 24)
    runs = {"none": [off_by(three, 0.2, 9.0, 0.2)], "model": [off_by(three, 0.1, 3.0, 0.1)]}
    found = score(reference=reference, **runs)
    np.testing.assert_array_equal(scored(found), [[True, False, True]])
    assert gain(found).estimate == pytest.approx(0.5)
    data, _ = page(reference=reference, **runs)
    assert any(
        "The truth of 1 of 3 members is not finite (member 1 from day 2.0 on)" in warning
        for warning in data.warnings
    )
    assert cells(data, "Members that blew up")["truth (not finite)"]["step"] == "24"
    assert_no_nan(data)


def test_a_truth_with_other_members_is_compared_as_a_whole(three, score):
    pair = three.isel(member=[0, 1])
    model = killed(off_by(pair, 0.1, 0.1), 1)
    found = score(none=[off_by(pair, 0.2, 0.2)], model=[model])
    np.testing.assert_array_equal(scored(found), [[True, False]])
    assert np.isfinite(error(found).estimate)


def test_a_record_that_is_not_finite_counts_from_its_first_frame(three):
    run = three.copy(deep=True)
    run["enstrophy"][0, 4, 1] = np.inf
    run["kinetic_energy_spectrum"][2, 0, 3] = np.nan
    steps = (three["time"].values / three.attrs["dt"]).round()
    np.testing.assert_array_equal(blow_up_steps(run), [steps[4], -1, steps[-1]])
    assert [(b.member, b.step) for b in blow_ups([three, run])] == [(0, steps[4]), (2, steps[-1])]
    assert blow_ups([run])[0] == BlowUp(0, 0, 20, pytest.approx(20 * 7200 / 86400))


class Delayed(AbstractClosure):
    """Returns NaN from its 30th step on, for a state whose first value is negative."""

    def init(self, state, *, key=None):
        return jnp.zeros((), jnp.int32), state.q[0, 0, 0] < 0

    def __call__(self, state, memory=None, forcing=None):
        count, sick = memory
        value = jnp.where(sick & (count >= 29), jnp.nan, 0.0)
        increment = jax.tree.map(lambda field: jnp.full_like(field, value), state)
        return increment, (count + 1, sick)


@pytest.mark.slow
def test_nan_from_a_frame_on_is_masked_counted_and_dated_from_run_to_page(
    coarse, coarse_states, truth, runs, dt, plan, page, score
):
    sign = jnp.sign(coarse_states.q[:, 0, 0, 0]) * jnp.array([1.0, -1.0])
    states = jax.tree.map(lambda field: field * sign[:, None, None, None], coarse_states)
    data = free_runs(coarse.model(dt, Delayed()), states, plan)
    np.testing.assert_array_equal(data["blew_up_at"], [-1, 30])
    after = data["time"].values >= 30 * dt
    energy = data["total_kinetic_energy"].values
    np.testing.assert_array_equal(np.isfinite(energy), [np.ones(12, bool), ~after])
    # frames at steps 28, 32, ...: one after the start of the averaging at 24 was healthy
    np.testing.assert_array_equal(data["averaged_frames"], [6, 1])

    model = {"none": runs["none"], "delayed": [data]}
    found = score(reference=truth, **model)
    assert read.blow_ups(found, "delayed") == (BlowUp(0, 1, 30, 2.5),)
    assert outcome(found, "delayed") == "unstable"
    alone = score(
        reference=truth.isel(member=[0]),
        none=[runs["none"][0].isel(member=[0])],
        delayed=[data.isel(member=[0])],
    )
    assert error(found, "delayed").estimate == error(alone, "delayed").estimate
    assert gain(found, "delayed").estimate == gain(alone, "delayed").estimate
    record = json.loads(json.dumps(score_record(found, "delayed"), allow_nan=False))
    assert record["blow_ups"] == [
        {"network": 0, "member": 1, "step": 30, "time": 2.5, "units": "days"}
    ]

    report, html = page(reference=truth, **model)
    assert report.verdicts[1].sentence.startswith(
        "is unstable: 1 of 2 members blew up, first on day 2; over the surviving members it "
    )
    assert cells(report, "Members that blew up")["delayed"] == {
        "model": "delayed",
        "network": "0",
        "member": "1",
        "step": "30",
        "days": "2.5",
    }
    assert "1 of 2 members blew up" in html
    assert_no_nan(report)


@pytest.mark.slow
def test_nan_in_the_data_of_the_truth_reaches_the_page_dated(coarse, runs, truth, dt, page):
    q = np.random.default_rng(0).normal(size=(2, 12, 2, 16, 16)).astype(np.float32) * 1e-6
    q[1, 8, 0, 3, 3] = np.inf
    reference = reference_statistics(coarse, q, None, save_every=4, dt=dt, snapshots=2)
    report, html = page(reference=reference, none=runs["none"], model=runs["smagorinsky"])
    assert "The truth of 1 of 2 members is not finite (member 1 from day 3.0 on)" in html
    assert cells(report, "Online: free runs")["model"]["members scored"] == "1 of 2"
    assert_no_nan(report)


def test_a_plan_of_one_frame_still_dates(coarse, coarse_states, runaway, dt):
    data = free_runs(coarse.model(dt, runaway), coarse_states, RunPlan(48, 48, snapshots=1))
    assert (blow_up_steps(data) > 0).all()
