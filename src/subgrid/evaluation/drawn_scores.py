"""Scores as statistics of how often each network and member is drawn, for `compare`."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from subgrid.evaluation.intervals import (
    Scores,
    Statistic,
    by_group,
    mean_of_runs,
    member_mean,
    of_mean,
    quotient_of_two,
    sampling_floor,
)
from subgrid.evaluation.metrics import AbstractMeanMetric, AbstractMetric
from subgrid.evaluation.survival import blow_up_steps

if TYPE_CHECKING:
    from subgrid.evaluation.compare import Sides


class OfRuns:
    """A score of each run of each model, of one quantity; its mean is over all runs."""

    def __init__(self, metric: AbstractMetric, sides: "Sides", quantity: str):
        self.metric, self.sides, self.quantity = metric, sides, quantity
        truth = sides.beside
        self.scores = {
            name: np.stack([metric.of_runs(quantity, d, truth, sides.domain) for d in sets])
            for name, sets in sides.sets.items()
        }

    def of_runs(self, model: str, index: int) -> Scores:
        """Return the score of each run [network, member], NaN where it has no truth."""
        return np.where(self.sides.known, self.scores[model][..., index], np.nan)

    def floor(self, model: str, index: int) -> float | None:
        """Return the sampling floor; None for a metric that has none."""
        return None

    def statistic(self, model: str, index: int) -> tuple[Statistic, int, int]:
        """Return the mean as a statistic of draws of networks and trajectories; their numbers."""
        values = self.scores[model][:, self.sides.known, index]
        grouped = by_group(mean_of_runs(values), self.sides.groups)
        return grouped, len(values), self.sides.trajectories

    def alone(self, model: str, index: int) -> Statistic:
        """Return the same statistic of the baseline's runs, for the draws of a model's networks."""
        shape = self.scores[model][:, self.sides.known, index].shape
        values = self.scores[str(self.sides.baseline)][0][self.sides.known, index]
        return by_group(mean_of_runs(np.broadcast_to(values, shape)), self.sides.groups)

    def ratio(self, one: str, other: str, index: int) -> tuple[Statistic, int, int, int]:
        """Return the ratio of two models' means as a statistic, and the numbers it draws from."""
        (ours, many, starts), (theirs, more, _) = (self.statistic(m, index) for m in (one, other))
        return quotient_of_two(ours, theirs), many, more, starts


class OfMeans(OfRuns):
    """A score of each network's mean over the runs that are compared, of one quantity."""

    metric: AbstractMeanMetric

    def __init__(self, metric: AbstractMeanMetric, sides: "Sides", quantity: str):
        self.metric, self.sides, self.quantity = metric, sides, quantity
        truth = self.whole = sides.beside if metric.against_start else sides.truth
        self.values = {
            name: np.stack([metric.features(quantity, d, truth, sides.domain) for d in sets])
            for name, sets in sides.sets.items()
        }
        self.truth = metric.features(quantity, truth, truth, sides.domain)
        self.truth = np.where(_like(blow_up_steps(truth) < 0, self.truth), self.truth, np.nan)

    def distance(self, ours: NDArray, theirs: NDArray) -> Scores:
        """Return the score of features [..., feature]."""
        return self.metric.distance(ours, theirs, self.whole)

    def scored(self, model: str) -> NDArray[np.bool_]:
        """Return which runs are compared: all with a truth where those that blew up count too."""
        if not self.metric.against_start:
            return self.sides.scored[model]
        return np.broadcast_to(self.sides.known, self.sides.scored[model].shape)

    def of_runs(self, model: str, index: int) -> Scores:
        """Return the score of each run [network, member], NaN where it is not compared."""
        values = self.values[model][:, :, index]
        kept = np.where(_like(self.scored(model), values), values, np.nan)
        return self.distance(kept, _beside(self.truth[:, index], values.shape))

    def floor(self, model: str, index: int) -> float | None:
        """Return the sampling floor of a model with so many members."""
        if not self.metric.has_floor:
            return None
        drawn, truth = int(self.scored(model).any(axis=0).sum()), self.truth[:, index]
        behind = drawn if len(truth) == self.scored(model).shape[1] else len(truth)
        return sampling_floor(truth, drawn, behind, self.distance)

    def statistic(self, model: str, index: int) -> tuple[Statistic, int, int]:
        """Return the score as a statistic of draws of networks and members; their numbers."""
        statistic = self._statistic(self.values[model][:, :, index], index, self.scored(model))
        networks, members = (int(self.scored(model).any(axis=axis).sum()) for axis in (1, 0))
        return (
            statistic,
            networks,
            self.sides.trajectories if self.metric.against_start else members,
        )

    def alone(self, model: str, index: int) -> Statistic:
        """Return the same statistic of the baseline's runs, of the members a model is scored by."""
        values = self.values[str(self.sides.baseline)][0, :, index]
        dead = blow_up_steps(self.sides.sets[str(self.sides.baseline)][0]) >= 0
        values = np.where(_like(dead, values), np.nan, values)
        shape = self.values[model][:, :, index].shape
        return self._statistic(_beside(values, shape), index, self.scored(model))

    def ratio(self, one: str, other: str, index: int) -> tuple[Statistic, int, int, int]:
        """Return the ratio of two models' scores over the members that all networks survived."""
        both = [self.scored(model) for model in (one, other)]
        shared = _survived(both[0]) & _survived(both[1])
        ours, theirs = (
            self._statistic(self.values[model][:, :, index], index, scored & shared)
            for model, scored in zip((one, other), both, strict=True)
        )
        many, more = (int(scored.any(axis=1).sum()) for scored in both)
        drawn = self.sides.trajectories if self.metric.against_start else int(shared.sum())
        return quotient_of_two(ours, theirs), many, more, drawn

    def _statistic(self, values: NDArray, index: int, scored: NDArray[np.bool_]) -> Statistic:
        truth = _beside(self.truth[:, index], values.shape)
        found = of_mean(values, truth, scored, self.distance)
        return by_group(found, self.sides.groups) if self.metric.against_start else found


def _like(chosen: NDArray[np.bool_], values: NDArray) -> NDArray[np.bool_]:
    """Return a mask of the leading axes of values with axes of one behind."""
    return chosen.reshape(*chosen.shape, *[1] * (values.ndim - chosen.ndim))


def _beside(values: NDArray, shape: tuple[int, ...]) -> NDArray:
    """Return features [member, ...] beside those of a model, of its shape [network, member, ...].

    The same for every network. A truth with other members than the model stands beside each of
    them as its mean; its features may be fewer, where a metric does not look at them.
    """
    if len(values) != shape[1]:
        values = member_mean(values)[None]
    return np.broadcast_to(values, (*shape[:2], *values.shape[1:]))


def _survived(scored: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the members that all networks survived of those that are compared at all."""
    networks = scored.any(axis=1)
    return np.asarray(scored[networks].all(axis=0) & networks.any())
