"""How long runs follow their truth: times, errors, gains, words and figures, all by hand."""

import json

import numpy as np
import pytest
import xarray as xr

from subgrid.evaluation import BlowUp, Findings, StepCost, compare, outcome, verdict, with_costs
from subgrid.evaluation import table as read
from subgrid.evaluation.metric_runs import SeriesError, decorrelation
from subgrid.evaluation.record import followed_record
from subgrid.evaluation.sections_flow import following_section
from subgrid.evaluation.style import looks
from subgrid.evaluation.verdicts import summary
from subgrid.grids import PeriodicGrid

DT, EVERY = 0.25, 2  # a frame every half unit of time
WAVENUMBER = np.array([1.0, 2.0, 4.0])
NAN = np.nan
CORRELATED = {"long_name": "correlation of the vorticity with that of the truth"}
PLACE = {"quantity": "truth_correlation", "component": ""}
ENERGY = {"quantity": "total_kinetic_energy", "component": ""}


def run(correlation, energy=None, blew_up_at=None, spectrum=1.0):
    """Return a dataset like that of `free_runs` of a flow of one layer, dimensionless."""
    correlation = np.asarray(correlation, np.float64)
    members, frames = correlation.shape
    energy = np.ones((members, frames)) if energy is None else np.asarray(energy, np.float64)
    blew_up_at = [-1] * members if blew_up_at is None else blew_up_at
    spectra = np.broadcast_to(spectrum * WAVENUMBER**-5, (members, 1, len(WAVENUMBER)))
    time = DT * EVERY * np.arange(1, frames + 1)
    return xr.Dataset(
        {
            "truth_correlation": (("member", "time"), correlation, CORRELATED),
            "total_kinetic_energy": (("member", "time"), energy),
            "kinetic_energy_spectrum": (("member", "level", "wavenumber"), spectra),
            "blew_up_at": ("member", np.asarray(blew_up_at)),
        },
        {"time": ("time", time, {"units": "1"}), "wavenumber": WAVENUMBER},
    ).assign_attrs(dt=DT, steps=EVERY * frames, average_from=0)


def lasting(*frames, total=8):
    """Return correlations of members that are 0.9 for so many frames, and 0.1 after."""
    return np.where(np.arange(total) < np.array(frames)[:, None], 0.9, 0.1)


def times(*frames):
    """Return when members decorrelate that are correlated for so many frames."""
    return DT * EVERY * (1 + np.array(frames))


def scores(runs, truth, samples=400, **options):
    names = ["decorrelation_time", "lasting", "series_error", "spectral_error"]
    return compare(runs, truth, names, "none", samples=samples, cut=8.0, **options)


def time(table, name, what="mean"):
    return read.interval(table, f"decorrelation_time_{what}", model=name, **PLACE)


def test_a_member_decorrelates_where_its_correlation_first_falls_below_a_half():
    data = run(
        [
            [0.9, 0.6, 0.4, 0.7, 0.3],  # comes back: the first time counts
            [0.9, 0.5, 0.5, 0.5, 0.5],  # never below
            [0.9, 0.9, 0.9, NAN, 0.9],  # not a number, though not marked
            [0.9, 0.9, NAN, NAN, NAN],  # blew up before that frame
            [0.4, 0.9, 0.9, NAN, NAN],  # decorrelated long before it blew up
            [0.9, 0.9, 0.9, 0.9, NAN],  # blew up at the last step of all
        ],
        blew_up_at=[-1, -1, -1, 5, 7, 10],
    )
    found, to_the_end = decorrelation(data["truth_correlation"].values[:, None], data)
    np.testing.assert_array_equal(found[:, 0], [1.5, 2.5, 2.0, 1.25, 0.5, 2.5])
    np.testing.assert_array_equal(to_the_end[:, 0], [False, True, False, False, False, False])


def test_energy_errors_are_those_of_the_frames_before_a_blow_up():
    truth = run(np.ones((4, 2)), [[2.0, 4.0], [1.0, 1.0], [4.0, 8.0], [5.0, 5.0]])
    data = run(
        np.ones((4, 2)), [[3.0, 2.0], [1.0, 1.0], [5.0, NAN], [NAN, NAN]], blew_up_at=[-1, -1, 3, 1]
    )
    # (1 + 2)/2 over the mean of 2 and 4; none; 1 over the mean of 4 and 8; nothing known
    found = SeriesError().of_runs("total_kinetic_energy", data, truth, None)[:, 0]
    np.testing.assert_allclose(found, [0.5, 0.0, 1 / 6, NAN], rtol=1e-14)


@pytest.fixture(scope="module")
def made():
    """Return runs of models of one or two networks and six members, and their truth."""
    # an energy error of 0.1, 0.2, ... of the members
    truth = run(np.ones((6, 8)))
    off = 1 + 0.1 * np.arange(1, 7)[:, None] * np.ones((6, 8))
    alone = lasting(0, 1, 1, 2, 2, 3)
    dead = lasting(4, 4, 4, 4, 4, 4)
    dead[0, 5:] = dead[1, 2:] = NAN
    runs = {
        "none": [run(alone, off)],
        # each member once and a half, or twice, as long as alone
        "better": [run(lasting(1, 3, 3, 5, 5, 7)), run(lasting(1, 3, 3, 5, 5, 7))],
        "worse": [run(lasting(0, 0, 0, 0, 0, 0), off)],
        "unclear": [run(lasting(3, 0, 3, 0, 3, 0), off)],
        "unstable": [run(dead, np.where(np.isfinite(dead), off, NAN), [11, 5, -1, -1, -1, -1])],
    }
    return runs, truth


PAIRS = [("none", "better"), ("unclear", "worse"), ("unstable", "worse"), ("better", "none")]


@pytest.fixture(scope="module")
def followed(made):
    """Return the table of these."""
    return scores(*made, pairs=PAIRS)


def test_the_gain_is_of_the_same_members(followed):
    assert read.of_runs(followed, "decorrelation_time", "better", **PLACE).shape == (2, 6)
    # every member exactly twice as long: drawn together the ratio never differs
    assert time(followed, "better", "gain")[:3] == pytest.approx((2.0, 2.0, 2.0), abs=1e-12)
    # while the times themselves do
    mean, found = times(1, 3, 3, 5, 5, 7).mean(), time(followed, "better")
    assert found.estimate == pytest.approx(mean)
    assert found.low < mean - 0.2 < mean + 0.2 < found.high


def test_means_are_over_networks_and_members_that_are_known(followed):
    assert read.kept_error(followed, "better")[:3] == (0.0, 0.0, 0.0)
    alone = read.kept_error(followed, "none")
    assert alone.estimate == pytest.approx(0.35)
    assert 0.1 <= alone.low < 0.35 < alone.high <= 0.6
    truth = run(np.ones((2, 4)))
    some = run([[NAN] * 4, [0.9] * 4], [[NAN] * 4, [1.5] * 4], [1, -1])
    model = [run(np.ones((2, 4)), np.full((2, 4), 1.3)), some]
    table = scores({"none": [truth], "model": model}, truth, 50)
    errors = read.of_runs(table, "series_error", "model", **ENERGY)
    np.testing.assert_allclose(errors, [[0.3, 0.3], [NAN, 0.5]], rtol=1e-12)
    assert read.kept_error(table, "model").estimate == pytest.approx((0.3 + 0.3 + 0.5) / 3)
    assert followed_record(table, "model")["not_decorrelated"] == 3
    single = scores({"none": [truth.isel(member=[0])]}, truth.isel(member=[0]))
    assert np.isnan(time(single, "none").low)  # one run: no interval


def page(runs, truth, table, **more):
    """Return the sections on how long runs follow the truth."""

    class System:
        spectral_slope, domain = 5, PeriodicGrid(8)

    found = Findings(System(), truth, runs, table, 8.0, **more)
    return following_section(found, looks(runs))


def test_members_of_one_trajectory_are_drawn_together(made, followed):
    runs, truth = made
    pair = {name: runs[name] for name in ("none", "unclear")}

    def starts(*where):
        return truth.assign_coords(start_trajectory=("member", list(where)))

    # of 3, 0, 3, 0, 3, 0 frames: a pair of members always makes the same mean
    together = scores(pair, starts(7, 7, 2, 2, 5, 5))
    assert together.attrs["trajectories"] == 3
    assert time(together, "unclear")[:3] == pytest.approx((1.25, 1.25, 1.25))
    apart = time(followed, "unclear")
    assert apart.low < 1.0 < 1.5 < apart.high
    # one trajectory and one network: nothing to draw
    alike = time(scores(pair, starts(4, 4, 4, 4, 4, 4)), "unclear")
    assert np.isnan(alike.low)
    assert alike.estimate == pytest.approx(1.25)
    sentence = verdict(together, "unclear")
    assert "resampling the 3 trajectories: " in sentence
    assert "95 %" not in sentence
    assert "too few to exclude chance" in summary(together)
    assert "So few cannot exclude chance" in page(pair, truth, together)[0].tables[0].note


def test_members_whose_truth_is_not_finite_are_left_out(made):
    runs, truth = made
    spoilt = truth.copy(deep=True)
    spoilt["total_kinetic_energy"][1, 5:] = NAN
    table = scores(runs, spoilt, 50)
    assert read.counted_runs(table, "unstable") == 5
    assert [lost.member for lost in read.counted_blow_ups(table, "unstable")] == [0]
    assert table.attrs["trajectories"] == 5
    found = read.of_runs(table, "decorrelation_time", "better", **PLACE)
    kept = np.isfinite(found)
    np.testing.assert_array_equal(found[kept].reshape(2, 5), [times(1, 3, 5, 5, 7)] * 2)


def test_the_gain_over_another_model_is_of_the_same_members(made, followed):
    runs, truth = made
    # every member of "better" twice as long as alone, so the reverse
    assert read.lasting_ratio(followed, "none", "better")[:3] == pytest.approx((0.5,) * 3)
    span = read.lasting_ratio(followed, "unclear", "worse")
    assert span.estimate == pytest.approx(1.25 / 0.5)
    assert span.low < span.estimate < span.high
    pairs = [("better", "none"), ("unstable", "worse")]
    one, other = (scores(runs, truth, 50, pairs=pairs, seed=seed) for seed in (4, 5))
    assert read.lasting_ratio(one, *pairs[1]) != read.lasting_ratio(other, *pairs[1])
    table = page(runs, truth, followed, pairs=pairs)[0].tables[1]
    assert [row[0] for row in table.rows] == ["better / no closure", "unstable / worse"]
    assert table.rows[0][1:] == ("2.00 [2.00, 2.00]", "0.000 / 0.350", "0 of 12 / 0 of 6")
    assert table.rows[1][3] == "2 of 6 / 0 of 6"
    lost = truth.assign(total_kinetic_energy=truth["total_kinetic_energy"] * NAN)
    nothing = scores(runs, lost, 50, pairs=pairs)
    assert nothing.attrs["trajectories"] == 0
    assert np.isnan(read.lasting_ratio(nothing, "better", "none").estimate)


def test_runs_that_were_not_followed_have_no_scores():
    data = run(np.ones((1, 2)))
    bare = data.drop_vars("truth_correlation")
    table = scores({"none": [data], "model": [bare]}, data)
    assert not read.followed(table)
    why = table.attrs["undefined"]["decorrelation_time"]["truth_correlation"]
    assert why == "the run was not followed by its truth"


def test_time_of_a_dimensional_flow_is_counted_in_days():
    data = run(lasting(1, 2))
    hours = data["time"].values / (DT * EVERY) * 43200.0
    data = data.assign_coords(time=("time", hours, {"units": "s"})).assign_attrs(dt=21600.0)
    table = scores({"none": [data]}, data, 40)
    found = read.of_runs(table, "decorrelation_time", "none", **PLACE)
    np.testing.assert_allclose(found, [[1.0, 1.5]])
    assert table.attrs["time_units"] == "days"


def test_outcomes_and_sentences(followed):
    words = {name: outcome(followed, name) for name in read.models(followed)}
    assert words == {name: name for name in words} | {"none": "baseline"}
    assert verdict(followed, "none") == (
        "follows the truth for 1.25 time units; energy error 0.350; 0 of 6 runs blew up."
    )
    assert verdict(followed, "better") == (
        "follows the truth for 2.50 time units (2.00 times as long as without a closure, 95 % "
        "interval: 2.00 to 2.00); energy error 0.000; 0 of 12 runs blew up."
    )
    worse = verdict(followed, "worse")
    assert worse.startswith("follows the truth for 0.50 time units (0.40 times as long")
    unstable = verdict(followed, "unstable")
    assert unstable.startswith("is unstable, follows the truth for ")
    assert unstable.endswith("; 2 of 6 runs blew up, first at time 1.2.")
    assert read.blow_ups(followed, "unstable")[1] == BlowUp(0, 1, 5, 1.25, "time units")
    timed = with_costs(followed, {"worse": StepCost(1e-3, 3.1)})
    assert ", at 3.1 times the cost per step; 0 of" in verdict(timed, "worse")


def test_one_run_claims_nothing():
    pair = {"none": [run(lasting(1))], "model": [run(lasting(5))]}
    table = scores(pair, run(np.ones((1, 8))))
    assert outcome(table, "model") == "unclear"
    assert "(3.00 times as long as without a closure);" in verdict(table, "model")
    assert summary(table).startswith("0 of 1 models follow the truth longer")


def test_the_summary_counts_models_and_runs(made, followed):
    runs, truth = made
    stable = scores({name: one for name, one in runs.items() if name != "unstable"}, truth)
    assert summary(stable) == (
        "1 of 3 models follow the truth longer than the coarse model alone, beyond chance, in "
        "free runs from held-out states of 6 trajectories; 0 of 30 runs blew up."
    )
    assert summary(followed).endswith("; 2 of 36 runs blew up.")


def test_the_record_is_plain_numbers(followed):
    record = json.loads(json.dumps(followed_record(followed, "unstable"), allow_nan=False))
    assert record["units"] == "time units"
    assert record["not_decorrelated"] == 0
    assert [lost["time"] for lost in record["blow_ups"]] == [2.75, 1.25]
    alone = followed_record(followed, "none")
    assert alone["gain"] is None
    assert set(alone["energy_error"]) == {"estimate", "low", "high", "level"}


def test_the_sections_have_a_row_and_panels_of_every_model(made, followed):
    first, kept, compensated = page(*made, followed)
    rows = {row[0]: dict(zip(first.tables[0].columns, row, strict=True))
            for row in first.tables[0].rows}  # fmt: skip
    assert list(rows) == ["no closure", "better", "worse", "unclear", "unstable"]
    assert rows["no closure"]["gain"] == "-"
    assert rows["better"]["runs"] == "2 × 6"
    assert rows["better"]["gain"] == "2.00 [2.00, 2.00]"
    assert rows["better"]["decorrelation time [time units]"].startswith("2.50 [")
    assert rows["worse"]["correlated to the end"] == "0 of 6"
    assert rows["unstable"]["blown up"] == "2 of 6"
    assert [len(one.images) for one in (first, kept, compensated)] == [2, 1, 1]
    assert "correlation of the vorticity" in first.caption
    assert compensated.title == "Compensated kinetic energy spectrum"


def test_a_model_that_blew_up_altogether_is_named_and_not_drawn():
    truth = run(np.ones((2, 4)))
    dead = run(np.full((2, 4), NAN), np.full((2, 4), NAN), [1, 1], spectrum=NAN)
    runs = {"none": [truth], "gone": [dead]}
    table = scores(runs, truth, 40)
    assert [len(one.images) for one in page(runs, truth, table)] == [2, 1, 1]
    assert outcome(table, "gone") == "unstable"
    sentence = verdict(table, "gone")
    assert "; energy error unknown; 2 of 2 runs blew up, first at time 0.2." in sentence
