"""Scores as statistics of how often each network and member is drawn, for `compare`."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from subgrid.evaluation.intervals import (
    Scores,
    Statistic,
    member_mean,
    ratio,
    sampling_floor,
    weighted_mean,
)
from subgrid.evaluation.metrics import AbstractMeanMetric, AbstractMetric
from subgrid.evaluation.survival import blow_up_steps

if TYPE_CHECKING:
    from subgrid.evaluation.compare import Sides


def is_by_start(metric: AbstractMetric) -> bool:
    """Return whether each run is compared with the truth it starts from, one by one."""
    return metric.against_start or not isinstance(metric, AbstractMeanMetric)


class DrawnScores:
    """A score of some models, of one quantity, by component.

    `of_means`: it is the score of each network's mean over runs, and `values` are the features that
    means are taken of [network, member, component, ...]; else the score of each run. `by_start`:
    each run is compared with the truth it starts from, so those that blew up count too, and
    trajectories of the truth are drawn; otherwise the members that are compared.
    """

    def __init__(self, metric: AbstractMetric, sides: "Sides", quantity: str, models: list[str]):
        self.metric, self.sides, self.models = metric, sides, models
        self.of_means = isinstance(metric, AbstractMeanMetric)
        self.by_start = is_by_start(metric)
        self.values: dict[str, NDArray] = {}
        self.truths: dict[str, NDArray] = {}  # features of the truth, of means
        for name in models:
            truth = sides.paired[name] if self.by_start else sides.truth
            score = metric.features if isinstance(metric, AbstractMeanMetric) else metric.of_runs
            every = [score(quantity, data, truth, sides.domain) for data in sides.sets[name]]
            self.values[name] = np.stack(every)
            if self.of_means:
                true = score(quantity, truth, truth, sides.domain)
                self.truths[name] = _kept(true, blow_up_steps(truth) < 0)

    def scored(self, model: str) -> NDArray[np.bool_]:
        """Return which runs [network, member] are compared."""
        scored = self.sides.scored[model]
        return np.broadcast_to(self.sides.known[model], scored.shape) if self.by_start else scored

    def of_runs(self, model: str, index: int) -> Scores:
        """Return the score of each run [network, member], NaN where it is not compared."""
        values = _kept(self.values[model][:, :, index], self.scored(model))
        if not self.of_means:
            return values
        return self._distance(values, _of_each(self.truths[model][:, index], values.shape))

    def floor(self, model: str, index: int) -> float | None:
        """Return the sampling floor of a model with so many members; None without one."""
        if not getattr(self.metric, "has_floor", False):
            return None
        scored, truth = self.scored(model), self.truths[model][:, index]
        drawn = int(scored.any(axis=0).sum())
        behind = drawn if len(truth) == scored.shape[1] else len(truth)
        return sampling_floor(truth, drawn, behind, self._distance)

    def statistic(
        self, model: str, index: int, members: NDArray[np.bool_] | bool = True
    ) -> tuple[Statistic, int, int]:
        """Return the model's score over some members, and of how many networks and draws it is."""
        scored = self.scored(model) & members
        networks, drawn = (int(scored.any(axis=axis).sum()) for axis in (1, 0))
        found = self._mean(model, self.values[model][:, :, index], index, scored)
        return found, networks, self.sides.trajectories if self.by_start else drawn

    def gain(self, model: str, index: int, statistic: Statistic) -> Statistic:
        """Return the gain over the baseline of a model with that `statistic`, of the same draws.

        The share of the baseline's score that is gone, or how many times as high it is.
        """
        alone, low = self._alone(model, index), self.metric.best == "low"

        def gain(*counts: NDArray) -> Scores:
            found = ratio(statistic(*counts), alone(*counts))
            return 1 - found if low else found

        return gain

    def ratio(self, one: str, other: str, index: int) -> tuple[Statistic, int, int, int]:
        """Return the ratio of two models' scores as a statistic, and the numbers it draws from.

        Networks of each are drawn on their own. It is over the members that all networks survived;
        with other numbers of members there are none that both share, and no draws of them.
        """
        shared: NDArray[np.bool_] | bool = True
        if not self.by_start:
            ours, theirs = (_survived(self.scored(model)) for model in (one, other))
            shared = ours & theirs if len(ours) == len(theirs) else False
        (above, many, drawn), (below, more, _) = (
            self.statistic(model, index, shared) for model in (one, other)
        )
        return lambda n, m, members: ratio(above(n, members), below(m, members)), many, more, drawn

    def _alone(self, model: str, index: int) -> Statistic:
        """Return the score of the baseline's runs, for the draws of a model's networks.

        It is over the members that the model is scored by; where each run is compared with its
        start over all of the baseline's, by trajectory.
        """
        alone, scored = str(self.sides.baseline), self.scored(model)
        values, known = self.values[alone][0, :, index], self.sides.known[alone]
        if not self.of_means:  # a run that blew up has a score of its own, as it has in the model
            every = np.broadcast_to(values[known], (len(scored), known.sum()))
            return self._by_start(alone, _mean_of_runs(every))
        values = _kept(values, blow_up_steps(self.sides.sets[alone][0]) < 0)
        if not self.by_start:
            return self._mean(model, _of_each(values, scored.shape), index, scored)
        known = np.broadcast_to(known, (len(scored), len(values)))
        return self._mean(alone, _of_each(values, known.shape), index, known)

    def _mean(
        self, model: str, values: NDArray, index: int, scored: NDArray[np.bool_]
    ) -> Statistic:
        """Return the score of values [network, member, ...] as a statistic of what is drawn."""
        if self.of_means:
            truth = _of_each(self.truths[model][:, index], values.shape[:2])
            found = _of_mean(values, truth, scored, self._distance)
        else:
            found = _mean_of_runs(values[:, scored.any(axis=0)])
        return self._by_start(model, found) if self.by_start else found

    def _by_start(self, model: str, statistic: Statistic) -> Statistic:
        """Return a statistic of how often each trajectory was drawn, instead of each member."""
        groups = self.sides.groups[model]
        return lambda networks, trajectories: statistic(networks, trajectories[:, groups])

    def _distance(self, ours: NDArray, theirs: NDArray) -> Scores:
        metric: Any = self.metric
        return metric.distance(ours, theirs, self.sides.truth)


def _mean_of_runs(values: Scores) -> Statistic:
    """Return the statistic: the mean of values [network, member] that are known."""
    known = np.isfinite(values)

    def statistic(networks: NDArray, members: NDArray) -> Scores:
        def total(of: NDArray) -> Scores:
            return np.einsum("dn,nm,dm->d", networks, of, members, dtype=np.float64)

        return ratio(total(np.where(known, values, 0.0)), total(known.astype(np.float64)))

    return statistic


def _of_mean(
    values: NDArray, truth: NDArray, scored: NDArray, distance: Callable[..., Scores]
) -> Statistic:
    """Return the statistic: the error of each network's mean over members, averaged over networks.

    `distance(ours, theirs)`: of means [draw, ...]; `values`, `truth` [network, member, ...]; of
    both the same runs `scored` [network, member] are drawn. A draw of members of which a network
    has none leaves that network out.
    """
    rows, columns = scored.any(axis=1), scored.any(axis=0)
    kept = scored[rows][:, columns].reshape(rows.sum(), columns.sum(), *[1] * (values.ndim - 2))
    ours, theirs = (
        np.where(kept, side[rows][:, columns].astype(np.float64), np.nan)
        for side in (values, truth)
    )

    def statistic(networks: NDArray, members: NDArray) -> Scores:
        errors = np.stack(
            [
                distance(weighted_mean(model, members), weighted_mean(reference, members))
                for model, reference in zip(ours, theirs, strict=True)
            ]
        )
        weights = np.where(np.isfinite(errors), networks.T, 0)
        return ratio((weights * np.nan_to_num(errors)).sum(axis=0), weights.sum(axis=0))

    return statistic


def _kept(values: NDArray, chosen: NDArray[np.bool_]) -> NDArray:
    """Return values, NaN but for what is chosen by the leading axes."""
    mask = chosen.reshape(*chosen.shape, *[1] * (values.ndim - chosen.ndim))
    return np.where(mask, values, np.nan)


def _of_each(values: NDArray, shape: tuple[int, ...]) -> NDArray:
    """Return features [member, ...] for each run of a model, of its shape [network, member, ...].

    The same for every network. A truth with other members than the model stands for each of
    them with its mean; its features may be fewer, where a metric does not look at them.
    """
    if len(values) != shape[1]:
        values = member_mean(values)[None]
    return np.broadcast_to(values, (*shape[:2], *values.shape[1:]))


def _survived(scored: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the members that all networks survived of those that are compared at all."""
    networks = scored.any(axis=1)
    return np.asarray(scored[networks].all(axis=0) & networks.any())
