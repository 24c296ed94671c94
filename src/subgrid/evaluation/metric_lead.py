"""How long runs follow the truth that they start from: Otness, Zanna & Bruna 2025, figure 8.

Decorrelation time: the first time at which the correlation of a run's field with that of the truth
is below 0.5. A member that blew up before has decorrelated by then, one that never does counts with
the length of its run. So every run has one, and no mean is over survivors.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from subgrid.evaluation.components import CORRELATION, by_component, quantities_of
from subgrid.evaluation.intervals import Scores, known_mean, ratio
from subgrid.evaluation.metrics import AbstractMetric
from subgrid.evaluation.survival import blow_up_steps, unit_of

if TYPE_CHECKING:
    import xarray as xr

THRESHOLD = 0.5  # correlation at which a run has lost the truth
SKILFUL = 0.5  # error in standard deviations of the truth's climate, up to which it has skill


def correlations(
    name: str, run: "xr.Dataset", truth: "xr.Dataset", domain: Any
) -> NDArray[np.float64]:
    """Return the correlation with the truth over time [member, component, time].

    As recorded by the run; of a field of the domain ⟨a b⟩/√(⟨a²⟩⟨b²⟩) with a and b less the truth's
    mean over members, time and domain.
    """
    if name == CORRELATION:
        return by_component(run[name])
    ours, theirs = (by_component(data[name], domain).astype(np.float64) for data in (run, truth))
    axes = tuple(range(3, ours.ndim))
    middle = theirs.mean(axis=(0, *range(2, theirs.ndim)), keepdims=True)
    ours, theirs = ours - middle, theirs - middle
    norms = np.sqrt((ours**2).sum(axes) * (theirs**2).sum(axes))
    return ratio((ours * theirs).sum(axes), norms)


class DecorrelationTime(AbstractMetric):
    """Time until the correlation with the truth falls below 0.5, in days or the run's unit."""

    name, long_name = "decorrelation_time", "time until the correlation with the truth is below 0.5"
    kinds, best = ("series", "field"), "high"

    def units(self, units: str, data: "xr.Dataset") -> str:
        """Return what results count time in."""
        return unit_of(data).name

    def quantities(self, truth: "xr.Dataset", domain: Any) -> list[str]:
        """Return the recorded correlation and the fields."""
        return [CORRELATION, *quantities_of(truth, domain, ["field"])]

    def undefined(self, name: str, run: "xr.Dataset", truth: "xr.Dataset", domain: Any) -> str:
        """Return why there is none: no correlation was recorded."""
        if name == CORRELATION:
            return "" if name in run else "the run was not followed by its truth"
        return super().undefined(name, run, truth, domain)

    def of_runs(self, name: str, run: "xr.Dataset", truth: "xr.Dataset", domain: Any) -> Scores:
        """Return when each run decorrelated [member, component]."""
        times, _ = decorrelation(correlations(name, run, truth, domain), run)
        return times / unit_of(run).length

    def curve(self, name: str, run: "xr.Dataset", truth: "xr.Dataset", domain: Any) -> Scores:
        """Return the correlation against lead time [member, component, time]."""
        return correlations(name, run, truth, domain)


class Lasting(DecorrelationTime):
    """Whether a run was still correlated with the truth at its end: 1 or 0."""

    name, long_name, best = "lasting", "correlated with the truth to the end", None

    dimensionless = True

    def of_runs(self, name: str, run: "xr.Dataset", truth: "xr.Dataset", domain: Any) -> Scores:
        """Return 1 for runs that lasted [member, component]."""
        lasting = decorrelation(correlations(name, run, truth, domain), run)[1]
        return lasting.astype(np.float64)


def decorrelation(
    correlation: NDArray[np.float64], run: "xr.Dataset"
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return when each member decorrelated, in the unit of `time`, and which never did.

    `correlation` [member, component, time] of the run with its truth.
    """
    return time_until(~(correlation >= THRESHOLD), run)  # also where it is not a number


def time_until(
    lost: NDArray[np.bool_], run: "xr.Dataset"
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


class SeriesError(AbstractMetric):
    """Mean over the frames of |x - x_truth| over ⟨x_truth⟩, of a run that blew up until then.

    Of the total kinetic energy it is the energy error of Otness, Zanna & Bruna 2025. By the size of
    the truth's mean: a series whose mean is zero has none.
    """

    name, long_name = "series_error", "mean over the run of |x - x_truth| over the mean of x_truth"
    kinds = ("series",)

    dimensionless = True

    def of_runs(self, name: str, run: "xr.Dataset", truth: "xr.Dataset", domain: Any) -> Scores:
        """Return the error of each run over the frames before it blew up; NaN without any."""
        ours, theirs = (by_component(data[name], domain) for data in (run, truth))
        return ratio(known_mean(np.abs(ours - theirs)), np.abs(theirs.mean(axis=-1)))


class LeadError(AbstractMetric):
    """Root-mean-square error against lead time, over points and runs; its mean over the run.

    On a domain points count with its weights.
    """

    name, long_name = "rmse", "root-mean-square error against the truth from the same state"
    kinds = ("field", "series")

    def of_runs(self, name: str, run: "xr.Dataset", truth: "xr.Dataset", domain: Any) -> Scores:
        """Return the error of each run, over its time until it blew up [member, component]."""
        return np.sqrt(known_mean(self.curve(name, run, truth, domain) ** 2))

    def curve(self, name: str, run: "xr.Dataset", truth: "xr.Dataset", domain: Any) -> Scores:
        """Return the error against lead time [member, component, time]."""
        ours, theirs = (by_component(data[name], domain) for data in (run, truth))
        squares = (ours.astype(np.float64) - theirs) ** 2
        if squares.ndim == 3:
            return np.sqrt(squares)
        return np.sqrt(domain_mean(squares, 3, domain))


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
        beyond = ~(error <= SKILFUL * deviation[:, None])  # also where it is not a number
        return time_until(beyond, run)[0] / unit_of(run).length


def domain_mean(values: NDArray, first: int, domain: Any) -> NDArray[np.float64]:
    """Return the mean over the axes from `first` on, points counted by the domain's weights."""
    weights = getattr(domain, "weights", None)
    axes = tuple(range(first, values.ndim))
    if weights is None or np.shape(weights) != values.shape[first:]:
        return values.mean(axis=axes)
    on_land = np.asarray(weights) == 0  # there is no value there, which may be NaN
    return np.where(on_land, 0.0, values * weights).sum(axis=axes) / np.sum(weights)
