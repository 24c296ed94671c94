"""How long free runs follow the truth that they start from: Otness, Zanna & Bruna 2025, figure 8.

Decorrelation time: the first time at which the correlation of a run's vorticity with that of the
truth is below 0.5. A member that blew up before has decorrelated by then, one that never does
counts with the length of its run. So every run has one, and no mean is over survivors.
Energy error: mean over the frames of |E - E_truth| / ⟨E_truth⟩, E the mean kinetic energy and ⟨⟩ a
mean over the frames; of a member that blew up up to then, and it is told beside it how many did.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from subgrid.evaluation.intervals import (
    Interval,
    Statistic,
    bootstrap_interval,
    percent,
    ratio,
)
from subgrid.evaluation.kolmogorov_observables import CORRELATION
from subgrid.evaluation.scores import OnlineScore
from subgrid.evaluation.survival import BlowUp, blow_up_steps, blow_ups, unit_of

if TYPE_CHECKING:
    import xarray as xr

THRESHOLD = 0.5
_ENERGY = "total_kinetic_energy"


@dataclass(frozen=True)
class Predictability:
    """How long the runs of a model follow the truth, over its networks and members.

    `times` [network, member] until decorrelation and `energy_errors` [network, member]; `lasting`:
    how many had not decorrelated at the end; `decorrelation` and `energy_error`: means with
    intervals; `gain`: mean decorrelation time over that without a closure of the same members
    (None of that itself); `units`: of the times, a plural.
    """

    name: str
    times: NDArray[np.float64] = field(repr=False)
    energy_errors: NDArray[np.float64] = field(repr=False)
    lasting: int
    blow_ups: tuple[BlowUp, ...]
    decorrelation: Interval
    energy_error: Interval
    gain: Interval | None
    units: str

    @property
    def runs(self) -> int:
        """Number of runs: networks times members."""
        return self.times.size

    def rank_key(self) -> tuple[int, float]:
        """Return what ranks settings of a model: how many runs blew up, then the energy error."""
        error = self.energy_error.estimate
        return len(self.blow_ups), error if np.isfinite(error) else np.inf


def decorrelation_times(data: "xr.Dataset") -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return when each member decorrelated, in the unit of `time`, and which never did.

    `data`: see `statistics.run_dataset`, with `vorticity_correlation` [member, time].
    """
    times, steps = data["time"].values, blow_up_steps(data)
    correlation = data[CORRELATION].values
    below = ~(correlation >= THRESHOLD)  # also where it is not a number
    lasting = ~below.any(axis=1)
    found = np.where(lasting, times[-1], times[np.argmax(below, axis=1)])
    died = steps * data.attrs["dt"]
    return np.where(steps >= 0, np.minimum(found, died), found), lasting & (steps < 0)


def energy_errors(data: "xr.Dataset", reference: "xr.Dataset") -> NDArray[np.float64]:
    """Return the energy error of each member, over the frames before it blew up; NaN without any.

    `reference`: the truth from the same states, member by member.
    """
    truth = reference[_ENERGY].values
    error = np.abs(data[_ENERGY].values - truth)
    known = np.isfinite(error)
    total = np.where(known, error, 0.0).sum(axis=1)
    return ratio(total, known.sum(axis=1).astype(np.float64)) / truth.mean(axis=1)


def score_predictability(
    runs: Mapping[str, Sequence["xr.Dataset"]],
    reference: "xr.Dataset",
    *,
    baseline: str = "none",
    level: float = 0.95,
    samples: int = 2000,
    seed: int = 0,
) -> dict[str, Predictability]:
    """Return how long every model follows the truth; empty where no correlation was recorded.

    `runs`: model → one dataset of `free_runs` with a truth per network; `reference`: that truth.
    Intervals by `bootstrap_interval` over networks and members; of a `gain` the members of both are
    drawn together.
    """
    if any(CORRELATION not in data for sets in runs.values() for data in sets):
        return {}
    options = {"level": level, "samples": samples, "seed": seed}
    unit = unit_of(reference)
    alone = decorrelation_times(runs[baseline][0])[0] / unit.length
    found = {}
    for name, sets in runs.items():
        pairs = [decorrelation_times(data) for data in sets]
        times = np.stack([when for when, _ in pairs]) / unit.length
        errors = np.stack([energy_errors(data, reference) for data in sets])
        gain = None
        if name != baseline:
            gain = bootstrap_interval(_gain(times, alone), *times.shape, **options)
        found[name] = Predictability(
            name,
            times,
            errors,
            int(sum(lasting.sum() for _, lasting in pairs)),
            blow_ups(sets),
            bootstrap_interval(_mean(times), *times.shape, **options),
            bootstrap_interval(_mean(errors), *errors.shape, **options),
            gain,
            unit.name,
        )
    return found


def predictability_record(one: Predictability) -> dict[str, Any]:
    """Return it as plain numbers, for scores.json."""

    def plain(value: Interval | None) -> dict[str, float | None] | None:
        if value is None:
            return None
        numbers = zip(Interval._fields, value, strict=True)
        return {name: float(x) if np.isfinite(x) else None for name, x in numbers}

    return {
        "units": one.units,
        "decorrelation_time": plain(one.decorrelation),
        "not_decorrelated": one.lasting,
        "gain": plain(one.gain),
        "energy_error": plain(one.energy_error),
        "blow_ups": [blow_up._asdict() for blow_up in one.blow_ups],
    }


def outcome_of(one: Predictability) -> str:
    """Return "better", "worse", "unclear", "unstable" or "baseline", by the gain's interval."""
    if one.blow_ups:
        return "unstable"
    if one.gain is None:
        return "baseline"
    if not one.gain.excludes(1.0):
        return "unclear"
    return "better" if one.gain.low > 1 else "worse"


def predictability_verdict(one: Predictability, score: OnlineScore) -> tuple[str, str]:
    """Return the sentence that says how a model fared, and its outcome in a word."""
    lasts = f"follows the truth for {one.decorrelation.estimate:.2f} {one.units}"
    if one.gain is not None:
        value, low, high, level = one.gain
        span = f", {percent(level)} interval {low:.2f} to {high:.2f}" if np.isfinite(low) else ""
        lasts += f" ({value:.2f} times as long as without a closure{span})"
    error = one.energy_error.estimate
    energy = f"energy error {error:.3f}" if np.isfinite(error) else "energy error unknown"
    cost = "" if score.cost is None else f", at {score.cost.ratio:.2g} times the cost per step"
    counted = f"{len(one.blow_ups)} of {one.runs} runs blew up"
    if one.blow_ups:
        first = min(one.blow_ups, key=lambda blow_up: blow_up.time)
        counted += f", first at {first.date}"
        lasts = f"is unstable, {lasts}"
    return f"{lasts}; {energy}{cost}; {counted}.", outcome_of(one)


def summary_of_predictability(found: Mapping[str, Predictability]) -> str:
    """Return the sentence at the head of a report on runs that are followed."""
    compared = [one for one in found.values() if one.gain is not None]
    better = sum(one.gain is not None and one.gain.low > 1 for one in compared)
    dead = sum(len(one.blow_ups) for one in found.values())
    runs = sum(one.runs for one in found.values())
    return (
        f"{better} of {len(compared)} models follow the truth longer than the coarse model alone, "
        f"beyond chance, in free runs from held-out states; {dead} of {runs} runs blew up."
    )


def _mean(values: NDArray[np.float64]) -> Statistic:
    """Return the statistic: the mean of values [network, member] that are known."""
    known = np.isfinite(values)

    def statistic(networks: NDArray, members: NDArray) -> NDArray[np.float64]:
        def total(of: NDArray) -> NDArray[np.float64]:
            return np.einsum("dn,nm,dm->d", networks, of, members, dtype=np.float64)

        return ratio(total(np.where(known, values, 0.0)), total(known.astype(np.float64)))

    return statistic


def _gain(times: NDArray[np.float64], alone: NDArray[np.float64]) -> Statistic:
    """Return the statistic: mean time of a model over that without a closure, same members."""
    model, other = _mean(times), _mean(np.broadcast_to(alone, times.shape))

    def statistic(networks: NDArray, members: NDArray) -> NDArray[np.float64]:
        return ratio(model(networks, members), other(networks, members))

    return statistic
