"""Online scores of each model with confidence intervals, over the members that survived."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from subgrid.evaluation.cost import StepCost
from subgrid.evaluation.intervals import (
    Interval,
    Statistic,
    bootstrap_interval,
    ratio,
    weighted_mean,
)
from subgrid.evaluation.layers import Layers, keyed, layers_of, spectra_of
from subgrid.evaluation.similarity import (
    distances,
    member_mean,
    relative_errors,
    similarity,
    spectral_rmse,
)
from subgrid.evaluation.survival import BlowUp, blow_up_steps, blow_ups, scored_runs

if TYPE_CHECKING:
    import xarray as xr

KE_SPECTRUM = "kinetic_energy_spectrum"


@dataclass(frozen=True)
class OnlineScore:
    """The online scores of one model, over its networks (training seeds) and members.

    `scored` [network, member]: the runs that enter all scores, see `survival.scored_runs`; without
    a single one the scores are NaN. `errors` and `reductions` map "kinetic_energy_spectrum_upper"
    and its like to the spectral RMSE (m³ s⁻², of the enstrophy spectrum m s⁻²) and to 1 -
    error/error without closure of the same members; `member_errors` those of single members against
    the truth from the same state [network, member]; `similarity` the scores of Ross et al. 2023 and
    `relative` what `relative_errors` gives, means over networks; `cost` may be None; `floors`,
    keyed like `errors`: see `sampling_floor`; `layers`: their names; `units`: of each spectrum;
    `remark`: what is to be said of the model's training whenever it is judged.
    """

    name: str
    blow_ups: tuple[BlowUp, ...]
    scored: NDArray[np.bool_] = field(repr=False)
    errors: dict[str, Interval]
    reductions: dict[str, Interval]
    similarity: dict[str, float]
    member_errors: dict[str, NDArray[np.float64]] = field(repr=False)
    cost: StepCost | None = None
    relative: dict[str, float] = field(default_factory=dict)
    floors: dict[str, float] = field(default_factory=dict)
    layers: Layers = ("",)
    units: dict[str, str] = field(default_factory=dict)
    remark: str = ""

    @property
    def networks(self) -> int:
        """Number of networks."""
        return self.scored.shape[0]

    @property
    def members(self) -> int:
        """Number of members that each network ran."""
        return self.scored.shape[1]

    @property
    def runs(self) -> int:
        """Number of runs: networks times members."""
        return self.scored.size

    @property
    def scored_runs(self) -> int:
        """Number of runs that enter the scores."""
        return int(np.sum(self.scored))

    @property
    def scored_members(self) -> int:
        """Number of members, each a test trajectory, of which a run enters the scores."""
        return int(np.sum(self.scored.any(axis=0)))

    def remaining(self, layer: str) -> Interval:
        """Return the error of a layer's KE spectrum relative to no closure; 1 of that itself.

        NaN without any run that is scored.
        """
        reduction = self.reductions.get(keyed(KE_SPECTRUM, layer))
        if reduction is None:
            itself = 1.0 if self.scored_runs else float("nan")
            return Interval(itself, float("nan"), float("nan"), self.level)
        value, low, high, level = reduction
        return Interval(1 - value, 1 - high, 1 - low, level)

    def rank_key(self, layer: str) -> tuple[int, float]:
        """Return what ranks the model: how many members blew up, then the error of a layer."""
        error = self.errors[keyed(KE_SPECTRUM, layer)].estimate
        return len(self.blow_ups), math.inf if math.isnan(error) else error

    @property
    def median_similarity(self) -> float:
        """Median of the similarities that are known; NaN without any."""
        known = [value for value in self.similarity.values() if math.isfinite(value)]
        return float(np.median(known)) if known else float("nan")

    def at_floor(self, key: str) -> bool:
        """Return whether an error is no larger than other weather alone would make it."""
        return self.errors[key].estimate <= self.floors.get(key, 0.0)

    @property
    def level(self) -> float:
        """Confidence level of the intervals."""
        return next(iter(self.errors.values())).level


def score_online(
    runs: Mapping[str, Sequence["xr.Dataset"]],
    reference: "xr.Dataset",
    system: Any,
    *,
    cut: float,
    baseline: str = "none",
    costs: Mapping[str, StepCost] | None = None,
    level: float = 0.95,
    samples: int = 2000,
    seed: int = 0,
) -> dict[str, OnlineScore]:
    """Return the online scores of every model against the truth.

    `runs`: model → one dataset of `free_runs` per network (one for a model without training), all
    from the same initial states; `reference`: the truth from the same states; `cut` [rad/m] of the
    spectral errors. A spectral error is the RMSE of a network's spectrum averaged over members,
    then averaged over networks; intervals by `bootstrap_interval`. Whatever is compared is averaged
    over the same members, those of `scored_runs`. Raises KeyError without `baseline` in `runs`.
    """
    if baseline not in runs:
        raise KeyError(f"baseline {baseline!r} is not among the models {', '.join(runs)}")
    against = _Against(
        reference,
        runs[baseline][0],
        system,
        cut,
        {"level": level, "samples": samples, "seed": seed},
    )
    return {
        name: _score(name, sets, against, name != baseline, (costs or {}).get(name))
        for name, sets in runs.items()
    }


@dataclass(frozen=True)
class _Against:
    """What every model is measured against, and how."""

    truth: "xr.Dataset"
    without: "xr.Dataset"
    system: Any
    cut: float
    options: dict[str, Any]

    def rmse(self, spectra: NDArray, truth: NDArray) -> NDArray[np.float64]:
        """Return the error of spectra [..., bins] below the cut."""
        return spectral_rmse(spectra, truth, self.truth["wavenumber"].values, self.cut)


def _score(
    name: str, sets: Sequence["xr.Dataset"], against: _Against, compare: bool, cost: StepCost | None
) -> OnlineScore:
    """Return the score of a model; `compare`: with the runs without a closure."""
    scored = scored_runs(sets, against.without, against.truth)
    errors, reductions, singles, floors = {}, {}, {}, {}
    drawn, layers = int(np.sum(scored.any(axis=0))), layers_of(against.truth)
    compared = spectra_of(against.system, by_layer=True)
    for quantity in compared:
        for index, layer in enumerate(layers):
            key = keyed(quantity, layer)
            values = np.stack([data[quantity].values[:, index] for data in sets])
            alone, truth = (
                beside(data, quantity, index, values.shape)
                for data in (against.without, against.truth)
            )
            values = np.where(scored[..., None], values, np.nan)
            singles[key] = against.rmse(values, truth)
            error = error_statistic(values, truth, scored, against.rmse)
            errors[key] = _interval(error, scored, against.options)
            spectra = _spectra(against.truth, quantity, index)
            behind = drawn if len(spectra) == scored.shape[1] else len(spectra)
            floors[key] = sampling_floor(spectra, drawn, behind, against.rmse)
            if compare:
                other = error_statistic(alone, truth, scored, against.rmse)
                reductions[key] = _interval(_reduction(error, other), scored, against.options)
    similar, relative = _similarity(sets, scored, against)
    units = {
        name: against.truth[name].attrs["units"]
        for name in (*compared, *spectra_of(against.system, by_layer=False))
        if name in against.truth
    }
    return OnlineScore(
        name,
        blow_ups(sets),
        scored,
        errors,
        reductions,
        similar,
        singles,
        cost,
        relative,
        floors,
        layers,
        units,
    )


def sampling_floor(
    spectra: NDArray[np.float64],
    members: int,
    truth_members: int,
    rmse: Callable[..., NDArray[np.float64]],
) -> float:
    """Return the spectral error expected of a model that is perfect but for the weather it draws.

        floor² = mean over the bins below the cut of s² (1/M + 1/N)

    s² = variance of the truth's time-averaged `spectra` [member, bins] over its members; M =
    `members` behind the model's mean, N = `truth_members` behind the truth's: two independent draws
    from one population. They start from the same states, so they are independent, and this is not
    too much, if the average begins when those are forgotten. Itself uncertain by some 30 % with six
    members, and the root of a mean square: an error is below it more often than not. What models
    differ by below it says nothing. NaN with fewer than two members. `rmse(spectra, truth)`: the
    error of spectra [..., bins].
    """
    known = spectra[np.isfinite(spectra).all(axis=1)]
    if len(known) < 2 or members < 1:
        return float("nan")
    deviation = np.sqrt(known.var(axis=0, ddof=1) * (1 / members + 1 / truth_members))
    return float(rmse(deviation, np.zeros_like(deviation)))


def common_floor(scores: Mapping[str, OnlineScore], key: str) -> float:
    """Return the sampling floor of the models of which most members are scored; NaN without one."""
    floors = [score.floors.get(key, float("nan")) for score in scores.values()]
    return min((floor for floor in floors if np.isfinite(floor)), default=float("nan"))


def beside(
    data: "xr.Dataset", quantity: str, index: int, shape: tuple[int, ...]
) -> NDArray[np.float64]:
    """Return spectra of the truth or without a closure beside those of a model, of its `shape`.

    [network, member, bins]: the same for every network. A truth with other members than the model
    stands beside each of them as its mean.
    """
    values = _spectra(data, quantity, index)
    if len(values) != shape[1]:
        values = member_mean(values)
    return np.broadcast_to(values, shape)


def _spectra(data: "xr.Dataset", quantity: str, index: int) -> NDArray[np.float64]:
    """Return the spectra [member, bins] of a layer, NaN for members that are lost."""
    return np.where(_alive(data)[:, None], data[quantity].values[:, index], np.nan)


def _alive(data: "xr.Dataset") -> NDArray[np.bool_]:
    return blow_up_steps(data) < 0


def _interval(statistic: Statistic, scored: NDArray, options: dict[str, Any]) -> Interval:
    """Return the interval over the networks and members that are scored; NaN without any."""
    networks, members = (int(np.sum(scored.any(axis=axis))) for axis in (1, 0))
    if not networks:
        return Interval(float("nan"), float("nan"), float("nan"), options["level"])
    return bootstrap_interval(statistic, networks, members, **options)


def error_statistic(
    values: NDArray, truth: NDArray, scored: NDArray, rmse: Callable[..., NDArray[np.float64]]
) -> Statistic:
    """Return the statistic: the error of each network's mean spectrum, averaged over networks.

    `rmse(spectra, truth)`: the error of mean spectra [draw, bins]; `values`, `truth` [network,
    member, bins]; of both the same runs `scored` [network, member] are drawn. A draw of members of
    which a network has none leaves that network out.
    """
    rows, columns = scored.any(axis=1), scored.any(axis=0)
    kept = scored[rows][:, columns, None]
    ours, theirs = (
        np.where(kept, side[rows][:, columns].astype(np.float64), np.nan)
        for side in (values, truth)
    )

    def statistic(networks: NDArray, members: NDArray) -> NDArray[np.float64]:
        errors = np.stack(
            [
                rmse(weighted_mean(model, members), weighted_mean(reference, members))
                for model, reference in zip(ours, theirs, strict=True)
            ]
        )
        weights = np.where(np.isfinite(errors), networks.T, 0)
        return ratio((weights * np.nan_to_num(errors)).sum(axis=0), weights.sum(axis=0))

    return statistic


def _reduction(model: Statistic, alone: Statistic) -> Statistic:
    """Return the statistic: 1 - error / error without a closure of the same runs."""

    def statistic(networks: NDArray, members: NDArray) -> NDArray[np.float64]:
        return 1 - ratio(model(networks, members), alone(networks, members))

    return statistic


def _similarity(
    sets: Sequence["xr.Dataset"], scored: NDArray, against: _Against
) -> tuple[dict[str, float], dict[str, float]]:
    """Return similarity scores and relative errors, means over the networks with runs to score."""
    paired = against.truth.sizes["member"] == scored.shape[1]
    known: dict[bytes, dict[str, float]] = {}  # members → distances without a closure
    scores, errors = [], []
    chosen = [pair for pair in zip(sets, scored, strict=True) if pair[1].any()]
    for data, members in chosen or [(sets[0], scored[0])]:
        truth = _only(against.truth, members if paired else _alive(against.truth))
        mark = members.tobytes()
        if mark not in known:
            alone = _only(against.without, members & _alive(against.without))
            known[mark] = distances(alone, truth, against.system, against.cut)
        ours = _only(data, members)
        found = distances(ours, truth, against.system, against.cut)
        scores.append(similarity(found, known[mark]))
        errors.append(relative_errors(ours, truth, against.system, against.cut))
    return _mean_table(scores), _mean_table(errors)


def _mean_table(tables: list[dict[str, float]]) -> dict[str, float]:
    return {key: float(np.mean([table[key] for table in tables])) for key in tables[0]}


def _only(data: "xr.Dataset", members: NDArray[np.bool_]) -> "xr.Dataset":
    return data.isel(member=np.flatnonzero(members))
