"""The two-level bootstrap."""

import numpy as np
import pytest

from subgrid.evaluation import bootstrap_interval
from subgrid.evaluation.intervals import fewest_members, percent, weighted_mean


def _mean_of(values):
    def statistic(networks, members):
        return np.einsum("dn,dm,nm->d", networks, members, values) / values.size

    return statistic


def test_interval_of_a_mean_has_the_width_of_its_standard_error():
    values = np.random.default_rng(0).normal(size=(1, 400))
    found = bootstrap_interval(_mean_of(values), 1, 400, samples=2000, seed=1)
    assert found.estimate == pytest.approx(values.mean())
    # ±1.96 σ/√n; 2000 draws fix a quantile to about 5 %
    assert found.high - found.low == pytest.approx(2 * 1.96 / 20, rel=0.15)


def test_networks_widen_the_interval():
    members = np.random.default_rng(0).normal(size=(1, 20))
    networks = members + np.array([[-3.0], [0.0], [3.0]])
    narrow = bootstrap_interval(_mean_of(members), 1, 20)
    wide = bootstrap_interval(_mean_of(networks), 3, 20)
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def test_seed_fixes_the_draws():
    values = np.random.default_rng(0).normal(size=(3, 5))
    first, second, other = (
        bootstrap_interval(_mean_of(values), 3, 5, seed=seed) for seed in (1, 1, 2)
    )
    assert first == second
    assert first != other


def test_one_run_has_an_estimate_but_no_interval():
    found = bootstrap_interval(_mean_of(np.array([[2.0]])), 1, 1)
    assert found.estimate == 2.0
    assert np.isnan(found.low)
    assert not found.excludes_zero


def test_draws_that_are_not_finite_are_left_out():
    values = np.array([1.0, 2.0, np.nan])
    found = bootstrap_interval(lambda n, m: m @ values / 3, 1, 3)
    assert np.isnan(found.estimate)
    assert np.isnan([found.low, found.high]).all()  # every draw has 0 · NaN
    found = bootstrap_interval(lambda n, m: weighted_mean(values, m), 1, 3)
    assert found.estimate == 1.5
    assert (found.low, found.high) == (1.0, 2.0)


def test_weighted_mean_by_hand():
    values = np.array([[1.0, 10.0], [2.0, 20.0], [np.nan, 0.0]])
    found = weighted_mean(values, np.array([[3, 1, 5], [0, 0, 2]]))
    np.testing.assert_allclose(found, [[1.25, 12.5], [np.nan, np.nan]])


@pytest.mark.parametrize(("counts", "level"), [((0, 3), 0.95), ((1, 0), 0.95), ((1, 3), 1.0)])
def test_impossible_requests_are_refused(counts, level):
    with pytest.raises(ValueError, match=r"need at least|level must"):
        bootstrap_interval(lambda n, m: np.zeros(len(n)), *counts, level=level)


@pytest.mark.parametrize(("level", "members"), [(0.5, 3), (0.9, 5), (0.95, 6), (0.99, 8)])
def test_so_many_members_of_one_sign_exclude_chance(level, members):
    assert 2 * 0.5**members < 1 - level <= 2 * 0.5 ** (members - 1)
    assert fewest_members(level) == members


def test_levels_read_like_a_person_would_write_them():
    assert [percent(level) for level in (0.95, 0.683, 0.999)] == ["95 %", "68.3 %", "99.9 %"]
