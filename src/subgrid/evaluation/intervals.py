"""Confidence intervals over networks (training seeds) and members (initial states)."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Statistic = Callable[[NDArray[np.int64], NDArray[np.int64]], float]


class Interval(NamedTuple):
    """An estimate with the ends of its confidence interval and the level of that interval."""

    estimate: float
    low: float
    high: float
    level: float = 0.95

    @property
    def excludes_zero(self) -> bool:
        """Whether zero lies outside the interval: the sign of the estimate is then established."""
        return bool(self.low > 0 or self.high < 0)


def bootstrap_interval(
    statistic: Statistic,
    networks: int,
    members: int,
    *,
    level: float = 0.95,
    samples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Return an estimate and its percentile bootstrap interval over networks and members.

    `statistic(networks, members)` computes the number from two arrays of indices. All networks
    start from the same members, so the two are crossed, not nested: networks and members are each
    drawn with replacement, and everything that is compared (model, no closure, truth) uses the same
    draw of members (Owen 2007, Annals of Applied Statistics 1, 386: the pigeonhole bootstrap). With
    one network the interval covers members only, and the other way round; with one of each it is
    empty: its ends are NaN. `seed` fixes the draws. Draws whose statistic is not finite are left
    out.

    Raises ValueError for no networks, no members or a level outside (0, 1).
    """
    if networks < 1 or members < 1:
        raise ValueError(f"need at least 1 network and 1 member, got {networks} and {members}")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    estimate = float(statistic(np.arange(networks), np.arange(members)))
    if networks == members == 1:
        return Interval(estimate, float("nan"), float("nan"), level)
    generator = np.random.default_rng(seed)
    draws = np.array(
        [
            statistic(
                generator.integers(networks, size=networks),
                generator.integers(members, size=members),
            )
            for _ in range(samples)
        ],
        dtype=np.float64,
    )
    finite = draws[np.isfinite(draws)]
    if not finite.size:
        return Interval(estimate, float("nan"), float("nan"), level)
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return Interval(estimate, float(low), float(high), level)
