"""The continuous ranked probability score of an ensemble."""

from typing import TYPE_CHECKING, Any

import numpy as np

from subgrid.evaluation.components import by_component
from subgrid.evaluation.intervals import Scores, known_mean
from subgrid.evaluation.metric_lead import domain_mean
from subgrid.evaluation.metrics import AbstractMetric
from subgrid.evaluation.starts import ensembles

if TYPE_CHECKING:
    import xarray as xr


class CRPS(AbstractMetric):
    """Fair CRPS of the runs from one state, mean over points and times (Ferro 2014).

        ⟨|x_i - y|⟩ - Σ_ij |x_i - x_j| / (2 m (m - 1))

    with m members x and the truth y: it expects the same whatever m is. An ensemble of one has no
    spread that could be known: its score is the absolute error. Members that blew up are left out
    from then on. The score of an ensemble stands at each of its runs.
    """

    name, long_name = "crps", "continuous ranked probability score, fair"
    kinds = ("series", "field")

    def of_runs(self, name: str, run: "xr.Dataset", truth: "xr.Dataset", domain: Any) -> Scores:
        """Return the score of the ensemble of each run, over all times [member, component]."""
        return known_mean(self.curve(name, run, truth, domain))

    def curve(self, name: str, run: "xr.Dataset", truth: "xr.Dataset", domain: Any) -> Scores:
        """Return the score against lead time [member, component, time]."""
        ours, theirs = (by_component(d[name], domain).astype(np.float64) for d in (run, truth))
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
