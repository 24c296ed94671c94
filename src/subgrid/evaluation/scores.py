"""Online scores of each model with confidence intervals, blow-ups with dates, and the verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from subgrid.evaluation.cost import StepCost
from subgrid.evaluation.intervals import (
    Interval,
    Statistic,
    bootstrap_interval,
    weighted_mean,
)
from subgrid.evaluation.observables import LAYER_SPECTRA, LEVEL_NAMES
from subgrid.evaluation.similarity import distances, member_mean, similarity, spectral_rmse

if TYPE_CHECKING:
    import xarray as xr

DAY = 86400.0
KE_SPECTRUM = "kinetic_energy_spectrum"
# with n members of equal sign a sign test reaches 2 · 2⁻ⁿ: below 5 % from six on
FEWEST_MEMBERS = 6


class BlowUp(NamedTuple):
    """A member that blew up: of which network, when (step and days since its initial state)."""

    network: int
    member: int
    step: int
    days: float


@dataclass(frozen=True)
class OnlineScore:
    """The online scores of one model, over its networks (training seeds) and members.

    `errors` and `reductions` map "kinetic_energy_spectrum_upper" and its like to the spectral RMSE
    and to 1 - error/error without closure; `member_errors` those of single members against the
    truth from the same state [network, member]; `similarity` the scores of Ross et al. 2023, means
    over networks; `cost` may be None.
    """

    name: str
    networks: int
    members: int
    blow_ups: tuple[BlowUp, ...]
    errors: dict[str, Interval]
    reductions: dict[str, Interval]
    similarity: dict[str, float]
    member_errors: dict[str, NDArray[np.float64]] = field(repr=False)
    cost: StepCost | None = None

    @property
    def runs(self) -> int:
        """Number of runs: networks times members."""
        return self.networks * self.members


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
    then averaged over networks; intervals by `bootstrap_interval`. Raises KeyError without
    `baseline` in `runs`.
    """
    if baseline not in runs:
        raise KeyError(f"baseline {baseline!r} is not among the models {', '.join(runs)}")
    spectra = {name: _spectra(sets) for name, sets in runs.items()}
    truth = {name: values[0] for name, values in _spectra([reference]).items()}
    means = {name: member_mean(values) for name, values in truth.items()}
    wavenumber = np.asarray(reference["wavenumber"].values)
    base = [distances(data, reference, system, cut) for data in runs[baseline]]
    worst = {name: float(np.mean([table[name] for table in base])) for name in base[0]}
    options = {"level": level, "samples": samples, "seed": seed}
    scores = {}
    for name, sets in runs.items():
        found = spectra[name]
        errors, reductions, singles = {}, {}, {}
        for quantity, values in found.items():
            counts = values.shape[:2]
            against = (truth[quantity], wavenumber, cut)
            errors[quantity] = bootstrap_interval(
                _error_statistic(values, *against), *counts, **options
            )
            if name != baseline:
                statistic = _reduction_statistic(values, spectra[baseline][quantity], *against)
                reductions[quantity] = bootstrap_interval(statistic, *counts, **options)
            paired = truth[quantity] if len(truth[quantity]) == counts[1] else means[quantity]
            singles[quantity] = spectral_rmse(values, paired, wavenumber, cut)
        tables = [similarity(distances(data, reference, system, cut), worst) for data in sets]
        scores[name] = OnlineScore(
            name,
            len(sets),
            sets[0].sizes["member"],
            blow_ups(sets),
            errors,
            reductions,
            {key: float(np.mean([table[key] for table in tables])) for key in tables[0]},
            singles,
            None if costs is None else costs.get(name),
        )
    return scores


def blow_ups(sets: Sequence["xr.Dataset"]) -> tuple[BlowUp, ...]:
    """Members that blew up, of every network, with the step and the day on which they did."""
    found = []
    for network, data in enumerate(sets):
        for member, step in enumerate(data["blew_up_at"].values):
            if step >= 0:
                found.append(
                    BlowUp(network, member, int(step), float(step * data.attrs["dt"] / DAY))
                )
    return tuple(found)


def verdict(score: OnlineScore, quantity: str = KE_SPECTRUM) -> str:
    """Return the sentence that says what a model did to the KE-spectrum error, at what cost.

    A change is claimed only where the confidence interval excludes zero.
    """
    dead = len(score.blow_ups)
    counted = f"{dead} of {score.runs} members blew up"
    if dead:
        counted += f", the first after {min(b.days for b in score.blow_ups):.0f} days"
    cost = "" if score.cost is None else f" at {score.cost.ratio:.2g} times the cost per step"
    if dead == score.runs:
        return f"is unstable{cost}: {counted}; its spectra are not scored."
    clauses = [
        _change(score.reductions[f"{quantity}_{name}"], name, score.members)
        for name in LEVEL_NAMES
        if f"{quantity}_{name}" in score.reductions
    ]
    if not clauses:
        return f"is the coarse model that the others are measured against; {counted}."
    sentence, last_verb = "", None
    for verb, layer, amount in clauses:
        if verb == last_verb:
            sentence += f" and that of the {layer} layer {amount}"
        else:
            what = "that" if sentence else "the KE-spectrum error"
            sentence += f"{' and ' if sentence else ''}{verb} {what} of the {layer} layer {amount}"
        last_verb = verb
    return f"{sentence}{cost}; {counted}."


def outcome(score: OnlineScore) -> str:
    """Return "better", "worse", "unclear", "unstable" or "baseline" for a model.

    Better or worse: some layer's reduction of the KE-spectrum error has an interval on that side of
    zero, and none on the other; unstable: at least one member blew up.
    """
    if not score.reductions:
        return "baseline"
    if score.blow_ups:
        return "unstable"
    clear = [
        value.estimate > 0
        for name in LEVEL_NAMES
        if (value := score.reductions[f"{KE_SPECTRUM}_{name}"]).excludes_zero
    ]
    if not clear or (any(clear) and not all(clear)):
        return "unclear"
    return "better" if all(clear) else "worse"


def _change(reduction: Interval, layer: str, members: int) -> tuple[str, str, str]:
    """Return verb, layer and amount of the clause on one layer."""
    value, low, high = (100 * x for x in reduction[:3])
    verb = "reduces" if value > 0 else "increases"
    if not np.isfinite(value):
        return "leaves unmeasured", layer, "(no finite spectrum)"
    if not np.isfinite(low):
        return verb, layer, f"by {abs(value):.0f} % (one run: no interval)"
    interval = f"{100 * reduction.level:.0f} % interval"
    if members < FEWEST_MEMBERS:
        interval = f"resampling the {members} members:"
    if not reduction.excludes_zero:
        span = f"{-high:+.0f} to {-low:+.0f} %"
        return "does not clearly change", layer, f"({-value:+.0f} %, {interval} {span})"
    ends = (low, high) if value > 0 else (-high, -low)
    return verb, layer, f"by {abs(value):.0f} % ({interval} {ends[0]:.0f} to {ends[1]:.0f} %)"


def json_number(value: Any) -> float | None:
    """Return a number that JSON knows: None where it is not finite."""
    return float(value) if np.isfinite(value) else None


def score_record(score: OnlineScore) -> dict[str, Any]:
    """Return a score as plain numbers and lists, for scores.json; NaN becomes None."""

    def interval(value: Interval) -> dict[str, float | None]:
        return {name: json_number(x) for name, x in zip(Interval._fields, value, strict=True)}

    return {
        "networks": score.networks,
        "members": score.members,
        "blow_ups": [blow_up._asdict() for blow_up in score.blow_ups],
        "spectral_rmse": {name: interval(value) for name, value in score.errors.items()},
        "reduction": {name: interval(value) for name, value in score.reductions.items()},
        "similarity": {name: json_number(value) for name, value in score.similarity.items()},
        "cost": None if score.cost is None else score.cost._asdict(),
        "verdict": verdict(score),
    }


def _spectra(sets: Sequence["xr.Dataset"]) -> dict[str, NDArray[np.float64]]:
    """Return the spectra of each quantity and layer [network, member, bins]."""
    return {
        f"{name}_{layer}": np.stack([data[name].values[:, index] for data in sets])
        for name in LAYER_SPECTRA
        for index, layer in enumerate(LEVEL_NAMES)
    }


def _network_errors(
    values: NDArray, counts: NDArray, truth: NDArray, wavenumber: NDArray, cut: float
) -> NDArray[np.float64]:
    """Return the error of each network's spectrum averaged over the members drawn, [network, draw].

    `values` [network, member, bins]; `counts` [draw, member]; `truth` [member, bins]. A truth with
    other members than the runs is not drawn with them.
    """
    paired = len(truth) == values.shape[1]
    drawn = counts if paired else np.ones((len(counts), len(truth)), np.int64)
    reference = weighted_mean(truth, drawn)
    means = np.stack([weighted_mean(network, counts) for network in values])
    return spectral_rmse(means, reference, wavenumber, cut)


def _error_statistic(values: NDArray, truth: NDArray, wavenumber: NDArray, cut: float) -> Statistic:
    """Return the statistic: the spectral error, averaged over the networks drawn."""

    def statistic(networks: NDArray, members: NDArray) -> NDArray[np.float64]:
        errors = _network_errors(values, members, truth, wavenumber, cut)
        weights = np.where(np.isfinite(errors), networks.T, 0)
        total = weights.sum(axis=0)
        summed = (weights * np.nan_to_num(errors)).sum(axis=0)
        return np.divide(summed, total, out=np.full(len(total), np.nan), where=total > 0)

    return statistic


def _reduction_statistic(
    values: NDArray, base: NDArray, truth: NDArray, wavenumber: NDArray, cut: float
) -> Statistic:
    """Return the statistic: 1 - error / error of the first network of the baseline."""
    model = _error_statistic(values, truth, wavenumber, cut)
    alone = _error_statistic(base[:1], truth, wavenumber, cut)

    def statistic(networks: NDArray, members: NDArray) -> NDArray[np.float64]:
        return 1 - model(networks, members) / alone(np.ones((len(members), 1), np.int64), members)

    return statistic
