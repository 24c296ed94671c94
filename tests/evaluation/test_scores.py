"""Scores with intervals, verdicts and blow-ups."""

import dataclasses
import json

import numpy as np
import pytest

from subgrid.evaluation import (
    METRICS,
    BlowUp,
    Interval,
    OnlineScore,
    StepCost,
    outcome,
    score_online,
    score_record,
    two_thirds_cut,
    verdict,
)
from subgrid.evaluation.scores import common_floor, sampling_floor


@pytest.fixture(scope="module")
def scores(runs, truth, coarse):
    # two "networks" of one closure: the same run twice
    doubled = {**runs, "smagorinsky": runs["smagorinsky"] * 2}
    costs = {"none": StepCost(1e-3, 1.0), "smagorinsky": StepCost(2e-3, 2.0)}
    cut = two_thirds_cut(coarse.grid)
    return score_online(doubled, truth, coarse, cut=cut, costs=costs, samples=200)


def test_errors_are_those_of_the_mean_spectra(scores, runs, truth, coarse):
    keep = truth["wavenumber"].values < two_thirds_cut(coarse.grid)
    for index, layer in enumerate(("upper", "lower")):
        mean, reference = (
            data["kinetic_energy_spectrum"].values.mean(axis=0)[index, keep]
            for data in (runs["none"][0], truth)
        )
        found = scores["none"].errors[f"kinetic_energy_spectrum_{layer}"]
        assert found.estimate == pytest.approx(np.sqrt(np.mean((mean - reference) ** 2)))
        assert found.low <= found.estimate <= found.high


def test_reduction_is_relative_to_no_closure(scores):
    key = "kinetic_energy_spectrum_upper"
    ratio = scores["smagorinsky"].errors[key].estimate / scores["none"].errors[key].estimate
    assert scores["smagorinsky"].reductions[key].estimate == pytest.approx(1 - ratio)
    assert scores["smagorinsky"].networks == 2
    assert scores["smagorinsky"].runs == 4
    assert scores["none"].reductions == {}
    assert set(scores["none"].similarity.values()) == {0.0}


def test_blow_ups_are_counted_and_dated(scores, runs):
    score = scores["runaway"]
    assert len(score.blow_ups) == score.runs == 2
    first = score.blow_ups[0]
    assert first.step == runs["runaway"][0]["blew_up_at"].values[0]
    assert first.time == pytest.approx(first.step * 7200 / 86400)
    assert outcome(score) == "unstable"
    assert "2 of 2 members blew up" in verdict(score)
    assert np.isnan(score.errors["kinetic_energy_spectrum_upper"].estimate)


def test_records_are_plain_json(scores):
    text = json.dumps({name: score_record(score) for name, score in scores.items()})
    assert "NaN" not in text
    assert json.loads(text)["runaway"]["blow_ups"][0]["network"] == 0


def test_a_missing_baseline_is_refused(runs, truth, coarse):
    with pytest.raises(KeyError, match="baseline"):
        score_online(runs, truth, coarse, cut=1e-4, baseline="nothing")


def test_the_sampling_floor_is_the_error_of_other_weather():
    random = np.random.default_rng(0)
    population = 3.0 + random.normal(size=(20000, 5)) * [1.0, 2.0, 0.0, 3.0, 1.0]
    members = 6

    def rmse(ours, truth):
        return np.sqrt(np.mean((ours - truth)[..., :4] ** 2, axis=-1))  # four bins below the cut

    floor = sampling_floor(population, members, members, rmse)
    # by hand: 2/6 (1 + 4 + 0 + 9)/4
    assert floor == pytest.approx(np.sqrt(2 / 6 * 14 / 4), rel=0.02)  # 20,000 draws
    pairs = population[: 2 * members * 1600].reshape(1600, 2, members, 5).mean(axis=2)
    errors = rmse(pairs[:, 0], pairs[:, 1])
    assert floor == pytest.approx(np.sqrt(np.mean(errors**2)), rel=0.05)  # 1,600 pairs
    lost = np.where(np.arange(20000)[:, None] < 2, np.nan, population)
    assert sampling_floor(lost, members, members, rmse) == pytest.approx(floor, rel=1e-3)
    assert np.isnan(sampling_floor(population[:1], members, members, rmse))
    # a truth of many members is one of the two means without an error of its own
    against_many = sampling_floor(population, members, 10**6, rmse)
    assert against_many == pytest.approx(floor / np.sqrt(2), rel=1e-4)


def test_scores_have_the_floor_of_the_members_that_are_scored(scores, truth, coarse):
    keep = truth["wavenumber"].values < two_thirds_cut(coarse.grid)
    variance = truth["kinetic_energy_spectrum"].values[:, 1, keep].var(axis=0, ddof=1)
    key = "kinetic_energy_spectrum_lower"
    assert scores["smagorinsky"].floors[key] == pytest.approx(np.sqrt(np.mean(variance)))
    assert np.isnan(scores["runaway"].floors[key])  # no member is scored
    assert common_floor(scores, key) == scores["none"].floors[key]
    assert score_record(scores["none"])["sampling_floor"][key] == scores["none"].floors[key]


@pytest.mark.parametrize(
    ("upper", "lower", "words"),
    [
        (0.5, 0.3, ", with an error not above the sampling floor in both layers; 0 of"),
        (0.5, 0.1, ", with an error not above the sampling floor in the upper layer; 0 of"),
        (0.4, 0.1, "cost per step; 0 of"),
    ],
)
def test_the_verdict_says_where_the_floor_is_reached(upper, lower, words):
    floors = {"kinetic_energy_spectrum_upper": upper, "kinetic_energy_spectrum_lower": lower}
    score = _score((0.43, 0.30, 0.52), (0.2, 0.1, 0.3))  # its errors are 0.43 and 0.2 as well
    for reductions in (score.reductions, {}):  # of a closure, and of the baseline
        one = dataclasses.replace(score, floors=floors, reductions=reductions)
        assert (words in verdict(one)) == (bool(reductions) or "floor" in words)


def _score(upper, lower, blow_ups=()):
    reductions = {
        "kinetic_energy_spectrum_upper": Interval(*upper),
        "kinetic_energy_spectrum_lower": Interval(*lower),
    }
    scored = np.ones((1, 8), bool)
    scored[0, [blow_up.member for blow_up in blow_ups]] = False
    cost = StepCost(1e-3, 12.0)
    return OnlineScore(
        "net", blow_ups, scored, reductions, reductions, {}, {}, cost, layers=("upper", "lower")
    )


def test_the_verdict_says_what_the_numbers_say():
    better = _score((0.43, 0.30, 0.52), (0.2, 0.1, 0.3))
    assert verdict(better) == (
        "reduces the KE-spectrum error of the upper layer by 43 % (95 % interval 30 to 52 %) and "
        "that of the lower layer by 20 % (95 % interval 10 to 30 %) at 12 times the cost per step; "
        "0 of 8 members blew up."
    )
    assert outcome(better) == "better"


def test_the_verdict_of_an_unstable_model_says_so_first():
    dead = (BlowUp(0, 3, 5000, 212.4), BlowUp(0, 7, 9000, 375.0))
    unstable = _score((0.43, 0.30, 0.52), (0.2, 0.1, 0.3), dead)
    assert verdict(unstable) == (
        "is unstable: 2 of 8 members blew up, first on day 212; over the surviving members it "
        "reduces the KE-spectrum error of the upper layer by 43 % (95 % interval 30 to 52 %) and "
        "that of the lower layer by 20 % (95 % interval 10 to 30 %) at 12 times the cost per step."
    )
    assert outcome(unstable) == "unstable"


def test_what_is_to_be_said_of_a_training_follows_every_verdict():
    said = "seed 0: its weights are those it began with"
    dead = (BlowUp(0, 3, 5000, 212.4),)
    for lost in ((), dead):
        one = _score((0.43, 0.30, 0.52), (0.2, 0.1, 0.3), lost)
        remarked = dataclasses.replace(one, remark=said)
        assert verdict(remarked) == f"{verdict(one)} Training: {said}."
        assert score_record(remarked) == {
            **score_record(one),
            "verdict": verdict(remarked),
            "training": said,
        }
        assert "training" not in score_record(one)


def test_the_verdict_names_the_level_of_its_intervals():
    low = _score((0.43, 0.30, 0.52, 0.683), (0.2, 0.1, 0.3, 0.683))
    assert "by 43 % (68.3 % interval 30 to 52 %)" in verdict(low)
    # 8 members reach 2 · 2⁻⁸ = 0.8 %: not 0.1 %
    high = _score((0.43, 0.30, 0.52, 0.999), (0.2, 0.1, 0.3, 0.999))
    assert "by 43 % (resampling the 8 members: 30 to 52 %)" in verdict(high)


@pytest.mark.parametrize(
    ("upper", "lower", "word", "expected"),
    [
        ((-0.43, -0.52, -0.30), (0.0, -0.1, 0.1), "increases", "worse"),
        ((0.05, -0.1, 0.2), (0.05, -0.1, 0.2), "does not clearly change", "unclear"),
        # of a skewed statistic the interval may exclude its estimate: the interval counts
        ((0.15, -0.98, -0.05), (-0.3, -0.5, -0.1), "increases", "worse"),
        ((0.4, 0.3, 0.5), (-0.4, -0.5, -0.3), "increases that of the lower", "unclear"),
        ((0.4, np.nan, np.nan), (0.4, np.nan, np.nan), "one run: no interval", "unclear"),
    ],
)
def test_outcomes_follow_the_intervals(upper, lower, word, expected):
    score = _score(upper, lower)
    assert word in verdict(score)
    assert outcome(score) == expected


def test_every_metric_is_found_and_described():
    described = METRICS.describe()
    assert len(described) >= 10
    assert all(callable(METRICS.get(name)) and text for name, text in described)
