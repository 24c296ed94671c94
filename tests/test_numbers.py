"""Single numbers: one rule for what counts as whole, as finite, and as true or false."""

import jax.numpy as jnp
import numpy as np
import pytest

from subgrid.errors import ConfigError, KindError
from subgrid.numbers import (
    LARGEST_COUNT,
    fewest_draws,
    finite_number,
    positive_number,
    shown,
    true_or_false,
    whole_number,
)


@pytest.mark.parametrize("value", [4, np.int64(4), np.uint8(4), np.array(4), jnp.int32(4)])
def test_integers_of_python_and_numpy_are_whole_numbers(value):
    found = whole_number("steps", value)
    assert found == 4
    assert type(found) is int


@pytest.mark.parametrize(
    "value", [4.0, np.float64(4), True, np.True_, np.array(True), "4", None, [4], np.array([4])]
)
def test_nothing_else_is_a_whole_number(value):
    with pytest.raises(KindError, match=r"steps must be a whole number of at least 1, got "):
        whole_number("steps", value)
    assert issubclass(KindError, TypeError)  # of a kind, and a ConfigError for the exit code
    assert issubclass(KindError, ConfigError)


def test_whole_numbers_have_bounds():
    assert whole_number("n", 0, least=0) == 0
    with pytest.raises(ConfigError, match="n must be a whole number of at least 1, got 0"):
        whole_number("n", 0)
    with pytest.raises(ConfigError, match=f"at most {LARGEST_COUNT}"):
        whole_number("n", LARGEST_COUNT + 1)
    with pytest.raises(ConfigError, match="n is 8; it must be a whole number from 2 to 7"):
        whole_number("n", 8, least=2, most=7)
    with pytest.raises(ConfigError, match="an even whole number of at least 4, got 5"):
        whole_number("n", 5, least=4, even=True)
    with pytest.raises(ConfigError, match="too large to show"):
        whole_number("n", 10**5000)


@pytest.mark.parametrize("value", [2, 2.0, np.float32(2), np.array(2.0), jnp.float32(2)])
def test_numbers_become_floats(value):
    found = finite_number("dt", value)
    assert found == 2.0
    assert type(found) is float


@pytest.mark.parametrize("value", [True, "1.5e-11", None, 2 + 0j, [2.0], np.array([2.0]), np.True_])
def test_text_booleans_and_several_numbers_are_no_number(value):
    with pytest.raises(KindError, match="dt must be a number"):
        finite_number("dt", value)


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), -float("inf"), 1e-320, 1e-39, 1e308, 1e39, 10**400]
)
def test_numbers_that_single_precision_does_not_hold_are_refused(value):
    with pytest.raises(ConfigError, match=r"dt must be (a finite number|0 or between)"):
        finite_number("dt", value)


def test_signs_are_asked_for():
    assert finite_number("x", 0) == 0.0
    with pytest.raises(ConfigError, match=r"drag must not be negative, got -1\.0"):
        finite_number("drag", -1.0, least=0.0)
    for value in (0, -1.0):
        with pytest.raises(ConfigError, match="dt must be positive"):
            positive_number("dt", value)


def test_only_booleans_are_true_or_false():
    assert true_or_false("dealias", np.True_) is True
    for value in ("false", 0, None):
        with pytest.raises(KindError, match="dealias must be true or false"):
            true_or_false("dealias", value)


@pytest.mark.parametrize(("level", "draws"), [(0.5, 4), (0.9, 20), (0.95, 40), (0.99, 200)])
def test_the_fewest_draws_put_one_beyond_each_end(level, draws):
    assert fewest_draws(level) == draws
    assert draws * (1 - level) / 2 == pytest.approx(1)


def test_values_are_shown_in_a_line():
    deep = value = []
    for _ in range(100_000):
        value.append([])
        value = value[0]
    assert len(shown("x" * 1000)) == 80
    assert shown(deep) == "a list too large to show"
    assert shown(int("f" * 5000, 16)) == "a int too large to show"
