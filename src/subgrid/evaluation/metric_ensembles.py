"""Scores of ensembles: fair CRPS, spread over error, rank histogram.

An ensemble is the runs from one state of the truth (`survival.ensembles`); what it scores stands at
each of its runs.
"""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from subgrid.evaluation.components import by_component
from subgrid.evaluation.intervals import Scores, known_mean, ratio
from subgrid.evaluation.metrics import AbstractMeanMetric, AbstractMetric, both, domain_mean
from subgrid.evaluation.survival import ensembles


class CRPS(AbstractMetric):
    """Fair CRPS of the runs from one state, mean over points and times (Ferro 2014).

        ⟨|x_i - y|⟩ - Σ_ij |x_i - x_j| / (2 m (m - 1))

    with m members x and the truth y: it expects the same whatever m is. An ensemble of one has no
    spread that could be known: its score is the absolute error. Members that blew up are left out
    from then on.
    """

    name, long_name = "crps", "continuous ranked probability score, fair"
    kinds = ("series", "field")

    def of_runs(self, name: str, run: xr.Dataset, truth: xr.Dataset, domain: Any) -> Scores:
        """Return the score of the ensemble of each run, over all times [member, component]."""
        return known_mean(self.curve(name, run, truth, domain))

    def curve(self, name: str, run: xr.Dataset, truth: xr.Dataset, domain: Any) -> Scores:
        """Return the score against lead time [member, component, time]."""
        ours, theirs = both(name, run, truth, domain)
        found = np.full(ours.shape, np.nan)
        for members in ensembles(truth):
            found[members] = fair_crps(ours[members], theirs[members[0]])
        return found if found.ndim == 3 else domain_mean(found, 3, domain)


def fair_crps(members: Scores, truth: Scores) -> Scores:
    """Return the fair CRPS of members [member, ...] against the truth [...].

    Of the members that are finite; the absolute error of a single one, NaN without any.
    """
    from scoringrules import crps_ensemble

    known = np.isfinite(members)
    counts = known.sum(axis=0)
    found = np.full(truth.shape, np.nan)
    for count in np.unique(counts[counts > 0]):
        here = counts == count
        # members that are known first, so that each point has its `count` of them
        order = np.argsort(~known[:, here], axis=0, kind="stable")[:count]
        values = np.take_along_axis(members[:, here], order, axis=0)
        alone = np.abs(values[0] - truth[here])
        fair = {"estimator": "fair", "m_axis": 0}
        found[here] = alone if count == 1 else crps_ensemble(truth[here], values, **fair)
    return found


class SpreadSkill(AbstractMeanMetric):
    """Spread of an ensemble over the root-mean-square error of its mean; 1 of a reliable one.

        √( (m+1)/m ⟨s²⟩ / ⟨(x̄ - y)²⟩ )

    with the variance s² of m members (divided by m - 1), their mean x̄ and the truth y, means over
    points, times and states (Fortin et al. 2014, J. Hydrometeor. 15, 1708). Below 1: too sure.
    Not defined for an ensemble of one.
    """

    name, long_name, best = "spread_skill", "spread over the error of the ensemble's mean", None
    kinds, against_start, dimensionless = ("series", "field"), True, True

    def undefined(self, name: str, run: xr.Dataset, truth: xr.Dataset, domain: Any) -> str:
        """Return why there is none: a single run from each state."""
        if all(len(members) < 2 for members in ensembles(truth)):
            return "one run from each state has no spread"
        return super().undefined(name, run, truth, domain)

    def features(self, name: str, data: xr.Dataset, truth: xr.Dataset, domain: Any) -> NDArray:
        """Return the mean squares of spread and error of an ensemble [member, component, 2].

        Ones for the truth itself.
        """
        if data is truth:
            return np.ones((*by_component(data[name], domain).shape[:2], 2))
        ours, theirs = both(name, data, truth, domain)
        found = np.full((*ours.shape[:2], 2), np.nan)
        for members in ensembles(truth):
            if len(members) < 2:
                continue
            spread = (len(members) + 1) / len(members) * ours[members].var(axis=0, ddof=1)
            error = (ours[members].mean(axis=0) - theirs[members[0]]) ** 2
            means = [domain_mean(x, 2, domain) if x.ndim > 2 else x for x in (spread, error)]
            found[members] = np.stack([np.nanmean(x, axis=-1) for x in means], axis=-1)
        return found

    def distance(self, ours: NDArray, theirs: NDArray, truth: xr.Dataset) -> Scores:
        """Return the ratio of mean squares [..., 2]."""
        return np.sqrt(ratio(ours[..., 0], ours[..., 1]))


class RankHistogram(AbstractMeanMetric):
    """Departure of the rank histogram from a flat one: Σ |f_r - 1/(m+1)| over the m + 1 ranks.

    0 where the truth is like one more member, at most 2 (Delle Monache et al. 2006). A slope tells
    of a bias, a bowl of too little spread, a hill of too much. Equal values share their ranks.
    The smallest ensemble decides how many ranks there are.
    """

    name, long_name = "rank_histogram", "departure of the rank histogram from a flat one"
    kinds, against_start, dimensionless = ("series", "field"), True, True

    def features(self, name: str, data: xr.Dataset, truth: xr.Dataset, domain: Any) -> NDArray:
        """Return how often the truth has each rank [member, component, rank]."""
        if data is truth:
            return np.ones((*by_component(data[name], domain).shape[:2], 1))
        ours, theirs = both(name, data, truth, domain)
        groups = ensembles(truth)
        size = min(map(len, groups))
        found = np.full((*ours.shape[:2], size + 1), np.nan)
        for members in groups:
            chosen, true = ours[members[:size]], theirs[members[0]]
            known = np.isfinite(chosen).all(axis=0) & np.isfinite(true)
            below, level = (chosen < true).sum(axis=0), (chosen == true).sum(axis=0)
            for component in range(ours.shape[1]):
                here = known[component]
                if here.any():
                    shares = _shares(below[component][here], level[component][here], size)
                    found[members, component] = shares
        return found

    def distance(self, ours: NDArray, theirs: NDArray, truth: xr.Dataset) -> Scores:
        """Return the departure of frequencies [..., rank] from flat ones."""
        return np.abs(ours - 1 / ours.shape[-1]).sum(axis=-1)


def _shares(below: NDArray, level: NDArray, size: int) -> NDArray[np.float64]:
    """Return the frequency of each rank; a truth level with k members counts 1/(k+1) in each."""
    ranks = np.arange(size + 1)
    inside = (ranks >= below[:, None]) & (ranks <= (below + level)[:, None])
    return (inside / (level + 1)[:, None]).mean(axis=0)
