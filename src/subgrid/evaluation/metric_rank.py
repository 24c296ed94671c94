"""Where the truth falls among the members of an ensemble."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from subgrid.evaluation.components import by_component
from subgrid.evaluation.intervals import Scores
from subgrid.evaluation.metrics import AbstractMeanMetric
from subgrid.evaluation.starts import ensembles

if TYPE_CHECKING:
    import xarray as xr


class RankHistogram(AbstractMeanMetric):
    """Departure of the rank histogram from a flat one: Σ |f_r - 1/(m+1)| over the m + 1 ranks.

    0 where the truth is like one more member, at most 2 (Delle Monache et al. 2006). A slope tells
    of a bias, a bowl of too little spread, a hill of too much. Equal values share their ranks.
    The smallest ensemble decides how many ranks there are.
    """

    name, long_name = "rank_histogram", "departure of the rank histogram from a flat one"
    kinds, against_start = ("series", "field"), True

    dimensionless = True

    def features(self, name: str, data: "xr.Dataset", truth: "xr.Dataset", domain: Any) -> NDArray:
        """Return how often the truth has each rank [member, component, rank]."""
        if data is truth:
            return np.ones((*by_component(data[name], domain).shape[:2], 1))
        ours, theirs = (by_component(each[name], domain) for each in (data, truth))
        groups = ensembles(truth)
        size = min(map(len, groups))
        found = np.full((*ours.shape[:2], size + 1), np.nan)
        for members in groups:
            chosen, beside = ours[members[:size]], theirs[members[0]]
            known = np.isfinite(chosen).all(axis=0) & np.isfinite(beside)
            below, level = (chosen < beside).sum(axis=0), (chosen == beside).sum(axis=0)
            for component in range(ours.shape[1]):
                here = known[component]
                if here.any():
                    shares = _shares(below[component][here], level[component][here], size)
                    found[members, component] = shares
        return found

    def distance(self, ours: NDArray, theirs: NDArray, truth: "xr.Dataset") -> Scores:
        """Return the departure of frequencies [..., rank] from flat ones."""
        return np.abs(ours - 1 / ours.shape[-1]).sum(axis=-1)


def _shares(below: NDArray, level: NDArray, size: int) -> NDArray[np.float64]:
    """Return the frequency of each rank; a truth level with k members counts 1/(k+1) in each."""
    ranks = np.arange(size + 1)
    inside = (ranks >= below[:, None]) & (ranks <= (below + level)[:, None])
    return (inside / (level + 1)[:, None]).mean(axis=0)
