"""How long forecasts are worth having: until the error is half a climatological deviation."""

from typing import TYPE_CHECKING, Any

import numpy as np

from subgrid.evaluation.components import by_component
from subgrid.evaluation.intervals import Scores
from subgrid.evaluation.metric_lead import LeadError, time_until
from subgrid.evaluation.metrics import AbstractMetric
from subgrid.evaluation.survival import unit_of

if TYPE_CHECKING:
    import xarray as xr

SHARE = 0.5


class SkilfulLead(AbstractMetric):
    """Time until a run's root-mean-square error exceeds half the truth's standard deviation.

    The error is over the domain, against the truth from the same state; the deviation is over the
    truth's members, times and points. The first frame beyond counts; a run that blew up before has
    lost its skill by then, and one that never does counts with its length.
    """

    name, long_name = "skilful_lead", "time until the error is half a standard deviation"
    kinds, best = ("field",), "high"

    def units(self, units: str, data: "xr.Dataset") -> str:
        """Return what results count time in."""
        return unit_of(data).name

    def of_runs(self, name: str, run: "xr.Dataset", truth: "xr.Dataset", domain: Any) -> Scores:
        """Return the time of each run [member, component]."""
        error = LeadError().curve(name, run, truth, domain)
        climate = by_component(truth[name], domain).astype(np.float64)
        deviation = climate.std(axis=(0, *range(2, climate.ndim)))
        beyond = ~(error <= SHARE * deviation[:, None])  # also where it is not a number
        return time_until(beyond, run)[0] / unit_of(run).length
