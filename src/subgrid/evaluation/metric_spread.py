"""Whether an ensemble spreads as much as its mean errs."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from subgrid.evaluation.components import by_component
from subgrid.evaluation.intervals import Scores, ratio
from subgrid.evaluation.metric_lead import domain_mean
from subgrid.evaluation.metrics import AbstractMeanMetric
from subgrid.evaluation.starts import ensembles

if TYPE_CHECKING:
    import xarray as xr


class SpreadSkill(AbstractMeanMetric):
    """Spread of an ensemble over the root-mean-square error of its mean; 1 of a reliable one.

        √( (m+1)/m ⟨s²⟩ / ⟨(x̄ - y)²⟩ )

    with the variance s² of m members (divided by m - 1), their mean x̄ and the truth y, means over
    points, times and states (Fortin et al. 2014, J. Hydrometeor. 15, 1708). Below 1: too sure.
    Not defined for an ensemble of one.
    """

    name, long_name, best = "spread_skill", "spread over the error of the ensemble's mean", None
    kinds, against_start = ("series", "field"), True

    dimensionless = True

    def undefined(self, name: str, run: "xr.Dataset", truth: "xr.Dataset", domain: Any) -> str:
        """Return why there is none: a single run from each state."""
        if all(len(members) < 2 for members in ensembles(truth)):
            return "one run from each state has no spread"
        return super().undefined(name, run, truth, domain)

    def features(self, name: str, data: "xr.Dataset", truth: "xr.Dataset", domain: Any) -> NDArray:
        """Return the mean squares of spread and error of an ensemble [member, component, 2].

        Ones for the truth itself.
        """
        if data is truth:
            return np.ones((*by_component(data[name], domain).shape[:2], 2))
        ours, beside = (by_component(d[name], domain).astype(np.float64) for d in (data, truth))
        found = np.full((*ours.shape[:2], 2), np.nan)
        for members in ensembles(truth):
            if len(members) < 2:
                continue
            spread = (len(members) + 1) / len(members) * ours[members].var(axis=0, ddof=1)
            error = (ours[members].mean(axis=0) - beside[members[0]]) ** 2
            means = [domain_mean(x, 2, domain) if x.ndim > 2 else x for x in (spread, error)]
            found[members] = np.stack([np.nanmean(x, axis=-1) for x in means], axis=-1)
        return found

    def distance(self, ours: NDArray, theirs: NDArray, truth: "xr.Dataset") -> Scores:
        """Return the ratio of mean squares [..., 2]."""
        return np.sqrt(ratio(ours[..., 0], ours[..., 1]))
