"""The table of scores, on datasets that a user could bring: no config, no run folder."""

import numpy as np
import pytest
import xarray as xr

import subgrid
from subgrid.evaluation import METRICS, AbstractMetric
from subgrid.evaluation.metric_distances import SpectralError
from subgrid.evaluation.metric_ensembles import CRPS, RankHistogram, fair_crps
from subgrid.evaluation.metric_runs import LeadError
from subgrid.evaluation.survival import paired_truth
from subgrid.evaluation.table import interval, ran, scored, similarities

SITES, TIMES = 12, 20


def field(members, seed, start=None, shift=0.0, scale=1.0):
    """Return runs of a field on a line of sites, with a coordinate of where each starts."""
    random = np.random.default_rng(seed)
    values = shift + scale * random.normal(size=(members, TIMES, SITES))
    coords = {"time": np.arange(1.0, TIMES + 1)}
    if start is not None:
        coords["start"] = ("member", np.asarray(start))
    return xr.Dataset({"x": (("member", "time", "k"), values, {"units": "m"})}, coords)


def test_a_field_of_a_users_own_is_compared_in_memory():
    truth = field(6, 0)
    runs = {"none": field(6, 1, shift=1.0), "net": [field(6, 2), field(6, 3)]}
    table = subgrid.compare(runs, truth, baseline="none", domain=("k",), samples=100)
    assert table["rmse"].dims == ("model", "network", "member", "quantity", "component")
    place = {"model": "net", "quantity": "x", "component": ""}
    # two unrelated unit normals differ by a unit normal times the root of two
    assert interval(table, "rmse_mean", **place).estimate == pytest.approx(np.sqrt(2), rel=0.05)
    assert interval(table, "rmse_gain", **place).excludes_zero
    found = interval(table, "mean_error_mean", **place)
    assert found.low <= found.estimate <= found.high
    assert similarities(table, "net")["x", ""] > 0.5
    assert table.attrs["undefined"]["spread_skill"]["x"] == "one run from each state has no spread"


def test_what_a_metric_is_not_for_is_said_and_not_raised():
    truth = field(3, 0)
    table = subgrid.compare({"a": field(3, 1)}, truth, ["spectral_error", "rmse"], domain=("k",))
    assert "spectral_error" not in table  # no quantity has a spectrum
    assert table["rmse_mean"].sizes["quantity"] == 1
    lacking = field(3, 1).rename(x="y")
    table = subgrid.compare({"a": lacking}, truth, ["rmse"], domain=("k",))
    assert table.attrs["undefined"]["rmse"]["x"] == "the run has no x"


def test_runs_without_a_counterpart_in_the_truth_are_told():
    table = subgrid.compare({"a": field(4, 1)}, field(3, 0), ["rmse", "mean_error"], domain=("k",))
    assert "give the run a coordinate 'start'" in table.attrs["undefined"]["rmse"]["x"]
    assert np.isfinite(table["mean_error_mean"].sel(end="estimate")).all()


class Largest(AbstractMetric):
    """The largest value of a run: of each run, but against no truth of its own."""

    name, long_name, kinds, best = "largest", "largest value", ("field",), None
    against_start = False

    def of_runs(self, name, run, truth, domain):
        """Return it [member, component]."""
        return run[name].max(["time", "k"]).values[:, None]


def test_a_score_of_each_run_needs_a_truth_for_each_to_be_averaged_by_trajectory():
    table = subgrid.compare({"a": field(4, 1)}, field(3, 0), [Largest()], domain=("k",))
    assert "give the run a coordinate 'start'" in table.attrs["undefined"]["largest"]["x"]
    table = subgrid.compare({"a": field(3, 1)}, field(3, 0), [Largest()], domain=("k",))
    assert np.isfinite(table["largest"]).all()


def test_an_ensemble_of_one_has_a_score():
    run, truth = field(1, 1), field(1, 0)
    names = ["crps", "rank_histogram", "rmse", "mean_error", "wasserstein"]
    table = subgrid.compare({"a": run}, truth, names, domain=("k",))
    crps = float(table["crps_mean"].sel(end="estimate").squeeze())
    assert crps == pytest.approx(float(abs(run["x"] - truth["x"]).mean()))
    assert np.isnan(table["crps_mean"].sel(end="low")).all()


def test_an_ensemble_beside_single_runs_is_scored_as_alone():
    """Models with other numbers of members: each keeps its scores, gains are by trajectory."""
    truth, single = field(3, 0), field(3, 1, shift=1.0, start=[0, 1, 2])
    many = field(12, 2, start=np.repeat([0, 1, 2], 4))
    names = ["rmse", "crps", "spread_skill", "mean_error", "wasserstein"]
    options = {"domain": ("k",), "baseline": "single", "samples": 200}
    pairs = [("many", "single")]
    both = subgrid.compare({"single": single, "many": many}, truth, names, pairs=pairs, **options)
    for name, run in {"single": single, "many": many}.items():
        own = subgrid.compare({name: run}, truth, names, domain=("k",), samples=200)
        assert ran(both, name).shape == (1, run.sizes["member"])
        for metric in ("rmse", "crps", "mean_error"):
            place = {"model": name, "quantity": "x", "component": ""}
            assert interval(both, f"{metric}_mean", **place) == interval(
                own, f"{metric}_mean", **place
            ), metric
    place = {"quantity": "x", "component": ""}
    gain = interval(both, "crps_gain", model="many", **place)
    ours, alone = (
        interval(both, "crps_mean", model=name, **place).estimate for name in ("many", "single")
    )
    assert gain.estimate == pytest.approx(1 - ours / alone)
    assert np.isfinite([gain.low, gain.high]).all()
    assert np.isnan(interval(both, "spread_skill_mean", model="single", **place).estimate)
    assert np.isfinite(interval(both, "spread_skill_mean", model="many", **place).estimate)
    # members of both are not the same draws, so a ratio of means over members has no interval
    ratio = {"pair": "many / single", **place}
    assert np.isnan(interval(both, "mean_error_ratio", **ratio).estimate)
    assert interval(both, "rmse_ratio", **ratio).estimate == pytest.approx(
        interval(both, "rmse_mean", model="many", **place).estimate
        / interval(both, "rmse_mean", model="single", **place).estimate
    )


def test_a_reliable_ensemble_is_called_reliable():
    members, states = 10, 40
    random = np.random.default_rng(0)
    centre = random.normal(size=(states, TIMES, SITES))
    truth = field(states, 1)
    truth["x"] = truth["x"] + centre
    start = np.repeat(np.arange(states), members)
    run = field(states * members, 2, start)
    run["x"] = run["x"] + centre[start]
    narrow = run.assign(x=0.3 * (run["x"] - centre[start]) + centre[start])
    names = ["crps", "spread_skill", "rank_histogram"]
    table = subgrid.compare({"good": run, "narrow": narrow}, truth, names, "narrow", domain=("k",))

    def found(variable, model):
        return float(table[f"{variable}_mean"].sel(model=model, end="estimate").squeeze())

    # 40 states × 20 times × 12 sites; the standard error of a ratio of variances is about 1 %
    assert found("spread_skill", "good") == pytest.approx(1.0, abs=0.03)
    assert found("spread_skill", "narrow") < 0.4
    assert found("rank_histogram", "good") < 0.1 < found("rank_histogram", "narrow")
    # CRPS of a normal forecast of its own truth: σ/√π (Gneiting & Raftery 2007)
    assert found("crps", "good") == pytest.approx(1 / np.sqrt(np.pi), rel=0.02)
    assert float(table["crps_gain"].sel(model="good", end="low").squeeze()) > 0
    assert table["crps_mean"].attrs["units_of"] == {"x": "m"}


def test_the_fair_score_by_hand_and_of_members_that_are_lost():
    members = np.array([[0.0], [2.0], [4.0]])
    # ⟨|x - 1|⟩ = 5/3; Σ|x_i - x_j| = 2 (2 + 4 + 2) = 16 over 2·3·2
    assert fair_crps(members, np.array([1.0]))[0] == pytest.approx(5 / 3 - 16 / 12)
    lost = np.array([[0.0, 1.0], [np.nan, 3.0], [2.0, np.nan]])
    pair = fair_crps(lost, np.array([1.0, 1.0]))
    assert pair[0] == pytest.approx(1 - 4 / 4)
    assert pair[1] == pytest.approx(1 - 4 / 4)
    assert np.isnan(fair_crps(np.full((2, 1), np.nan), np.zeros(1)))[0]


def test_leads_of_states_times_draws_are_against_the_truth_of_their_state():
    """Two states with two draws each, mixed along member; two times, two sites."""
    truth = field(2, 0).isel(time=[0, 1], k=[0, 1])
    truth["x"] = xr.zeros_like(truth["x"]) + xr.DataArray([0.0, 10.0], dims="member")
    run = field(4, 1, start=[0, 1, 0, 1]).isel(time=[0, 1], k=[0, 1])
    offsets = xr.DataArray(
        [[1.0, 2.0], [11.0, 12.0], [3.0, 6.0], [9.0, 6.0]], dims=run["x"].dims[:2]
    )
    run["x"] = xr.zeros_like(run["x"]) + offsets
    paired = paired_truth(run, truth)
    errors = LeadError().curve("x", run, paired, ("k",))[:, 0]
    np.testing.assert_allclose(errors, [[1, 2], [1, 2], [3, 6], [1, 4]])
    # fair CRPS of a pair: the mean error less half the distance of the two
    scores = CRPS().curve("x", run, paired, ("k",))[:, 0]
    first, second = [2 - 2 / 2, 4 - 4 / 2], [1 - 2 / 2, 3 - 6 / 2]
    np.testing.assert_allclose(scores, [first, second, first, second], atol=1e-12)
    means = CRPS().of_runs("x", run, paired, ("k",))[:, 0]
    np.testing.assert_allclose(means, [1.5, 0.0, 1.5, 0.0], atol=1e-12)


def test_ranks_that_are_level_are_shared():
    run = xr.Dataset({"x": (("member", "time"), [[0.0], [1.0]])}, {"start": ("member", [0, 0])})
    truth = xr.Dataset({"x": (("member", "time"), [[1.0], [1.0]])}, {"start": ("member", [0, 0])})
    ranks = RankHistogram().features("x", run, truth, None)
    np.testing.assert_allclose(ranks[0, 0], [0.0, 0.5, 0.5])


def test_land_counts_for_nothing():
    class Basin:
        dims, weights = ("k",), np.where(np.arange(SITES) < 3, 0.0, 1.0)

    truth, run = field(2, 0), field(2, 1)
    run["x"][..., :3] = np.nan
    table = subgrid.compare({"a": run.fillna(1e9)}, truth, ["rmse"], domain=Basin())
    wet = float(np.sqrt(((run["x"] - truth["x"])[..., 3:] ** 2).mean(("time", "k"))).mean())
    assert float(table["rmse_mean"].sel(end="estimate").squeeze()) == pytest.approx(wet)


def test_a_metric_of_a_users_own_is_an_object_or_a_name():
    class Largest(SpectralError):
        name = "largest"

        def distance(self, ours, theirs, truth):
            return np.abs(ours - theirs).max(axis=-1)

    spectra = xr.Dataset(
        {"e": (("member", "wavenumber"), np.ones((2, 4)))},
        {"wavenumber": np.arange(4.0), "time": [1.0]},
    )
    table = subgrid.compare({"a": spectra + 1}, spectra, [Largest()])
    assert float(table["largest_mean"].sel(end="estimate").squeeze()) == 1.0
    with pytest.raises(Exception, match="unknown metric"):
        subgrid.compare({"a": spectra}, spectra, ["nonsense"])


def test_a_missing_baseline_and_no_runs_are_refused():
    with pytest.raises(KeyError, match="baseline"):
        subgrid.compare({"a": field(2, 1)}, field(2, 0), baseline="nothing", domain=("k",))
    with pytest.raises(ValueError, match="no runs"):
        subgrid.compare({}, field(2, 0))


def test_components_are_named_by_their_coordinates():
    level = ("level", [1, 2, 3], {"long_name": "layer, from above"})
    data = xr.Dataset({"e": (("member", "time", "level"), np.ones((2, 4, 3)))}, {"level": level})
    data = data.assign_coords(time=np.arange(4.0))
    table = subgrid.compare({"a": data}, data, ["mean_error"])
    assert list(table["component"].values) == ["1", "2", "3"]
    assert table.attrs["components"]["e"]["3"] == "layer 3"
    assert scored(table, "a").all()


def test_one_run_calls_itself_a_metric():
    called = METRICS.get("rmse")()(field(2, 1), field(2, 0), ("k",))
    assert called.dims == ("quantity", "member", "component")
    assert called.sizes == {"quantity": 1, "member": 2, "component": 1}
