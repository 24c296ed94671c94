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
    """A score of each run of some models, of one quantity; its mean is over all runs."""

    def __init__(self, metric: AbstractMetric, sides: "Sides", quantity: str, models: list[str]):
        self.metric, self.sides, self.models = metric, sides, models
        self.scores = {
            name: np.stack(
                [
                    metric.of_runs(quantity, data, sides.beside[name], sides.domain)
                    for data in sides.sets[name]
                ]
            )
            for name in models
        }

    def of_runs(self, model: str, index: int) -> Scores:
        """Return the score of each run [network, member], NaN where it has no truth."""
        return np.where(self.sides.known[model], self.scores[model][..., index], np.nan)

    def floor(self, model: str, index: int) -> float | None:
        """Return the sampling floor; None for a metric that has none."""
        return None

    def statistic(self, model: str, index: int) -> tuple[Statistic, int, int]:
        """Return the mean as a statistic of draws of networks and trajectories; their numbers."""
        values = self.scores[model][:, self.sides.known[model], index]
        grouped = by_group(mean_of_runs(values), self.sides.groups[model])
        return grouped, len(values), self.sides.trajectories

    def alone(self, model: str, index: int) -> Statistic:
        """Return the same statistic of the baseline's runs, for the draws of a model's networks."""
        alone = str(self.sides.baseline)
        values = self.scores[alone][0][self.sides.known[alone], index]
        values = np.broadcast_to(values, (len(self.scores[model]), *values.shape))
        return by_group(mean_of_runs(values), self.sides.groups[alone])

    def ratio(self, one: str, other: str, index: int) -> tuple[Statistic, int, int, int]:
        """Return the ratio of two models' means as a statistic, and the numbers it draws from."""
        (ours, many, starts), (theirs, more, _) = (self.statistic(m, index) for m in (one, other))
        return quotient_of_two(ours, theirs), many, more, starts


class OfMeans(OfRuns):
    """A score of each network's mean over the runs that are compared, of one quantity."""

    metric: AbstractMeanMetric

    def __init__(
        self, metric: AbstractMeanMetric, sides: "Sides", quantity: str, models: list[str]
    ):
        self.metric, self.sides, self.models = metric, sides, models
        self.values, self.truths = {}, {}
        for name in models:
            truth = sides.truth_for(metric, name)
            self.values[name] = np.stack(
                [metric.features(quantity, data, truth, sides.domain) for data in sides.sets[name]]
            )
            true = metric.features(quantity, truth, truth, sides.domain)
            self.truths[name] = np.where(_like(blow_up_steps(truth) < 0, true), true, np.nan)

    def distance(self, ours: NDArray, theirs: NDArray) -> Scores:
        """Return the score of features [..., feature]."""
        return self.metric.distance(ours, theirs, self.sides.truth)

    def scored(self, model: str) -> NDArray[np.bool_]:
        """Return which runs are compared: all with a truth where those that blew up count too."""
        if not self.metric.against_start:
            return self.sides.scored[model]
        return np.broadcast_to(self.sides.known[model], self.sides.scored[model].shape)

    def of_runs(self, model: str, index: int) -> Scores:
        """Return the score of each run [network, member], NaN where it is not compared."""
        values = self.values[model][:, :, index]
        kept = np.where(_like(self.scored(model), values), values, np.nan)
        return self.distance(kept, _beside(self.truths[model][:, index], values.shape))

    def floor(self, model: str, index: int) -> float | None:
        """Return the sampling floor of a model with so many members."""
        if not self.metric.has_floor:
            return None
        drawn, truth = int(self.scored(model).any(axis=0).sum()), self.truths[model][:, index]
        behind = drawn if len(truth) == self.scored(model).shape[1] else len(truth)
        return sampling_floor(truth, drawn, behind, self.distance)

    def statistic(self, model: str, index: int) -> tuple[Statistic, int, int]:
        """Return the score as a statistic of draws of networks and members; their numbers."""
        values = self.values[model][:, :, index]
        statistic = self._statistic(model, values, index, self.scored(model))
        networks, members = (int(self.scored(model).any(axis=axis).sum()) for axis in (1, 0))
        return (
            statistic,
            networks,
            self.sides.trajectories if self.metric.against_start else members,
        )

    def alone(self, model: str, index: int) -> Statistic:
        """Return the same statistic of the baseline's runs, of the members a model is scored by.

        Where each run is compared with its start, all of the baseline's, by trajectory.
        """
        alone = str(self.sides.baseline)
        values = self.values[alone][0, :, index]
        dead = blow_up_steps(self.sides.sets[alone][0]) >= 0
        values = np.where(_like(dead, values), np.nan, values)
        networks, members = self.scored(model).shape
        if self.metric.against_start:
            values = np.broadcast_to(values, (networks, *values.shape))
            known = np.broadcast_to(self.sides.known[alone], values.shape[:2])
            return self._statistic(alone, values, index, known)
        return self._statistic(
            model, _beside(values, (networks, members)), index, self.scored(model)
        )

    def ratio(self, one: str, other: str, index: int) -> tuple[Statistic, int, int, int]:
        """Return the ratio of two models' scores over the members that all networks survived."""
        both = [self.scored(model) for model in (one, other)]
        many, more = (int(scored.any(axis=1).sum()) for scored in both)
        survived, drawn = [_survived(scored) for scored in both], self.sides.trajectories
        if not self.metric.against_start:
            # with other numbers of members there are none that both share, and no draws of them
            paired = len(survived[0]) == len(survived[1])
            survived = [survived[0] & survived[1]] * 2 if paired else survived
            drawn = int(survived[0].sum()) if paired else 0
        ours, theirs = (
            self._statistic(model, self.values[model][:, :, index], index, scored & members)
            for model, scored, members in zip((one, other), both, survived, strict=True)
        )
        return quotient_of_two(ours, theirs), many, more, drawn

    def _statistic(
        self, model: str, values: NDArray, index: int, scored: NDArray[np.bool_]
    ) -> Statistic:
        truth = _beside(self.truths[model][:, index], values.shape[:2])
        found = of_mean(values, truth, scored, self.distance)
        return by_group(found, self.sides.groups[model]) if self.metric.against_start else found


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
