"""Counts of trainings and data: integers of NumPy are counts, and are kept as Python's."""

import numpy as np
import pytest

from subgrid.data.loader import sample_order
from subgrid.errors import ConfigError, KindError
from subgrid.training import Noise, Plan
from subgrid.training.optimisers import Adam
from subgrid.training.schedules import Constant, WarmupCosine

pytestmark = pytest.mark.usefixtures("untyped")  # as a user meets the checks


def plan(**changes):
    return Plan(**{"optimiser": Adam(Constant(1e-3)), "updates": 3, **changes})


def test_counts_of_numpy_are_kept_as_plain_ones():
    """So that the record of a training can be written as JSON, and is that of the same number."""
    given = {"updates": np.int64(3), "batch_size": np.int32(4), "chunk": np.uint8(2)}
    assert plan(**given).settings() == plan(batch_size=4, chunk=2).settings()
    assert all(type(plan(**given).settings()[name]) is int for name in given)
    assert type(WarmupCosine(1.0, np.int64(9), np.int64(2)).warmup) is int
    numbers = sample_order(5, np.uint32(1), np.int64(2), "here")
    np.testing.assert_array_equal(numbers(3), sample_order(5, 1, 2, "here")(3))


@pytest.mark.parametrize("value", [3.0, True, "3"])
def test_nothing_else_is_a_count(value):
    for make in (
        lambda: plan(updates=value),
        lambda: plan(batch_size=value),
        lambda: Noise(0.1, from_update=value),
        lambda: WarmupCosine(1.0, value),
        lambda: sample_order(5, 1, value, "here"),
        lambda: sample_order(5, value, 1, "here"),
    ):
        with pytest.raises(KindError, match=r"must be a whole number"):
            make()


@pytest.mark.parametrize("value", ["0.1", True, float("nan"), float("inf"), 1e-320])
def test_rates_are_finite_numbers(value):
    for make in (
        lambda: Noise(value),
        lambda: Constant(value),
        lambda: Adam(Constant(1e-3), epsilon=value),
        lambda: WarmupCosine(1.0, 3, end=value),
        lambda: plan(ema=value),
    ):
        with pytest.raises(ConfigError, match="must be "):
            make()
