"""Offline scores against cases small enough to compute by hand."""

import jax
import numpy as np
import pytest

from subgrid.closures import AbstractClosure
from subgrid.errors import ShapeError
from subgrid.evaluation import evaluate_offline, join_sums, offline_scores, sample_sums
from subgrid.grids import MaskedBasin, PeriodicGrid, PeriodicLine, Points

GRID = PeriodicGrid(4, length_x=4.0)


def _waves(*amplitudes):
    """Return [sample, level=1, 4, 4] fields a·cos(2πx/L), whose mean square is a²/2."""
    wave = np.tile(np.cos(2 * np.pi * np.arange(4) / 4), (4, 1))
    return np.array(amplitudes, np.float64)[:, None, None, None] * wave


def scores_of(*arguments, **options):
    return offline_scores(sample_sums(*arguments, **options))


def test_scores_of_waves_by_hand():
    truth, prediction = _waves(2.0, 4.0), _waves(1.0, 4.0)
    scores = scores_of(prediction, truth, GRID)
    # errors: amplitudes 1 and 0; ⟨cos²⟩ = 1/2
    assert scores["mse"] == pytest.approx(0.25)
    np.testing.assert_allclose(scores["relative_l2"], [0.5, 0.0], atol=1e-15)
    assert scores["pooled_relative_l2"] == pytest.approx(np.sqrt(1 / 20))
    # spectra go with the amplitude squared: (4 - 1)/4 and 0; pooled (4 + 16 - 1 - 16)/(4 + 16)
    np.testing.assert_allclose(scores["relative_spectral_l2"], [0.75, 0.0], atol=1e-15)
    assert scores["pooled_relative_spectral_l2"] == pytest.approx(3 / 20)
    # the mean of the truth is 0 and its variance (4 + 16)/4 = 5
    np.testing.assert_allclose(scores["r_squared"], [1 - 0.25 / 5])
    # ⟨pt⟩ = (2 + 16)/4, ⟨p²⟩ = (1 + 16)/4, ⟨t²⟩ = 5
    np.testing.assert_allclose(scores["correlation"], [4.5 / np.sqrt(4.25 * 5)])


def test_skill_below_the_filter_by_hand():
    # on 4 x 4 cells the wave has half the Nyquist wavenumber, the checkerboard √2 times it
    checkers = np.indices((4, 4)).sum(0) % 2 * 2.0 - 1
    truth, prediction = _waves(2.0) + 10 * checkers, _waves(1.0) - 3 * checkers
    scores = scores_of(prediction, truth, GRID)
    np.testing.assert_allclose(scores["r_squared_below_filter"], [1 - 0.5 / 2])
    np.testing.assert_allclose(scores["r_squared"], [1 - (0.5 + 169) / (2 + 100)])
    none = scores_of(prediction, truth, GRID, cut=0.4)
    assert np.isnan(none["r_squared_below_filter"][0])
    whole = scores_of(prediction, truth, GRID, cut=1.5)
    np.testing.assert_allclose(whole["r_squared_below_filter"], whole["r_squared"])


def test_scores_standardise_and_average_levels():
    truth = np.concatenate([_waves(2.0), 10 * _waves(2.0)], axis=1)
    prediction = np.concatenate([_waves(1.0), 10 * _waves(2.0)], axis=1)
    scores = scores_of(prediction, truth, GRID, scale=[1.0, 10.0])
    assert scores["mse"] == pytest.approx((0.5 + 0.0) / 2)
    assert scores["pooled_relative_l2"] == pytest.approx((0.5 + 0.0) / 2)
    unscaled = scores_of(prediction, truth, GRID)
    assert unscaled["mse"] == pytest.approx((0.5 + 0.0) / 2)
    np.testing.assert_allclose(scores["r_squared"], unscaled["r_squared"])


def test_mean_of_the_truth_scores_zero_skill():
    truth = 3.0 + _waves(1.0, 2.0)
    scores = scores_of(np.full_like(truth, truth.mean()), truth, GRID)
    np.testing.assert_allclose(scores["r_squared"], [0.0], atol=1e-12)
    assert np.isnan(scores["correlation"][0])  # a constant has no correlation


def test_batches_join_to_the_same_scores():
    generator = np.random.default_rng(0)
    p, t = generator.normal(size=(2, 7, 2, 4, 4))
    whole = offline_scores(sample_sums(p, t, GRID))
    parts = join_sums([sample_sums(p[:3], t[:3], GRID), sample_sums(p[3:], t[3:], GRID)])
    for name, value in offline_scores(parts).items():
        np.testing.assert_allclose(value, whole[name])


def test_samples_with_nan_are_masked_and_counted():
    truth, prediction = _waves(2.0, 4.0, 1.0), _waves(1.0, 4.0, 1.0)
    prediction[2, 0, 1, 1] = np.nan
    scores = scores_of(prediction, truth, GRID)
    assert (scores["masked_samples"], scores["first_masked"], scores.sizes["sample"]) == (1, 2, 2)
    assert scores["mse"] == pytest.approx(0.25)
    nothing = offline_scores(sample_sums(np.full_like(truth, np.inf), truth, GRID))
    assert int(nothing["masked_samples"]) == 3
    assert np.isnan(float(nothing["mse"]))
    assert np.isnan(nothing["r_squared"]).all()


def test_the_first_masked_sample_is_numbered_within_the_whole_set():
    truth = _waves(2.0, 4.0, 1.0)
    whole, broken = sample_sums(truth, truth, GRID), truth.copy()
    broken[1, 0, 0, 0] = np.inf
    joined = join_sums([whole, sample_sums(broken, truth, GRID), sample_sums(broken, truth, GRID)])
    assert joined.sizes["sample"] == 9
    scores = offline_scores(joined)
    assert (scores["masked_samples"], scores["first_masked"]) == (2, 4)
    assert offline_scores(join_sums([whole, whole]))["first_masked"] == -1


def test_wrong_shapes_and_empty_sets_are_refused():
    with pytest.raises(ShapeError, match="prediction and truth"):
        sample_sums(np.zeros((2, 2, 4, 4)), np.zeros((2, 2, 4, 6)), GRID)
    with pytest.raises(ValueError, match="empty"):
        join_sums([])


class Halving(AbstractClosure):
    """Returns half the state."""

    def __call__(self, state, memory=None, forcing=None):
        """Return half the state."""
        return jax.tree.map(lambda field: 0.5 * field, state), memory


def test_evaluate_offline_runs_the_closure_in_batches(coarse):
    generator = np.random.default_rng(0)
    q = generator.normal(size=(6, 2, 16, 16)).astype(np.float32)
    seen = []
    scores = evaluate_offline(
        Halving(),
        [(q[:4], q[:4]), (q[4:], q[4:])],
        system=coarse,
        scale=[1.0, 1.0],
        progress=seen.append,
    )
    assert seen == [4, 6]
    assert (scores.sizes["sample"], scores.sizes["channel"]) == (6, 2)
    np.testing.assert_allclose(scores["relative_l2"], 0.5, rtol=1e-6)  # float32 closure
    np.testing.assert_allclose(scores["correlation"], 1.0, rtol=1e-6)
    # power is the amplitude squared
    np.testing.assert_allclose(scores["pooled_relative_spectral_l2"], 0.75, rtol=1e-6)


def test_scores_on_a_line_on_points_and_in_a_basin():
    random = np.random.default_rng(3)
    truth = random.normal(size=(5, 1, 12))
    for domain in (PeriodicLine(12), Points(12)):
        sums = sample_sums(0.5 * truth, truth, domain)
        found = offline_scores(sums)["r_squared_of_samples"]
        # half of the truth: the error is a quarter of its mean square
        wanted = 1 - 0.25 * (truth**2).mean(-1) / truth.var(-1)
        np.testing.assert_allclose(found, wanted)
        assert sums.truth_spectrum.shape[-1] == (6 if domain.has_spectrum else 0)
    water = np.ones((3, 4), bool)
    water[1, 1:3] = False
    field = random.normal(size=(2, 1, 3, 4))
    wrong_on_land = np.where(water, field, 1e3)
    assert scores_of(wrong_on_land, field, MaskedBasin(water, 2.0))["mse"] == 0
