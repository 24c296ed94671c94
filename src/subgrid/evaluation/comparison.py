"""One model against another: the ratio of their spectral errors over the same members."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from subgrid.evaluation.intervals import (
    Interval,
    Statistic,
    bootstrap_interval,
    fewest_members,
    ratio,
)
from subgrid.evaluation.scores import KE_SPECTRUM, OnlineScore, beside, error_statistic
from subgrid.evaluation.similarity import spectral_rmse
from subgrid.evaluation.verdicts import interval_record, json_number

if TYPE_CHECKING:
    import xarray as xr


Budget = tuple[int, ...]  # updates of each network of a model, in the order of their training


@dataclass(frozen=True)
class Comparison:
    """The error of the KE spectrum of `model` over that of `other`.

    `ratios`: layer → ratio with its interval; `members`: those behind them, that every network of
    both models survived (networks without a single run that is scored are left out). `budgets`:
    what each of the two was trained with, where that is known.
    """

    model: OnlineScore
    other: OnlineScore
    ratios: dict[str, Interval]
    members: int
    budgets: tuple[Budget, Budget] | None = None

    @property
    def cost(self) -> float | None:
        """The cost per step of `model` over that of `other`; None where one was not timed."""
        if self.model.cost is None or self.other.cost is None:
            return None
        return self.model.cost.ratio / self.other.cost.ratio

    def finding(self, labels: Mapping[str, str] | None = None) -> str:
        """Return what the intervals say, and which runs blew up; `labels`: names to show."""
        words = {layer: _word(value, self.members) for layer, value in self.ratios.items()}
        same = len(set(words.values())) == 1
        found = [next(iter(words.values()))] if same else [f"{k}: {v}" for k, v in words.items()]
        lost = [
            f"{len(score.blow_ups)} of {score.runs} runs of "
            f"{(labels or {}).get(score.name, score.name)} blew up"
            for score in (self.model, self.other)
            if score.blow_ups
        ]
        enough = self.members >= fewest_members(self.model.level)
        once = min(self.model.networks, self.other.networks) == 1
        seeds = ["training seeds not covered"] if enough and once else []
        unequal = self.budgets is not None and len({max(updates) for updates in self.budgets}) > 1
        trained = [
            f"{(labels or {}).get(score.name, score.name)}: {score.remark}"
            for score in (self.model, self.other)
            if score.remark
        ]
        budgets = ["unequal budgets"] if unequal else []
        return "; ".join([*found, *seeds, *budgets, *lost, *trained])

    def record(self) -> dict[str, Any]:
        """Return what scores.json keeps."""
        return {
            "model": self.model.name,
            "other": self.other.name,
            "members": self.members,
            "networks": [self.model.networks, self.other.networks],
            "updates": None if self.budgets is None else [list(one) for one in self.budgets],
            "error_ratio": {
                layer or "flow": interval_record(value) for layer, value in self.ratios.items()
            },
            "cost": None if self.cost is None else {"ratio": json_number(self.cost)},
            "finding": self.finding(),
        }


def compare_online(
    pairs: Iterable[tuple[str, str]],
    scores: Mapping[str, OnlineScore],
    runs: Mapping[str, Sequence["xr.Dataset"]],
    reference: "xr.Dataset",
    *,
    cut: float,
    level: float = 0.95,
    samples: int = 2000,
    seed: int = 0,
    budgets: Mapping[str, Budget] | None = None,
) -> list[Comparison]:
    """Return the first model of each pair of names compared with the second.

    `runs`, `reference`, `cut` and the rest: see `score_online`, which made `scores`; `budgets`:
    model → updates of its networks. Both models of
    a pair are measured over the same members, in each draw of the bootstrap too; the networks of
    each are drawn on their own.
    """
    wavenumber = reference["wavenumber"].values

    def rmse(spectra: NDArray, truth: NDArray) -> NDArray[np.float64]:
        return spectral_rmse(spectra, truth, wavenumber, cut)

    def compared(model: OnlineScore, other: OnlineScore) -> Comparison:
        both, shared = (model, other), _survived(model) & _survived(other)
        sizes = (*(int(score.scored.any(axis=1).sum()) for score in both), int(shared.sum()))
        ratios = {}
        for index, layer in enumerate(model.layers):
            ratios[layer] = Interval(np.nan, np.nan, np.nan, level)
            if min(sizes):
                errors = (
                    _error(score.scored & shared, runs[score.name], reference, index, rmse)
                    for score in both
                )
                ratios[layer] = bootstrap_interval(
                    _ratio(*errors), *sizes, level=level, samples=samples, seed=seed
                )
        known = None if budgets is None else (budgets[model.name], budgets[other.name])
        return Comparison(model, other, ratios, sizes[-1], known)

    return [compared(scores[model], scores[other]) for model, other in pairs]


def _survived(score: OnlineScore) -> NDArray[np.bool_]:
    """Return the members that all networks survived of those that are scored at all."""
    networks = score.scored.any(axis=1)
    return np.asarray(score.scored[networks].all(axis=0) & networks.any())


def _error(
    scored: NDArray[np.bool_],
    sets: Sequence["xr.Dataset"],
    reference: "xr.Dataset",
    index: int,
    rmse: Callable[..., NDArray[np.float64]],
) -> Statistic:
    """Return the statistic of a model's error in the layer `index`, see `error_statistic`."""
    values = np.stack([data[KE_SPECTRUM].values[:, index] for data in sets])
    truth = beside(reference, KE_SPECTRUM, index, values.shape)
    return error_statistic(values, truth, scored, rmse)


def _ratio(model: Statistic, other: Statistic) -> Statistic:
    """Return the statistic: the error of one over that of another, of the same members."""

    def statistic(
        networks: NDArray, other_networks: NDArray, members: NDArray
    ) -> NDArray[np.float64]:
        return ratio(model(networks, members), other(other_networks, members))

    return statistic


def _word(value: Interval, members: int) -> str:
    """Return what the ratio of two errors says."""
    if not members:
        return "no member to compare"
    if members < fewest_members(value.level):
        return "too few members to tell"
    if not np.isfinite(value.estimate):
        return "not measured"
    if not value.excludes(1.0):
        return "no clear difference"
    return "smaller error" if value.high < 1 else "larger error"
