"""Confidence intervals over networks (training seeds) and members (initial states)."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from subgrid.numbers import fewest_draws, finite_number, whole_number

Scores = NDArray[np.float64]
Statistic = Callable[..., Scores]  # of counts: (networks, members) or more sets


class Interval(NamedTuple):
    """An estimate with the ends of its confidence interval and the level of that interval."""

    estimate: float
    low: float
    high: float
    level: float = 0.95

    @property
    def excludes_zero(self) -> bool:
        """Whether zero lies outside the interval."""
        return self.excludes(0.0)

    def excludes(self, value: float) -> bool:
        """Whether `value` lies outside the interval; False where the interval is empty."""
        return bool(self.low > value or self.high < value)


def bootstrap_interval(
    statistic: Statistic, *sizes: int, level: float = 0.95, samples: int = 2000, seed: int = 0
) -> Interval:
    """Return an estimate and its percentile bootstrap interval over networks and members.

    `sizes`: the number of networks, then of members; for two models the networks of the one, of the
    other, then the members of both. `statistic` takes an array of counts per size, [draw, network]
    or [draw, member]: how often each was drawn, and returns one number per draw. All networks start
    from the same members, so they are crossed, not nested: networks and members are each drawn with
    replacement, and all that is compared (model, no closure, truth) uses the same draws of members
    (Owen 2007, Annals of Applied Statistics 1, 386: the pigeonhole bootstrap). With one network the
    interval covers members only, and the other way round; with one of each it is empty: its ends
    are NaN. `seed` fixes the draws. Draws whose statistic is not finite are left out.

    Raises ValueError for no networks, no members, a level outside (0, 1) or so few draws that none
    lies beyond each end (see `subgrid.numbers.fewest_draws`).
    """
    if min(sizes) < 1:
        raise ValueError(f"need at least 1 network and 1 member, got {sizes}")
    if not 0 < finite_number("level", level) < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    samples = whole_number("samples", samples, fewest_draws(level))
    once = statistic(*(np.ones((1, size), np.int64) for size in sizes))
    estimate = float(once[0])
    if max(sizes) == 1:
        return Interval(estimate, float("nan"), float("nan"), level)
    generator = np.random.default_rng(seed)
    counts = (generator.multinomial(n, np.full(n, 1 / n), size=samples) for n in sizes)
    draws = statistic(*counts)
    finite = draws[np.isfinite(draws)]
    if not finite.size:
        return Interval(estimate, float("nan"), float("nan"), level)
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return Interval(estimate, float(low), float(high), level)


def fewest_members(level: float) -> int:
    """Return how few members can exclude chance at a confidence level.

    n members of equal sign reach 2 · 2⁻ⁿ in a sign test: below 5 % from 6 on.
    """
    members = 1
    while 2.0 ** (1 - members) >= 1 - level:
        members += 1
    return members


def percent(level: float) -> str:
    """Return a confidence level in words: 95 %."""
    return f"{100 * level:.6g} %"


def ratio(numerator: NDArray, denominator: NDArray) -> NDArray[np.float64]:
    """Return the quotient, NaN where the denominator is not above zero: it has no meaning there."""
    nothing = np.full(np.shape(numerator), np.nan)
    return np.divide(numerator, denominator, out=nothing, where=np.asarray(denominator) > 0)


def known_mean(values: NDArray) -> Scores:
    """Return the mean over the last axis of the values that are finite; NaN without any."""
    known = np.isfinite(values)
    total = np.where(known, values, 0.0).sum(axis=-1)
    return ratio(total, known.sum(axis=-1).astype(np.float64))


def weighted_mean(values: NDArray, counts: NDArray) -> NDArray[np.float64]:
    """Return the mean of `values` [item, ...] for each draw, weighted with `counts` [draw, item].

    Items that are not finite anywhere are left out; NaN for a draw without any other. Result
    [draw, ...].
    """
    array = np.asarray(values, np.float64)
    alive = np.isfinite(array).reshape(len(array), -1).all(axis=1)
    weights = counts[:, alive].astype(np.float64)
    totals = weights.sum(axis=1).reshape(-1, *[1] * (array.ndim - 1))
    sums = np.tensordot(weights, array[alive], axes=1)
    return np.divide(sums, totals, out=np.full_like(sums, np.nan), where=totals > 0)


def member_mean(values: ArrayLike) -> Scores:
    """Return the mean over members of values [member, ...], members without a value left out."""
    array = np.asarray(values, np.float64)
    alive = np.isfinite(array).all(axis=tuple(range(1, array.ndim)))
    return array[alive].mean(axis=0) if alive.any() else np.full(array.shape[1:], np.nan)


def sampling_floor(
    values: Scores, members: int, truth_members: int, distance: Callable[..., Scores]
) -> float:
    """Return the error of a mean expected of a model that is perfect but for the weather it draws.

        floor² = mean over the features below the cut of s² (1/M + 1/N)

    s² = variance of the truth's `values` [member, feature] over its members; M = `members` behind
    the model's mean, N = `truth_members` behind the truth's: two independent draws from one
    population. They start from the same states, so they are independent, and this is not too much,
    if the average begins when those are forgotten. Itself uncertain by some 30 % with six members,
    and the root of a mean square: an error is below it more often than not. What models differ by
    below it says nothing. NaN with fewer than two members. `distance(ours, theirs)`: a
    root-mean-square error of features [..., feature].
    """
    known = values[np.isfinite(values).all(axis=1)]
    if len(known) < 2 or members < 1:
        return float("nan")
    deviation = np.sqrt(known.var(axis=0, ddof=1) * (1 / members + 1 / truth_members))
    return float(distance(deviation[None], np.zeros_like(deviation)[None])[0])
