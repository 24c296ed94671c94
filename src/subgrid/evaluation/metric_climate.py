"""Errors of the climate of a run: of its mean, and of how much it varies."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from subgrid.evaluation.components import by_component
from subgrid.evaluation.intervals import Scores, known_mean, ratio
from subgrid.evaluation.metrics import AbstractMeanMetric

if TYPE_CHECKING:
    import xarray as xr


class MeanError(AbstractMeanMetric):
    """Root-mean-square over the domain of the difference of the means over time and members.

    Frames before `average_from` (an attribute of runs) are spin-up and left out.
    """

    name, long_name = "mean_error", "root-mean-square error of the mean"
    kinds, has_floor = ("series", "field"), True

    def features(self, name: str, data: "xr.Dataset", truth: "xr.Dataset", domain: Any) -> NDArray:
        """Return the mean over time [member, component, point]."""
        return _flat(_averaged(name, data, domain).mean(axis=2))

    def distance(self, ours: NDArray, theirs: NDArray, truth: "xr.Dataset") -> Scores:
        """Return the error of means [..., point]."""
        return np.sqrt(known_mean((ours - theirs) ** 2))


class VariabilityError(AbstractMeanMetric):
    """Relative error of the standard deviation over time, from variances averaged over the domain.

    |σ/σ_truth - 1|, deviations from the mean of each point and run.
    """

    name, long_name = "variability_error", "relative error of the standard deviation in time"
    kinds = ("series", "field")

    dimensionless = True

    def features(self, name: str, data: "xr.Dataset", truth: "xr.Dataset", domain: Any) -> NDArray:
        """Return the variance over time [member, component, point]."""
        return _flat(_averaged(name, data, domain).var(axis=2))

    def distance(self, ours: NDArray, theirs: NDArray, truth: "xr.Dataset") -> Scores:
        """Return the error of variances [..., point]."""
        ours, theirs = known_mean(ours), known_mean(theirs)
        return np.abs(np.sqrt(ratio(ours, theirs)) - 1)


def _averaged(name: str, data: "xr.Dataset", domain: Any) -> NDArray[np.float64]:
    """Return the values [member, component, time, ...] after the spin-up."""
    begin = float(data.attrs.get("average_from", -1)) * float(data.attrs.get("dt", 1.0))
    later = data[name].isel(time=np.flatnonzero(data["time"].values > begin))
    return by_component(later if later.sizes["time"] else data[name], domain).astype(np.float64)


def _flat(values: NDArray) -> NDArray:
    return values.reshape(*values.shape[:2], -1)
