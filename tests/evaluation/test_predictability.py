"""How long runs follow their truth: times, errors, gains, words and figures, all by hand."""

import json

import numpy as np
import pytest
import xarray as xr

from subgrid.evaluation import (
    BlowUp,
    Interval,
    OnlineScore,
    StepCost,
    decorrelation_times,
    energy_errors,
    gain_over,
    gains,
    predictability_record,
    score_predictability,
)
from subgrid.evaluation.predictability import (
    outcome_of,
    predictability_verdict,
    summary_of_predictability,
)
from subgrid.evaluation.predictability_plots import (
    gains_table,
    plot_compensated,
    plot_correlation,
    plot_decorrelation,
    plot_energy_deviation,
    predictability_figures,
    predictability_table,
)
from subgrid.evaluation.style import looks

DT, EVERY = 0.25, 2  # a frame every half unit of time
WAVENUMBER = np.array([1.0, 2.0, 4.0])
NAN = np.nan
CORRELATED = {"long_name": "correlation of the vorticity with that of the truth"}


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
    found, to_the_end = decorrelation_times(data)
    np.testing.assert_array_equal(found, [1.5, 2.5, 2.0, 1.25, 0.5, 2.5])
    np.testing.assert_array_equal(to_the_end, [False, True, False, False, False, False])


def test_energy_errors_are_those_of_the_frames_before_a_blow_up():
    truth = run(np.ones((4, 2)), [[2.0, 4.0], [1.0, 1.0], [4.0, 8.0], [5.0, 5.0]])
    data = run(
        np.ones((4, 2)),
        [[3.0, 2.0], [1.0, 1.0], [5.0, NAN], [NAN, NAN]],
        blew_up_at=[-1, -1, 3, 1],
    )
    # (1 + 2)/2 over the mean of 2 and 4; none; 1 over the mean of 4 and 8; nothing known
    np.testing.assert_allclose(energy_errors(data, truth), [0.5, 0.0, 1 / 6, NAN], rtol=1e-14)


@pytest.fixture
def followed():
    """Return scores of models of one or two networks and six members, and their runs."""
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
    found = score_predictability(runs, truth, samples=400)
    return found, runs, truth


def test_the_gain_is_of_the_same_members(followed):
    better = followed[0]["better"]
    assert better.times.shape == (2, 6)
    # every member exactly twice as long: drawn together the ratio never differs
    assert better.gain[:3] == pytest.approx((2.0, 2.0, 2.0), abs=1e-12)
    # while the times themselves do
    mean = times(1, 3, 3, 5, 5, 7).mean()
    assert better.decorrelation.estimate == pytest.approx(mean)
    assert better.decorrelation.low < mean - 0.2 < mean + 0.2 < better.decorrelation.high
    assert followed[0]["none"].gain is None


def test_means_are_over_networks_and_members_that_are_known(followed):
    found = followed[0]
    assert found["better"].energy_error[:3] == (0.0, 0.0, 0.0)
    alone = found["none"].energy_error
    assert alone.estimate == pytest.approx(0.35)
    assert 0.1 <= alone.low < 0.35 < alone.high <= 0.6
    truth = run(np.ones((2, 4)))
    some = run([[NAN] * 4, [0.9] * 4], [[NAN] * 4, [1.5] * 4], [1, -1])
    model = [run(np.ones((2, 4)), np.full((2, 4), 1.3)), some]
    one = score_predictability({"none": [truth], "model": model}, truth, samples=50)["model"]
    np.testing.assert_allclose(one.energy_errors, [[0.3, 0.3], [NAN, 0.5]], rtol=1e-12)
    assert one.energy_error.estimate == pytest.approx((0.3 + 0.3 + 0.5) / 3)
    assert one.lasting == 3
    single = score_predictability({"none": [truth.isel(member=[0])]}, truth.isel(member=[0]))
    assert np.isnan(single["none"].decorrelation.low)  # one run: no interval


def test_members_of_one_trajectory_are_drawn_together(followed):
    _, runs, truth = followed
    pair = {name: runs[name] for name in ("none", "unclear")}
    # of 3, 0, 3, 0, 3, 0 frames: a pair of members always makes the same mean
    starts = lambda *where: truth.assign_coords(start_trajectory=("member", list(where)))  # noqa: E731
    together = score_predictability(pair, starts(7, 7, 2, 2, 5, 5), samples=400)
    one = together["unclear"]
    assert one.trajectories == 3
    assert one.decorrelation[:3] == pytest.approx((1.25, 1.25, 1.25))
    apart = followed[0]["unclear"].decorrelation
    assert apart.low < 1.0 < 1.5 < apart.high
    # one trajectory and one network: nothing to draw
    alike = score_predictability(pair, starts(4, 4, 4, 4, 4, 4), samples=400)["unclear"]
    assert np.isnan(alike.decorrelation.low)
    assert alike.decorrelation.estimate == pytest.approx(1.25)
    sentence, _ = predictability_verdict(one, score(one))
    assert "resampling the 3 trajectories: " in sentence
    assert "95 %" not in sentence
    assert "too few to exclude chance" in summary_of_predictability(together)
    assert "So few cannot exclude chance" in predictability_table(together, looks(pair)).note


def test_members_whose_truth_is_not_finite_are_left_out(followed):
    _, runs, truth = followed
    spoilt = truth.copy(deep=True)
    spoilt["total_kinetic_energy"][1, 5:] = NAN
    one = score_predictability(runs, spoilt, samples=50)["unstable"]
    assert one.times.shape == (1, 5)
    assert [lost.member for lost in one.blow_ups] == [0]
    assert one.trajectories == 5
    model = score_predictability(runs, spoilt, samples=50)["better"]
    np.testing.assert_array_equal(model.times, [times(1, 3, 5, 5, 7)] * 2)


def test_the_gain_over_another_model_is_of_the_same_members(followed):
    found = followed[0]
    # every member of "better" twice as long as alone, so the reverse
    assert gain_over(found["none"], found["better"], samples=50)[:3] == pytest.approx((0.5,) * 3)
    span = gain_over(found["unclear"], found["worse"], samples=200)
    assert span.estimate == pytest.approx(1.25 / 0.5)
    assert span.low < span.estimate < span.high
    styles = looks(found)
    pairs = [("better", "none"), ("unstable", "worse")]
    drawn = gains(found, pairs, samples=50, seed=4)
    assert drawn[1].ratio == gain_over(found["unstable"], found["worse"], samples=50, seed=4)
    assert drawn[1].ratio != gain_over(found["unstable"], found["worse"], samples=50, seed=5)
    assert drawn[0].record()["ratio"]["estimate"] == pytest.approx(2)
    table = gains_table(drawn, found, styles)
    assert [row[0] for row in table.rows] == ["better / no closure", "unstable / worse"]
    assert table.rows[0][1:] == ("2.00 [2.00, 2.00]", "0.000 / 0.350", "0 of 12 / 0 of 6")
    assert table.rows[1][3] == "2 of 6 / 0 of 6"
    assert not gains_table(gains(found, []), found, styles).rows
    assert gains({}, pairs) == ()
    _, runs, truth = followed
    lost = truth.assign(total_kinetic_energy=truth["total_kinetic_energy"] * NAN)
    nothing = score_predictability(runs, lost, samples=50)
    assert nothing["better"].trajectories == 0
    assert np.isnan(gains(nothing, [("better", "none")])[0].ratio.estimate)


def test_settings_are_ranked_by_blow_ups_first():
    """Of runs that end with a blow-up, the error of those that end first is the smallest."""
    truth = run(np.ones((2, 8)))

    def key(frames, energy, dead=0):
        data = run(
            lasting(frames, frames), np.full((2, 8), energy), [16] * dead + [-1] * (2 - dead)
        )
        return score_predictability({"none": [data]}, truth, samples=40)["none"].rank_key()

    order = [key(2, 1.1), key(7, 1.5), key(5, 9.0, 1), key(3, 1.1, 1), key(7, 1.1, 2)]
    assert order == sorted(order)
    assert len(set(order)) == len(order)


def test_runs_that_were_not_followed_have_no_scores():
    data = run(np.ones((1, 2)))
    bare = data.drop_vars("truth_correlation")
    assert score_predictability({"none": [data], "model": [bare]}, data) == {}


def test_time_of_a_dimensional_flow_is_counted_in_days():
    data = run(lasting(1, 2))
    hours = data["time"].values / (DT * EVERY) * 43200.0
    data = data.assign_coords(time=("time", hours, {"units": "s"})).assign_attrs(dt=21600.0)
    one = score_predictability({"none": [data]}, data, samples=40)["none"]
    np.testing.assert_allclose(one.times, [[1.0, 1.5]])
    assert one.units == "days"


def score(one, ratio=None):
    """Return the online score that a verdict takes the cost from."""
    cost = None if ratio is None else StepCost(1e-3, ratio)
    errors = {"kinetic_energy_spectrum": Interval(1.0, NAN, NAN)}
    alive = np.ones(one.times.shape, bool)
    return OnlineScore(one.name, one.blow_ups, alive, errors, {}, {}, {}, cost, layers=("",))


def test_outcomes_and_sentences(followed):
    found = followed[0]
    said = {name: predictability_verdict(one, score(one)) for name, one in found.items()}
    words = {name: word for name, (_, word) in said.items()}
    assert words == {name: name for name in found} | {"none": "baseline"}
    assert said["none"][0] == (
        "follows the truth for 1.25 time units; energy error 0.350; 0 of 6 runs blew up."
    )
    assert said["better"][0] == (
        "follows the truth for 2.50 time units (2.00 times as long as without a closure, 95 % "
        "interval: 2.00 to 2.00); energy error 0.000; 0 of 12 runs blew up."
    )
    assert said["worse"][0].startswith("follows the truth for 0.50 time units (0.40 times as long")
    unstable = said["unstable"][0]
    assert unstable.startswith("is unstable, follows the truth for ")
    assert unstable.endswith("; 2 of 6 runs blew up, first at time 1.2.")
    assert found["unstable"].blow_ups[1] == BlowUp(0, 1, 5, 1.25, "time units")
    one = found["worse"]
    assert (
        ", at 3.1 times the cost per step; 0 of" in predictability_verdict(one, score(one, 3.1))[0]
    )


def test_one_run_claims_nothing():
    pair = {"none": [run(lasting(1))], "model": [run(lasting(5))]}
    found = score_predictability(pair, run(np.ones((1, 8))))
    sentence, word = predictability_verdict(found["model"], score(found["model"]))
    assert word == outcome_of(found["model"]) == "unclear"
    assert "(3.00 times as long as without a closure);" in sentence
    assert summary_of_predictability(found).startswith("0 of 1 models follow the truth longer")


def test_the_summary_counts_models_and_runs(followed):
    found = {name: one for name, one in followed[0].items() if name != "unstable"}
    assert summary_of_predictability(found) == (
        "1 of 3 models follow the truth longer than the coarse model alone, beyond chance, in "
        "free runs from held-out states of 6 trajectories; 0 of 30 runs blew up."
    )
    assert summary_of_predictability(followed[0]).endswith("; 2 of 36 runs blew up.")


def test_the_record_is_plain_numbers(followed):
    record = json.loads(json.dumps(predictability_record(followed[0]["unstable"]), allow_nan=False))
    assert record["units"] == "time units"
    assert record["not_decorrelated"] == 0
    assert [lost["time"] for lost in record["blow_ups"]] == [2.75, 1.25]
    alone = predictability_record(followed[0]["none"])
    assert alone["gain"] is None
    assert set(alone["energy_error"]) == {"estimate", "low", "high", "level"}


def test_the_table_has_a_row_per_model(followed):
    found = followed[0]
    table = predictability_table(found, looks(found))
    rows = {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    assert list(rows) == ["no closure", "better", "worse", "unclear", "unstable"]
    assert rows["no closure"]["gain"] == "-"
    assert rows["better"]["runs"] == "2 × 6"
    assert rows["better"]["gain"] == "2.00 [2.00, 2.00]"
    assert rows["better"]["decorrelation time [time units]"].startswith("2.50 [")
    assert rows["worse"]["correlated to the end"] == "0 of 6"
    assert rows["unstable"]["blown up"] == "2 of 6"


def lines(panel):
    """Return x and y of the lines of a panel's axes by their labels."""
    return {line.get_label(): line.get_xydata().T for line in panel.figure.axes[0].lines}


def test_figures_have_the_lines_of_every_model(followed):
    found, runs, truth = followed
    styles = looks(runs)
    names = {"no closure", "better", "worse", "unclear", "unstable"}

    (panel,) = plot_decorrelation(found, styles)
    axes = panel.figure.axes[0]
    assert [text.get_text() for text in axes.get_xticklabels()] == [
        styles[name].label for name in found
    ]
    drawn = [line.get_ydata() for line in axes.lines if line.get_marker() in tuple("osX^DvP")]
    for one, points in zip(found.values(), drawn, strict=True):
        np.testing.assert_array_equal(np.sort(points), np.sort(one.times.ravel()))
    assert axes.get_ylabel() == "decorrelation time [time units]"

    (panel,) = plot_correlation(runs, styles)
    drawn = lines(panel)
    assert names < set(drawn)
    # at the sixth frame the first member of six is not alive, at the third the second neither
    x, y = drawn["unstable"]
    np.testing.assert_array_equal(x, truth["time"])
    np.testing.assert_allclose(y, [0.9] * 4 + [0.1] * 4)
    (threshold,) = [line for name, line in drawn.items() if name not in names]
    assert set(threshold[1]) == {0.5}
    legend = panel.figure.legends[0].get_title().get_text()
    assert "unstable: 2 of 6 members blew up, 4 drawn" in legend.replace("\n", " ")

    (panel,) = plot_energy_deviation(truth, runs, styles)
    drawn = lines(panel)
    assert set(drawn) == names | {"truth"}
    np.testing.assert_allclose(drawn["no closure"][1], 1.35)
    np.testing.assert_allclose(drawn["unstable"][1][[0, 2, 5]], [1.35, 1.38, 1.45])

    steep = runs | {"half": [run(np.ones((6, 8)), spectrum=0.5)]}
    (panel,) = plot_compensated(truth, steep, looks(steep))
    drawn = lines(panel)
    np.testing.assert_allclose(drawn["truth"][1], 1.0)
    np.testing.assert_allclose(drawn["half"][1], 0.5)


def test_a_model_that_blew_up_altogether_is_named_and_not_drawn():
    truth = run(np.ones((2, 4)))
    dead = run(np.full((2, 4), NAN), np.full((2, 4), NAN), [1, 1], spectrum=NAN)
    runs = {"none": [truth], "gone": [dead]}
    styles = looks(runs)
    found = score_predictability(runs, truth, samples=40)
    figures = predictability_figures(found, truth, runs, styles)
    assert [len(figure.images) for figure in figures] == [2, 1, 1]
    panels = plot_correlation(runs, styles) + plot_energy_deviation(truth, runs, styles)
    panels += plot_compensated(truth, runs, styles)
    for panel in panels:
        assert "gone" not in lines(panel)
        assert "gone: all 2 members blew up" in panel.figure.legends[0].get_title().get_text()
    sentence, word = predictability_verdict(found["gone"], score(found["gone"]))
    assert word == "unstable"
    assert "; energy error unknown; 2 of 2 runs blew up, first at time 0.2." in sentence
