"""Online scores of each model with confidence intervals, blow-ups with dates, and the verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from subgrid.evaluation.cost import StepCost
from subgrid.evaluation.intervals import Interval, bootstrap_interval
from subgrid.evaluation.observables import LAYER_SPECTRA, LEVEL_NAMES
from subgrid.evaluation.similarity import distances, member_mean, similarity, spectral_rmse

if TYPE_CHECKING:
    import xarray as xr

DAY = 86400.0
KE_SPECTRUM = "kinetic_energy_spectrum"


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
    and to 1 - error/error without closure; `member_errors` the same errors of single members
    [network, member]; `similarity` the scores of Ross et al. 2023, means over networks; `cost` may
    be None.
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
    samples: int = 1000,
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
            pair = (values, spectra[baseline][quantity], truth[quantity], wavenumber, cut)
            errors[quantity] = bootstrap_interval(_error_statistic(*pair), *counts, **options)
            if name != baseline:
                reductions[quantity] = bootstrap_interval(
                    _reduction_statistic(*pair), *counts, **options
                )
            singles[quantity] = spectral_rmse(values, member_mean(truth[quantity]), wavenumber, cut)
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
    cost = "" if score.cost is None else f" at {score.cost.ratio:.3g} times the cost per step"
    if dead == score.runs:
        return f"is unstable{cost}: {counted}; its spectra are not scored."
    parts = [
        _change(score.reductions[f"{quantity}_{name}"], name)
        for name in LEVEL_NAMES
        if f"{quantity}_{name}" in score.reductions
    ]
    if not parts:
        return f"is the coarse model that the others are measured against; {counted}."
    return f"{' and '.join(parts)}{cost}; {counted}."


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


def _change(reduction: Interval, layer: str) -> str:
    """Return the clause on one layer."""
    where = f"the KE-spectrum error of the {layer} layer"
    value, low, high = (100 * x for x in reduction[:3])
    if not np.isfinite(value):
        return f"has no measured effect on {where}"
    if not np.isfinite(low):
        verb = "reduces" if value > 0 else "increases"
        return f"{verb} {where} by {abs(value):.0f} % (one run: no interval)"
    percent = f"{100 * reduction.level:.0f} % interval"
    if not reduction.excludes_zero:
        return (
            f"changes {where} by no more than chance ({-value:+.0f} %, {percent} "
            f"{-high:+.0f} to {-low:+.0f} %)"
        )
    if value > 0:
        return f"reduces {where} by {value:.0f} % ({percent} {low:.0f} to {high:.0f} %)"
    return f"increases {where} by {-value:.0f} % ({percent} {-high:.0f} to {-low:.0f} %)"


def score_record(score: OnlineScore) -> dict[str, Any]:
    """Return a score as plain numbers and lists, for scores.json; NaN becomes None."""

    def number(value: float) -> float | None:
        return float(value) if np.isfinite(value) else None

    def interval(value: Interval) -> dict[str, float | None]:
        return {name: number(x) for name, x in zip(Interval._fields, value, strict=True)}

    return {
        "networks": score.networks,
        "members": score.members,
        "blow_ups": [blow_up._asdict() for blow_up in score.blow_ups],
        "spectral_rmse": {name: interval(value) for name, value in score.errors.items()},
        "reduction": {name: interval(value) for name, value in score.reductions.items()},
        "similarity": {name: number(value) for name, value in score.similarity.items()},
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
    values: NDArray, members: NDArray, truth: NDArray, wavenumber: NDArray, cut: float
) -> NDArray[np.float64]:
    """Return the error of each network's spectrum averaged over `members`."""
    # a truth with other members than the runs is not drawn with them
    drawn = truth[members] if len(truth) == values.shape[1] else truth
    means = np.stack([member_mean(network[members]) for network in values])
    return spectral_rmse(means, member_mean(drawn), wavenumber, cut)


def _error_statistic(values, base, truth, wavenumber, cut):
    del base

    def statistic(networks: NDArray, members: NDArray) -> float:
        return float(np.mean(_network_errors(values[networks], members, truth, wavenumber, cut)))

    return statistic


def _reduction_statistic(values, base, truth, wavenumber, cut):
    def statistic(networks: NDArray, members: NDArray) -> float:
        model = _network_errors(values[networks], members, truth, wavenumber, cut)
        alone = _network_errors(base, members, truth, wavenumber, cut)
        return float(1 - np.nanmean(model) / np.mean(alone))

    return statistic
