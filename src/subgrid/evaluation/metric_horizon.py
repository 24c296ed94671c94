"""How long forecasts are worth having: until the error is half a climatological deviation."""

from typing import TYPE_CHECKING, Any

import numpy as np

from subgrid.evaluation.components import by_component
from subgrid.evaluation.intervals import Scores
from subgrid.evaluation.metric_lead import LeadError
from subgrid.evaluation.metrics import AbstractMetric
from subgrid.evaluation.survival import blow_up_steps, unit_of

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
        times = run["time"].values
        first = np.where(beyond.any(axis=-1), times[np.argmax(beyond, axis=-1)], times[-1])
        steps = blow_up_steps(run)[:, None]
        died = np.where(steps >= 0, steps * run.attrs.get("dt", 1.0), np.inf)
        return np.minimum(first, died) / unit_of(run).length
