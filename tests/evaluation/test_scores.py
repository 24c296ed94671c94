"""The scores of real runs by hand, floors, and what verdicts say of tables."""

import json

import numpy as np
import pytest
from made_tables import ONE, SPECTRUM, made_table, model

from subgrid.evaluation import (
    METRICS,
    StepCost,
    compare,
    outcome,
    score_record,
    two_thirds_cut,
    verdict,
    with_costs,
)
from subgrid.evaluation import table as read
from subgrid.evaluation.intervals import sampling_floor
from subgrid.evaluation.verdicts import finding_of_pair, summary

UPPER, LOWER = ({"quantity": SPECTRUM, "component": part} for part in ("upper", "lower"))


@pytest.fixture(scope="module")
def scores(runs, truth, coarse):
    # two "networks" of one closure: the same run twice
    doubled = {**runs, "smagorinsky": runs["smagorinsky"] * 2}
    cut = two_thirds_cut(coarse.grid)
    table = compare(doubled, truth, baseline="none", system=coarse, cut=cut, samples=200)
    return with_costs(table, {"none": StepCost(1e-3, 1.0), "smagorinsky": StepCost(2e-3, 2.0)})


def test_errors_are_those_of_the_mean_spectra(scores, runs, truth, coarse):
    keep = truth["wavenumber"].values < two_thirds_cut(coarse.grid)
    for index, place in enumerate((UPPER, LOWER)):
        mean, reference = (
            data[SPECTRUM].values.mean(axis=0)[index, keep] for data in (runs["none"][0], truth)
        )
        found = read.interval(scores, "spectral_error_mean", model="none", **place)
        assert found.estimate == pytest.approx(np.sqrt(np.mean((mean - reference) ** 2)))
        assert found.low <= found.estimate <= found.high


def test_gains_are_relative_to_no_closure(scores):
    errors = [
        read.interval(scores, "spectral_error_mean", model=name, **UPPER).estimate
        for name in ("smagorinsky", "none")
    ]
    gain = read.interval(scores, "spectral_error_gain", model="smagorinsky", **UPPER)
    assert gain.estimate == pytest.approx(1 - errors[0] / errors[1])
    assert read.ran(scores, "smagorinsky").shape == (2, 2)
    assert np.isnan(read.interval(scores, "spectral_error_gain", model="none", **UPPER).estimate)
    assert set(read.similarities(scores, "none").values()) == {0.0}
    assert len(read.similarities(scores, "smagorinsky")) == 18
    assert set(read.relative_errors(scores, "none")) == {"values", "spectra"}


def test_blow_ups_are_counted_and_dated(scores, runs):
    dead = read.blow_ups(scores, "runaway")
    assert len(dead) == read.ran(scores, "runaway").size == 2
    assert dead[0].step == runs["runaway"][0]["blew_up_at"].values[0]
    assert dead[0].time == pytest.approx(dead[0].step * 7200 / 86400)
    assert outcome(scores, "runaway") == "unstable"
    assert "2 of 2 members blew up" in verdict(scores, "runaway")
    assert np.isnan(read.interval(scores, "spectral_error_mean", model="runaway", **UPPER).low)


def test_records_are_plain_json(scores):
    text = json.dumps({name: score_record(scores, name) for name in read.models(scores)})
    assert "NaN" not in text
    assert json.loads(text)["runaway"]["blow_ups"][0]["network"] == 0
    assert json.loads(text)["runaway"]["similarity"]["q_upper"] is None


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
    variance = truth[SPECTRUM].values[:, 1, keep].var(axis=0, ddof=1)
    floor = read.value(scores, "spectral_error_floor", model="smagorinsky", **LOWER)
    assert floor == pytest.approx(np.sqrt(np.mean(variance)))
    lost = read.value(scores, "spectral_error_floor", model="runaway", **LOWER)
    assert np.isnan(lost)  # no member is scored
    assert read.common_floor(scores, "spectral_error", SPECTRUM, "lower") == floor
    assert score_record(scores, "none")["sampling_floor"][f"{SPECTRUM}_lower"] == floor


BETTER = ((0.43, 0.30, 0.52), (0.2, 0.1, 0.3))


def net(gains=BETTER, level=0.95, **more):
    """Return a table of no closure and of a model with such gains, whose errors are the same."""
    errors = [gain[0] for gain in gains]
    one = model(*errors, gains=gains, cost=12.0, **more)
    return made_table({"none": model(*errors, cost=1.0), "net": one}, level=level)


@pytest.mark.parametrize(
    ("upper", "lower", "words"),
    [
        (0.5, 0.3, ", with an error not above the sampling floor in both layers; 0 of"),
        (0.5, 0.1, ", with an error not above the sampling floor in the upper layer; 0 of"),
        (0.4, 0.1, "cost per step; 0 of"),
    ],
)
def test_the_verdict_says_where_the_floor_is_reached(upper, lower, words):
    floors = (upper, lower)
    one = model(0.43, 0.2, gains=BETTER, cost=12.0, floors=floors)
    table = made_table({"none": model(0.43, 0.2, floors=floors), "net": one})
    assert words in verdict(table, "net")
    assert (words in verdict(table, "none")) == ("floor" in words)


def test_the_verdict_says_what_the_numbers_say():
    assert verdict(net(), "net") == (
        "reduces the error of the kinetic energy spectrum of the upper layer by 43 % (95 % "
        "interval 30 to 52 %) and that of the lower layer by 20 % (95 % interval 10 to 30 %) at "
        "12 times the cost per step; 0 of 8 members blew up."
    )
    assert outcome(net(), "net") == "better"
    assert summary(net()) == (
        "1 of 1 models reduced the error of the kinetic energy spectrum beyond chance in free "
        "runs from held-out states; 0 of 16 runs blew up."
    )


def test_the_verdict_of_an_unstable_model_says_so_first():
    dead = {"dead": ((0, 3), (0, 7)), "steps": {(0, 3): 2124, (0, 7): 3750}}
    unstable = net(**dead)
    assert verdict(unstable, "net") == (
        "is unstable: 2 of 8 members blew up, first on day 212; over the surviving members it "
        "reduces the error of the kinetic energy spectrum of the upper layer by 43 % (95 % "
        "interval 30 to 52 %) and that of the lower layer by 20 % (95 % interval 10 to 30 %) at "
        "12 times the cost per step."
    )
    assert outcome(unstable, "net") == "unstable"


def test_what_is_to_be_said_of_a_training_follows_every_verdict():
    said = "seed 0: its weights are those it began with"
    for dead in ((), ((0, 3),)):
        plain, remarked = net(dead=dead), net(dead=dead, remark=said)
        assert verdict(remarked, "net") == f"{verdict(plain, 'net')} Training: {said}."
        assert score_record(remarked, "net")["training"] == said
        assert "training" not in score_record(plain, "net")


def test_the_verdict_names_the_level_of_its_intervals():
    assert "by 43 % (68.3 % interval 30 to 52 %)" in verdict(net(level=0.683), "net")
    # 8 members reach 2 · 2⁻⁸ = 0.8 %: not 0.1 %
    assert "by 43 % (resampling the 8 members: 30 to 52 %)" in verdict(net(level=0.999), "net")


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
    table = net((upper, lower))
    assert word in verdict(table, "net")
    assert outcome(table, "net") == expected


def test_a_single_component_has_no_name():
    one = model(0.5, gains=((0.5, 0.4, 0.6),))
    table = made_table({"none": model(1.0), "net": one}, ONE)
    assert verdict(table, "net").startswith("reduces the error of the kinetic energy spectrum by 5")


def pair(members=8, ratio=(0.5, 0.4, 0.6), networks=2, **more):
    """Return the table of a model and another it is compared with."""
    one = model(1.0, 1.0, shape=(networks, 8), ratios={("b", members): (ratio, ratio)}, **more)
    return made_table({"none": model(1.0, 1.0), "a": one, "b": model(2.0, 2.0, shape=(2, 8))})


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (pair(), "smaller error"),
        (pair(ratio=(2.0, 1.5, 3.0)), "larger error"),
        (pair(ratio=(1.0, 0.5, 1.5)), "no clear difference"),
        (pair(networks=1), "smaller error; training seeds not covered"),
        (pair(members=5), "too few members to tell"),
        (pair(members=0), "no member to compare"),
        (pair(dead=((1, 0),)), "smaller error; 1 of 16 runs of A blew up"),
        (pair(remark="stuck"), "smaller error; A: stuck"),
    ],
)
def test_what_the_ratio_of_two_models_says(table, said):
    assert finding_of_pair(table, "a", "b", labels={"a": "A"}) == said


def test_unequal_budgets_are_told():
    equal, unequal = {"a": (400, 400), "b": (400,)}, {"a": (400, 400), "b": (800,)}
    assert finding_of_pair(pair(), "a", "b", equal) == "smaller error"
    assert finding_of_pair(pair(), "a", "b", unequal) == "smaller error; unequal budgets"


def test_every_metric_is_found_and_described():
    described = METRICS.describe()
    assert len(described) >= 10
    assert all(callable(METRICS.get(name)) and text for name, text in described)
