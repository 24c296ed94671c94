"""How long free runs follow the truth that they start from: Otness, Zanna & Bruna 2025, figure 8.

Decorrelation time: the first time at which the correlation of a run's vorticity with that of the
truth is below 0.5. A member that blew up before has decorrelated by then, one that never does
counts with the length of its run. So every run has one, and no mean is over survivors.
Energy error: mean over the frames of |E - E_truth| / ⟨E_truth⟩, E the mean kinetic energy and ⟨⟩ a
mean over the frames; of a member that blew up up to then, and it is told beside it how many did.
Members whose truth is not finite are left out. Intervals draw trajectories of the truth, with all
members that start in them: members of one trajectory are not independent.
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
    fewest_members,
    percent,
    ratio,
)
from subgrid.evaluation.layers import CORRELATION, correlated_field
from subgrid.evaluation.scores import OnlineScore
from subgrid.evaluation.survival import BlowUp, blow_up_steps, blow_ups, first_date, unit_of
from subgrid.evaluation.verdicts import interval_record, training_sentence

if TYPE_CHECKING:
    import xarray as xr

THRESHOLD = 0.5
_ENERGY = "total_kinetic_energy"
# coordinates of `member` in the truth's statistics: where in the data set each one starts
START_TRAJECTORY, START_FRAME = "start_trajectory", "start_frame"


@dataclass(frozen=True)
class Predictability:
    """How long the runs of a model follow the truth, over its networks and members.

    `times` [network, member] until decorrelation and `energy_errors` [network, member]; `lasting`:
    how many had not decorrelated at the end; `decorrelation` and `energy_error`: means with
    intervals; `gain`: mean decorrelation time over that without a closure of the same members
    (None of that itself); `units`: of the times, a plural; `trajectories`: how many of the truth's
    the members start in, `groups` [member] in which; `correlated`: which field, in words.
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
    trajectories: int
    groups: NDArray[np.int64] = field(repr=False)
    correlated: str = "field"

    @property
    def sure(self) -> bool:
        """Whether there are trajectories enough to exclude chance at the level of the intervals."""
        return self.trajectories >= fewest_members(self.decorrelation.level)

    @property
    def runs(self) -> int:
        """Number of runs: networks times members."""
        return self.times.size

    def rank_key(self) -> tuple[int, float]:
        """Return what ranks settings of a model: how many runs blew up, then the energy error.

        Between settings of which runs blew up it is how long they follow the truth: an energy error
        that ends with the run would favour those that end first.
        """
        if self.blow_ups:
            return len(self.blow_ups), -self.decorrelation.estimate
        error = self.energy_error.estimate
        return 0, error if np.isfinite(error) else np.inf


@dataclass(frozen=True)
class Gain:
    """How much longer a model follows the truth than another: `ratio` of their mean times."""

    model: str
    other: str
    ratio: Interval

    def record(self) -> dict[str, Any]:
        """Return it as plain numbers, for scores.json."""
        return {"model": self.model, "other": self.other, "ratio": interval_record(self.ratio)}


def decorrelation_times(data: "xr.Dataset") -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return when each member decorrelated, in the unit of `time`, and which never did.

    `data`: see `statistics.run_dataset`, with `truth_correlation` [member, time].
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

    `runs`: model → one dataset of `free_runs` with a truth per network; `reference`: that truth,
    with `start_trajectory` [member] where members share trajectories. Intervals by
    `bootstrap_interval` over networks and trajectories; of a `gain` those of both are drawn
    together.
    """
    if any(CORRELATION not in data for sets in runs.values() for data in sets):
        return {}
    options = {"level": level, "samples": samples, "seed": seed}
    unit, known = unit_of(reference), blow_up_steps(reference) < 0
    own = np.arange(len(known))
    members = reference[START_TRAJECTORY].values if START_TRAJECTORY in reference.coords else own
    groups = np.unique(members[known], return_inverse=True)[1]
    count = int(groups.max(initial=-1)) + 1

    def interval(statistic: Statistic, networks: int) -> Interval:
        if not count:
            return _unknown(level)
        return bootstrap_interval(_by_group(statistic, groups), networks, count, **options)

    alone = decorrelation_times(runs[baseline][0])[0][known] / unit.length
    found = {}
    for name, sets in runs.items():
        pairs = [decorrelation_times(data) for data in sets]
        times = np.stack([when[known] for when, _ in pairs]) / unit.length
        errors = np.stack([energy_errors(data, reference)[known] for data in sets])
        networks = len(sets)
        gain = None if name == baseline else interval(_gain(times, alone), networks)
        found[name] = Predictability(
            name,
            times,
            errors,
            int(sum(lasting[known].sum() for _, lasting in pairs)),
            tuple(lost for lost in blow_ups(sets) if known[lost.member]),
            interval(_mean(times), networks),
            interval(_mean(errors), networks),
            gain,
            unit.name,
            count,
            groups,
            correlated_field(sets[0]),
        )
    return found


def gain_over(
    model: Predictability, other: Predictability, samples: int = 2000, seed: int = 0
) -> Interval:
    """Return the mean decorrelation time of a model over that of another, of the same members.

    With the interval over the networks of each, drawn on their own, and over trajectories; all of
    it NaN where no member has a truth.
    """
    level = model.decorrelation.level
    if not model.trajectories:
        return _unknown(level)
    ours, theirs = _mean(model.times), _mean(other.times)

    def statistic(
        networks: NDArray, other_networks: NDArray, members: NDArray
    ) -> NDArray[np.float64]:
        return ratio(ours(networks, members), theirs(other_networks, members))

    grouped = _by_group(statistic, model.groups)
    sizes = len(model.times), len(other.times), model.trajectories
    return bootstrap_interval(grouped, *sizes, level=level, samples=samples, seed=seed)


def gains(
    found: Mapping[str, Predictability],
    pairs: Sequence[tuple[str, str]],
    samples: int = 2000,
    seed: int = 0,
) -> tuple[Gain, ...]:
    """Return `gain_over` of every pair of names of models; none where no runs are followed."""
    return tuple(
        Gain(name, other, gain_over(found[name], found[other], samples, seed))
        for name, other in (pairs if found else ())
    )


def predictability_record(one: Predictability, score: OnlineScore | None = None) -> dict[str, Any]:
    """Return it as plain numbers, for scores.json; with the verdict, if `score` is given."""
    said = {} if score is None else {"verdict": predictability_verdict(one, score)[0]}
    return {
        "units": one.units,
        "trajectories": one.trajectories,
        "decorrelation_time": interval_record(one.decorrelation),
        "not_decorrelated": one.lasting,
        "gain": None if one.gain is None else interval_record(one.gain),
        "energy_error": interval_record(one.energy_error),
        "blow_ups": [blow_up._asdict() for blow_up in one.blow_ups],
        **said,
    }


def outcome_of(one: Predictability) -> str:
    """Return "better", "worse", "unclear", "unstable" or "baseline", by the gain's interval.

    With fewer trajectories than exclude chance it says which way they all point.
    """
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
        how = f"{percent(level)} interval"
        how = how if one.sure else f"resampling the {one.trajectories} trajectories"
        span = f", {how}: {low:.2f} to {high:.2f}" if np.isfinite(low) else ""
        lasts += f" ({value:.2f} times as long as without a closure{span})"
    error = one.energy_error.estimate
    energy = f"energy error {error:.3f}" if np.isfinite(error) else "energy error unknown"
    cost = "" if score.cost is None or one.gain is None else f", at {score.cost.words}"
    dead = f"{len(one.blow_ups)} of {one.runs} runs blew up"
    if one.blow_ups:
        dead += f", first {first_date(one.blow_ups)}"
        lasts = f"is unstable, {lasts}"
    return f"{lasts}; {energy}{cost}; {dead}.{training_sentence(score)}", outcome_of(one)


def summary_of_predictability(found: Mapping[str, Predictability]) -> str:
    """Return the sentence at the head of a report on runs that are followed."""
    compared = [one for one in found.values() if one.gain is not None]
    better = sum(outcome_of(one) == "better" for one in compared)
    dead = sum(len(one.blow_ups) for one in found.values())
    runs = sum(one.runs for one in found.values())
    some = next(iter(found.values()))
    where = f"held-out states of {some.trajectories} trajectories"
    sure = "beyond chance" if some.sure else "however these are drawn (too few to exclude chance)"
    return (
        f"{better} of {len(compared)} models follow the truth longer than the coarse model alone, "
        f"{sure}, in free runs from {where}; {dead} of {runs} runs blew up."
    )


def _unknown(level: float) -> Interval:
    return Interval(float("nan"), float("nan"), float("nan"), level)


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


def _by_group(statistic: Statistic, groups: NDArray[np.int64]) -> Statistic:
    """Return a statistic of how often each group of members was drawn, instead of each member."""

    def grouped(*counts: NDArray) -> NDArray[np.float64]:
        return statistic(*counts[:-1], counts[-1][:, groups])

    return grouped
