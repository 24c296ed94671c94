"""One table of scores: every model, network and member by every metric, quantity and component.

`compare` fills it. Its variables, for a metric M:

    M            [model, network, member, quantity, component]   the score of each run
    M_mean       [model, quantity, component, end]   of the model, with its interval
    M_gain       [model, quantity, component, end]   over the baseline: the share of its error that
                 is gone (best "low"), or how many times its score (best "high")
    M_floor      [model, quantity, component]   what other weather alone would make of an error
    M_ratio      [pair, quantity, component, end]    of the first model of a pair to the second
    D            [model, network, quantity, component]    a distance of all runs of a network
    similarity   [model, quantity, component]   1 - D / D of the baseline, mean over networks
    blow_up_step, blow_up_time, scored   [model, network, member]   step or -1; whether compared

`end` is estimate, low, high. Intervals draw networks and members (`bootstrap_interval`). Where a
metric is not defined there is no number, and the attribute `undefined` of M says why.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from subgrid.evaluation.components import component_names, component_words, domain_of
from subgrid.evaluation.intervals import (
    Interval,
    Scores,
    Statistic,
    bootstrap_interval,
    by_group,
    mean_of_runs,
    member_mean,
    of_mean,
    quotient,
    quotient_of_two,
    reduction,
    sampling_floor,
)
from subgrid.evaluation.metric_choice import chosen_metrics
from subgrid.evaluation.metrics import AbstractDistance, AbstractMeanMetric, AbstractMetric, Names
from subgrid.evaluation.starts import groups_of, truth_beside
from subgrid.evaluation.survival import blow_up_steps, scored_runs, unit_of
from subgrid.evaluation.table import Cells

if TYPE_CHECKING:
    import xarray as xr

Runs = Mapping[str, "xr.Dataset | Sequence[xr.Dataset]"]
_RUNS = ("network", "member")


def compare(
    runs: Runs,
    truth: "xr.Dataset",
    metrics: Iterable[str | AbstractMetric | AbstractDistance] | None = None,
    baseline: str | None = None,
    *,
    system: Any = None,
    domain: Any = None,
    cut: float | None = None,
    pairs: Iterable[tuple[str, str]] = (),
    level: float = 0.95,
    samples: int = 2000,
    seed: int = 0,
) -> "xr.Dataset":
    """Return the table of scores of models against the truth, see the module for what it holds.

    `runs`: model → its runs, or one dataset per network (training seed), all from the same initial
    states: what `free_runs` returns, or any xarray.Dataset with the dims `member`, `time` (a
    coordinate), `wavenumber` for spectra, those of the domain for fields, and others for
    components. Several runs from one state have a coordinate `start`: the truth's member that each
    begins in. `truth`: the same of the truth. `metrics`: names or objects, by default all that fit.
    `baseline`: the model that gains are over. `system` names the domain and the values that are
    compared; without one `domain` is the domain, or the dims of fields. `cut`: largest wavenumber
    of spectral errors, by default two thirds of the last. `pairs` of models to compare with each
    other. `level`, `samples`, `seed`: see `bootstrap_interval`.

    Raises KeyError without the baseline in `runs`, ValueError without runs, UnknownNameError for an
    unknown metric.

        table = subgrid.compare({"none": alone, "net": [seed0, seed1]}, truth, baseline="none")
        table["spectral_error_gain"].sel(model="net", end="estimate")
    """
    sets = {name: _datasets(one) for name, one in runs.items()}
    if not sets or not all(sets.values()):
        raise ValueError(f"there are no runs to compare; got {', '.join(sets) or 'no model'}")
    if baseline is not None and baseline not in sets:
        raise KeyError(f"baseline {baseline!r} is not among the models {', '.join(sets)}")
    place = domain if system is None else domain_of(system)
    options = {"level": level, "samples": samples, "seed": seed}
    sides = _Sides(sets, _datasets(truth)[0], baseline, place, options)
    sides.put_runs()
    for metric in chosen_metrics(metrics, sides.truth, system, cut):
        if isinstance(metric, AbstractDistance):
            _put_distances(metric, sides)
        else:
            _put_scores(metric, list(pairs), sides)
    return sides.table()


def _datasets(one: Any) -> list["xr.Dataset"]:
    given = list(one) if isinstance(one, Sequence) else [one]
    return [data if "member" in data.dims else data.expand_dims("member") for data in given]


class _Sides:
    """What is compared and how: the runs, the truth, the baseline; the cells of the table."""

    def __init__(
        self,
        sets: Mapping[str, Sequence["xr.Dataset"]],
        truth: "xr.Dataset",
        baseline: str | None,
        domain: Any,
        options: Mapping[str, Any],
    ):
        self.sets, self.truth, self.baseline = sets, truth, baseline
        self.domain, self.options = domain, options
        self.alone = None if baseline is None else sets[baseline][0]
        self.scored = {name: scored_runs(one, self.alone, truth) for name, one in sets.items()}
        self.cells, self.words = Cells(), {}
        self.beside, self.apart = truth, ""
        try:
            self.beside = truth_beside(next(iter(sets.values()))[0], truth)
        except ValueError as error:
            self.apart = str(error)
        self.known = blow_up_steps(self.beside) < 0
        groups = [] if self.apart else groups_of(self.beside)[self.known]
        self.groups = np.unique(groups, return_inverse=True)[1]

    @property
    def trajectories(self) -> int:
        """How many independent starts there are among the members whose truth is finite."""
        return int(self.groups.max(initial=-1)) + 1

    def put_runs(self) -> None:
        """Put down which runs there are, when they blew up, and which are compared."""
        for name, sets in self.sets.items():
            steps = np.stack([blow_up_steps(data) for data in sets])
            per = [[data.attrs.get("dt", 1.0) / unit_of(data).length] for data in sets]
            times = np.where(steps >= 0, steps * np.array(per), np.nan)
            self.cells.put("blow_up_step", steps, _RUNS, model=name)
            self.cells.put("blow_up_time", times, _RUNS, model=name)
            self.cells.put("scored", self.scored[name], _RUNS, model=name)

    def why_not(self, metric: AbstractMetric, quantity: str) -> str:
        """Return why a metric is not defined for a quantity of these runs, or nothing."""
        if metric.against_start and self.apart:
            return self.apart
        truth = self.beside if metric.against_start else self.truth
        every = (data for sets in self.sets.values() for data in sets)
        said = (metric.undefined(quantity, data, truth, self.domain) for data in every)
        return next(filter(None, said), "")

    def interval(self, statistic: Statistic, *sizes: int) -> Interval:
        """Return the interval over so many networks and members; NaN without any."""
        if not min(sizes):
            return Interval(np.nan, np.nan, np.nan, self.options["level"])
        return bootstrap_interval(statistic, *sizes, **self.options)

    def table(self) -> "xr.Dataset":
        """Return the table."""
        return self.cells.dataset(
            {
                "baseline": self.baseline or "",
                "level": self.options["level"],
                "time_units": unit_of(self.truth).name,
                "components": self.words,
                "trajectories": self.trajectories,
                "truth_members": self.truth.sizes["member"],
            }
        )


def _put_scores(metric: AbstractMetric, pairs: Sequence[tuple[str, str]], sides: _Sides) -> None:
    """Put the scores of a metric: of each run, of each model with intervals, and of pairs."""
    units, missing = {}, {}
    truth = sides.beside if metric.against_start else sides.truth
    for quantity in metric.quantities(truth, sides.domain):
        if why := sides.why_not(metric, quantity):
            missing[quantity] = why
            continue
        some = next(iter(sides.sets.values()))[0]
        values = some[quantity]
        sides.words[quantity] = component_words(values, sides.domain)
        units[quantity] = metric.units(values.attrs.get("units", "1"), some)
        kind = _OfMeans if isinstance(metric, AbstractMeanMetric) else _OfRuns
        scores = kind(metric, sides, quantity)
        for index, component in enumerate(component_names(values, sides.domain)):
            _put_component(scores, index, pairs, quantity=quantity, component=component)
    words = {"long_name": metric.long_name, "best": metric.best or ""}
    for variable in ("", "_mean") if units else ():
        about = words | {"units_of": units}
        sides.cells.describe(f"{metric.name}{variable}", **about)
    if missing:
        sides.cells.undefined[metric.name] = missing


def _put_component(
    scores: "_OfRuns", index: int, pairs: Sequence[tuple[str, str]], **place: str
) -> None:
    """Put the scores of one component of a quantity."""
    sides, metric = scores.sides, scores.metric
    for model in sides.sets:
        sides.cells.put(metric.name, scores.of_runs(model, index), _RUNS, model=model, **place)
        statistic, *sizes = scores.statistic(model, index)
        mean = sides.interval(statistic, *sizes)
        sides.cells.put(f"{metric.name}_mean", mean[:3], ("end",), model=model, **place)
        if (floor := scores.floor(model, index)) is not None:
            sides.cells.put(f"{metric.name}_floor", floor, model=model, **place)
        if sides.baseline not in (None, model) and metric.best is not None:
            against = reduction if metric.best == "low" else quotient
            gain = sides.interval(against(statistic, scores.alone(model, index)), *sizes)
            sides.cells.put(f"{metric.name}_gain", gain[:3], ("end",), model=model, **place)
    for one, other in pairs if metric.best is not None else ():
        ratio, *sizes = scores.ratio(one, other, index)
        pair = {"pair": f"{one} / {other}", **place}
        sides.cells.put(f"{metric.name}_ratio", sides.interval(ratio, *sizes)[:3], ("end",), **pair)
        if not metric.against_start:
            sides.cells.put("compared_members", sizes[-1], pair=pair["pair"])


class _OfRuns:
    """A score of each run of each model, of one quantity; its mean is over all runs."""

    def __init__(self, metric: AbstractMetric, sides: _Sides, quantity: str):
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


class _OfMeans(_OfRuns):
    """A score of each network's mean over the runs that are compared, of one quantity."""

    metric: AbstractMeanMetric

    def __init__(self, metric: AbstractMeanMetric, sides: _Sides, quantity: str):
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
        dead = blow_up_steps(self.sides.alone) >= 0
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


def _put_distances(metric: AbstractDistance, sides: _Sides) -> None:
    """Put the distances of a metric, of all compared runs of each network, and similarities."""
    paired = sides.truth.sizes["member"] == next(iter(sides.scored.values())).shape[1]
    truth_alive = blow_up_steps(sides.truth) < 0
    known: dict[bytes, dict[Names, float]] = {}  # members → distances of the baseline
    for model, sets in sides.sets.items():
        tables = []
        for network, (data, members) in enumerate(zip(sets, sides.scored[model], strict=True)):
            if not members.any() and sides.scored[model].any():
                continue  # the mean is over networks with runs that are compared
            truth = _only(sides.truth, members if paired else truth_alive)
            found = metric.of_all(_only(data, members), truth, sides.domain)
            _put_network(metric.name, found, network, model, sides)
            if metric.compares and sides.alone is not None:
                mark = members.tobytes()
                if mark not in known:
                    alone = members & (blow_up_steps(sides.alone) < 0)
                    side = _only(sides.alone, alone)
                    known[mark] = metric.of_all(side, truth, sides.domain)
                tables.append(_similarity(found, known[mark]))
            if not sides.scored[model].any():
                break
        for quantity, component in tables[0] if tables else ():
            mean = float(np.mean([table[quantity, component] for table in tables]))
            place = {"model": model, "quantity": quantity, "component": component}
            sides.cells.put("similarity", mean, **place)
    sides.cells.describe(metric.name, long_name=metric.long_name)


def _put_network(
    name: str, found: Mapping[Names, float], network: int, model: str, sides: _Sides
) -> None:
    for (quantity, component), distance in found.items():
        cell = np.full(network + 1, np.nan)
        cell[network] = distance
        place = {"model": model, "quantity": quantity, "component": component}
        sides.cells.put(name, cell, ("network",), **place)


def _similarity(model: Mapping[Names, float], alone: Mapping[Names, float]) -> dict[Names, float]:
    """Similarities 1 - d(model, truth)/d(baseline, truth) from two tables of distances.

    1 is perfect, 0 as good as the baseline, negative worse (Ross et al. 2023). NaN where the
    baseline has no distance to the truth.
    """
    return {
        name: 1 - value / alone[name] if alone.get(name, 0) > 0 else float("nan")
        for name, value in model.items()
    }


def _only(data: "xr.Dataset", members: NDArray[np.bool_]) -> "xr.Dataset":
    return data.isel(member=np.flatnonzero(members))
