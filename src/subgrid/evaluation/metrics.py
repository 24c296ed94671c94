"""What a metric is: it turns a run and its truth into scores, and says where it is not defined.

A metric is one class and one line in the registry `METRICS`. `subgrid.compare` asks it for scores
of single runs and of models; tables, intervals, gains over a baseline and figures follow. Three
kinds of base classes: a score of each run (`AbstractMetric`: how long it follows the truth), of a
mean over runs (`AbstractMeanMetric`: the error of a mean spectrum) and of all runs of a network
together (`AbstractDistance`: between distributions of values).
"""

import abc
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from subgrid.evaluation.components import by_component, component_words, kind_of, quantities_of
from subgrid.evaluation.intervals import Scores
from subgrid.evaluation.survival import paired_truth, unit_of
from subgrid.registry import Registry

Names = tuple[str, str]  # a quantity and one of its components


class AbstractMetric(abc.ABC):
    """A score of each run.

    `kinds` of quantities it is for: "series", "spectrum", "field"; `best`: "low" (0 is perfect;
    a gain is the share of the baseline's error that is gone), "high" (a gain is the ratio to the
    baseline) or None (there is no gain). `against_start`: it compares a run with the truth from the
    same state, so a run that blew up counts until then, and members that start in one trajectory
    of the truth are drawn together. Otherwise only runs that survived are compared. `is_time`: its
    scores are times, in what results count time in; `dimensionless`: they have no unit; else they
    have that of the quantity.
    """

    name: ClassVar[str]
    long_name: ClassVar[str]
    kinds: ClassVar[tuple[str, ...]]
    best: ClassVar[str | None] = "low"
    against_start: ClassVar[bool] = True
    dimensionless: ClassVar[bool] = False
    is_time: ClassVar[bool] = False

    def units(self, units: str, data: xr.Dataset) -> str:
        """Return the units of a score of a quantity with CF `units`."""
        return unit_of(data).name if self.is_time else "1" if self.dimensionless else units

    def quantities(self, truth: xr.Dataset, domain: Any) -> list[str]:
        """Return the quantities of the truth that the metric is for."""
        return quantities_of(truth, domain, self.kinds)

    def undefined(self, name: str, run: xr.Dataset, truth: xr.Dataset, domain: Any) -> str:
        """Return why there is no score of a quantity, or nothing if there is one."""
        for data, whose in ((run, "run"), (truth, "truth")):
            if name not in data:
                return f"the {whose} has no {name}"
        wanted = f"{' or '.join(self.kinds)}, not for a {kind_of(truth[name], domain)}"
        return "" if kind_of(truth[name], domain) in self.kinds else f"it is for a {wanted}"

    @abc.abstractmethod
    def of_runs(self, name: str, run: xr.Dataset, truth: xr.Dataset, domain: Any) -> Scores:
        """Return the score of each run [member, component]; `truth`: member by member."""

    def __call__(self, run: xr.Dataset, truth: xr.Dataset, domain: Any = None) -> xr.DataArray:
        """Return the scores of one dataset of runs [quantity, member, component].

        Empty where the metric is for none of the quantities.
        """
        if self.against_start:
            truth = paired_truth(run, truth)
        found = {
            name: xr.DataArray(
                self.of_runs(name, run, truth, domain),
                dims=("member", "component"),
                coords={"component": list(component_words(truth[name], domain))},
            )
            for name in self.quantities(truth, domain)
            if not self.undefined(name, run, truth, domain)
        }
        if not found:
            return xr.DataArray(np.zeros((0, 0, 0)), dims=("quantity", "member", "component"))
        scores = xr.concat(list(found.values()), "quantity", join="outer")
        return scores.assign_coords(quantity=list(found)).rename(self.name)


class AbstractMeanMetric(AbstractMetric):
    """A score of means over members: `distance` of the mean `features` of runs and of the truth."""

    against_start = False
    has_floor: ClassVar[bool] = False  # whether `distance` to the truth is that of a perfect model

    def features(self, name: str, data: xr.Dataset, truth: xr.Dataset, domain: Any) -> NDArray:
        """Return what means are taken of [member, component, ...]."""
        return by_component(data[name], domain)

    @abc.abstractmethod
    def distance(self, ours: NDArray, theirs: NDArray, truth: xr.Dataset) -> Scores:
        """Return the score of mean features [..., feature] against those of the truth."""

    def of_runs(self, name: str, run: xr.Dataset, truth: xr.Dataset, domain: Any) -> Scores:
        """Return the score of each run, by itself, against the truth's from the same state."""
        ours, theirs = (self.features(name, data, truth, domain) for data in (run, truth))
        return self.distance(ours, theirs, truth)


class AbstractDistance(abc.ABC):
    """A score of all runs of a network together, without an interval.

    `compares`: whether it is a distance, so that 1 - distance/distance of the baseline is a
    similarity to the truth (Ross et al. 2023).
    """

    name: ClassVar[str]
    long_name: ClassVar[str]
    compares: ClassVar[bool] = True

    @abc.abstractmethod
    def of_all(self, run: xr.Dataset, truth: xr.Dataset, domain: Any) -> dict[Names, float]:
        """Return the scores of all members of a run by quantity and component."""


METRICS = Registry(
    "metric",
    {
        "spectral_error": "subgrid.evaluation.metric_distances:SpectralError",
        "wasserstein": "subgrid.evaluation.metric_distances:Wasserstein",
        "spectral_distance": "subgrid.evaluation.metric_distances:SpectralDistance",
        "relative_error": "subgrid.evaluation.metric_distances:RelativeErrors",
        "decorrelation_time": "subgrid.evaluation.metric_runs:DecorrelationTime",
        "lasting": "subgrid.evaluation.metric_runs:Lasting",
        "skilful_lead": "subgrid.evaluation.metric_runs:SkilfulLead",
        "series_error": "subgrid.evaluation.metric_runs:SeriesError",
        "rmse": "subgrid.evaluation.metric_runs:LeadError",
        "mean_error": "subgrid.evaluation.metric_runs:MeanError",
        "variability_error": "subgrid.evaluation.metric_runs:VariabilityError",
        "crps": "subgrid.evaluation.metric_ensembles:CRPS",
        "spread_skill": "subgrid.evaluation.metric_ensembles:SpreadSkill",
        "rank_histogram": "subgrid.evaluation.metric_ensembles:RankHistogram",
    },
)

Metrics = Iterable[str | AbstractMetric | AbstractDistance]


def chosen_metrics(
    metrics: Metrics | None, truth: xr.Dataset, system: Any = None, cut: float | None = None
) -> list[AbstractMetric | AbstractDistance]:
    """Return the metrics by name or object; None: all that fit the truth, and the system if given.

    A class with `of_system` makes the metric for the system, or None. Runs of a system that is not
    said to follow its truth are compared by their statistics alone.
    """
    known: list[Any] = []
    for one in METRICS.names() if metrics is None else metrics:
        metric: Any = METRICS.get(one) if isinstance(one, str) else one
        if isinstance(metric, type):
            make = getattr(metric, "of_system", None)
            metric = metric() if make is None else make(system, cut)
        if metric is not None:
            known.append(metric)
    if metrics is None and system is not None and not system.follows_truth:
        known = [metric for metric in known if not getattr(metric, "against_start", False)]
    return known


def both(
    name: str, run: xr.Dataset, truth: xr.Dataset, domain: Any
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a quantity of a run and of its truth [member, component, ...]."""
    ours, theirs = (by_component(data[name], domain) for data in (run, truth))
    return ours.astype(np.float64), theirs.astype(np.float64)


def domain_mean(values: NDArray, first: int, domain: Any) -> NDArray[np.float64]:
    """Return the mean over the axes from `first` on, points counted by the domain's weights."""
    weights = getattr(domain, "weights", None)
    axes = tuple(range(first, values.ndim))
    if weights is None or np.shape(weights) != values.shape[first:]:
        return values.mean(axis=axes)
    on_land = np.asarray(weights) == 0  # there is no value there, which may be NaN
    return np.where(on_land, 0.0, values * weights).sum(axis=axes) / np.sum(weights)
