"""Scores of single runs: how long each follows the truth it starts from, its errors, its climate.

Decorrelation time (Otness, Zanna & Bruna 2025, figure 8): the first time at which the correlation
of a run's field with that of the truth is below 0.5. A member that blew up before has decorrelated
by then, one that never does counts with the length of its run. So every run has one, and no mean
is over survivors.
"""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from subgrid.evaluation.components import CORRELATION, by_component, quantities_of
from subgrid.evaluation.intervals import Scores, known_mean, ratio
from subgrid.evaluation.metrics import AbstractMeanMetric, AbstractMetric, both, domain_mean
from subgrid.evaluation.survival import blow_up_steps, unit_of

THRESHOLD = 0.5  # correlation at which a run has lost the truth
SKILFUL = 0.5  # error in standard deviations of the truth's climate, up to which it has skill


class DecorrelationTime(AbstractMetric):
    """Time until the correlation with the truth falls below 0.5, in days or the run's unit."""

    name, long_name = "decorrelation_time", "time until the correlation with the truth is below 0.5"
    kinds, best, is_time = ("series", "field"), "high", True

    def quantities(self, truth: xr.Dataset, domain: Any) -> list[str]:
        """Return the recorded correlation and the fields."""
        return [CORRELATION, *quantities_of(truth, domain, ["field"])]

    def undefined(self, name: str, run: xr.Dataset, truth: xr.Dataset, domain: Any) -> str:
        """Return why there is none: no correlation was recorded."""
        if name == CORRELATION:
            return "" if name in run else "the run was not followed by its truth"
        return super().undefined(name, run, truth, domain)

    def of_runs(self, name: str, run: xr.Dataset, truth: xr.Dataset, domain: Any) -> Scores:
        """Return when each run decorrelated [member, component]."""
        times, _ = decorrelation(self.curve(name, run, truth, domain), run)
        return times / unit_of(run).length

    def curve(self, name: str, run: xr.Dataset, truth: xr.Dataset, domain: Any) -> Scores:
        """Return the correlation against lead time [member, component, time].

        As recorded by the run; of a field of the domain ⟨a b⟩/√(⟨a²⟩⟨b²⟩) with a and b less the
        truth's mean over members, time and domain.
        """
        if name == CORRELATION:
            return by_component(run[name])
        ours, theirs = both(name, run, truth, domain)
        axes = tuple(range(3, ours.ndim))
        middle = theirs.mean(axis=(0, *range(2, theirs.ndim)), keepdims=True)
        ours, theirs = ours - middle, theirs - middle
        norms = np.sqrt((ours**2).sum(axes) * (theirs**2).sum(axes))
        return ratio((ours * theirs).sum(axes), norms)


class Lasting(DecorrelationTime):
    """Whether a run was still correlated with the truth at its end: 1 or 0."""

    name, long_name, best = "lasting", "correlated with the truth to the end", None
    is_time, dimensionless = False, True

    def of_runs(self, name: str, run: xr.Dataset, truth: xr.Dataset, domain: Any) -> Scores:
        """Return 1 for runs that lasted [member, component]."""
        _, lasting = decorrelation(self.curve(name, run, truth, domain), run)
        return lasting.astype(np.float64)


def decorrelation(
    correlation: NDArray[np.float64], run: xr.Dataset
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return when each member decorrelated, in the unit of `time`, and which never did.

    `correlation` [member, component, time] of the run with its truth.
    """
    return _time_until(~(correlation >= THRESHOLD), run)  # also where it is not a number


def _time_until(
    lost: NDArray[np.bool_], run: xr.Dataset
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return when each member first was `lost` [member, component, time], and which never was.

    In the unit of `time`. One that blew up before was lost by then; one that never was counts with
    the length of its run.
    """
    times, steps = run["time"].values, blow_up_steps(run)[:, None]
    lasting = ~lost.any(axis=-1)
    found = np.where(lasting, times[-1], times[np.argmax(lost, axis=-1)])
    died = steps * run.attrs.get("dt", 1.0)
    return np.where(steps >= 0, np.minimum(found, died), found), lasting & (steps < 0)


class LeadError(AbstractMetric):
    """Root-mean-square error against lead time, over points and runs; its mean over the run.

    On a domain points count with its weights.
    """

    name, long_name = "rmse", "root-mean-square error against the truth from the same state"
    kinds = ("field", "series")

    def of_runs(self, name: str, run: xr.Dataset, truth: xr.Dataset, domain: Any) -> Scores:
        """Return the error of each run, over its time until it blew up [member, component]."""
        return np.sqrt(known_mean(self.curve(name, run, truth, domain) ** 2))

    def curve(self, name: str, run: xr.Dataset, truth: xr.Dataset, domain: Any) -> Scores:
        """Return the error against lead time [member, component, time]."""
        ours, theirs = both(name, run, truth, domain)
        squares = (ours - theirs) ** 2
        return np.sqrt(squares if squares.ndim == 3 else domain_mean(squares, 3, domain))


class SkilfulLead(AbstractMetric):
    """Time until a run's root-mean-square error exceeds half the truth's standard deviation.

    The error is over the domain, against the truth from the same state; the deviation is over the
    truth's members, times and points. The first frame beyond counts; a run that blew up before has
    lost its skill by then, and one that never does counts with its length.
    """

    name, long_name = "skilful_lead", "time until the error is half a standard deviation"
    kinds, best, is_time = ("field",), "high", True

    def of_runs(self, name: str, run: xr.Dataset, truth: xr.Dataset, domain: Any) -> Scores:
        """Return the time of each run [member, component]."""
        error = LeadError().curve(name, run, truth, domain)
        climate = by_component(truth[name], domain).astype(np.float64)
        deviation = climate.std(axis=(0, *range(2, climate.ndim)))
        beyond = ~(error <= SKILFUL * deviation[:, None])  # also where it is not a number
        return _time_until(beyond, run)[0] / unit_of(run).length


class SeriesError(AbstractMetric):
    """Mean over the frames of |x - x_truth| over ⟨x_truth⟩, of a run that blew up until then.

    Of the total kinetic energy it is the energy error of Otness, Zanna & Bruna 2025. By the size of
    the truth's mean: a series whose mean is zero has none.
    """

    name, long_name = "series_error", "mean over the run of |x - x_truth| over the mean of x_truth"
    kinds, dimensionless = ("series",), True

    def of_runs(self, name: str, run: xr.Dataset, truth: xr.Dataset, domain: Any) -> Scores:
        """Return the error of each run over the frames before it blew up; NaN without any."""
        ours, theirs = both(name, run, truth, domain)
        return ratio(known_mean(np.abs(ours - theirs)), np.abs(theirs.mean(axis=-1)))


class MeanError(AbstractMeanMetric):
    """Root-mean-square over the domain of the difference of the means over time and members.

    Frames before `average_from` (an attribute of runs) are spin-up and left out.
    """

    name, long_name = "mean_error", "root-mean-square error of the mean"
    kinds, has_floor = ("series", "field"), True

    def features(self, name: str, data: xr.Dataset, truth: xr.Dataset, domain: Any) -> NDArray:
        """Return the mean over time [member, component, point]."""
        means = _averaged(name, data, domain).mean(axis=2)
        return means.reshape(*means.shape[:2], -1)

    def distance(self, ours: NDArray, theirs: NDArray, truth: xr.Dataset) -> Scores:
        """Return the error of means [..., point]."""
        return np.sqrt(known_mean((ours - theirs) ** 2))


class VariabilityError(AbstractMeanMetric):
    """Relative error of the standard deviation over time, from variances averaged over the domain.

    |σ/σ_truth - 1|, deviations from the mean of each point and run.
    """

    name, long_name = "variability_error", "relative error of the standard deviation in time"
    kinds, dimensionless = ("series", "field"), True

    def features(self, name: str, data: xr.Dataset, truth: xr.Dataset, domain: Any) -> NDArray:
        """Return the variance over time [member, component, point]."""
        variances = _averaged(name, data, domain).var(axis=2)
        return variances.reshape(*variances.shape[:2], -1)

    def distance(self, ours: NDArray, theirs: NDArray, truth: xr.Dataset) -> Scores:
        """Return the error of variances [..., point]."""
        return np.abs(np.sqrt(ratio(known_mean(ours), known_mean(theirs))) - 1)


def _averaged(name: str, data: xr.Dataset, domain: Any) -> NDArray[np.float64]:
    """Return the values [member, component, time, ...] after the spin-up."""
    begin = float(data.attrs.get("average_from", -1)) * float(data.attrs.get("dt", 1.0))
    later = data[name].isel(time=np.flatnonzero(data["time"].values > begin))
    return by_component(later if later.sizes["time"] else data[name], domain).astype(np.float64)
