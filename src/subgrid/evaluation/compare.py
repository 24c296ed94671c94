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
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from subgrid.evaluation.components import component_names, component_words, in_system_order
from subgrid.evaluation.drawn_scores import OfMeans, OfRuns
from subgrid.evaluation.intervals import (
    Interval,
    Statistic,
    bootstrap_interval,
    quotient,
    reduction,
)
from subgrid.evaluation.metrics import (
    AbstractDistance,
    AbstractMeanMetric,
    AbstractMetric,
    Names,
    chosen_metrics,
)
from subgrid.evaluation.starts import groups_of, starts_of, truth_beside
from subgrid.evaluation.survival import blow_up_steps, scored_runs, unit_of
from subgrid.evaluation.table import Cells

Runs = Mapping[str, xr.Dataset | Sequence[xr.Dataset]]
_RUNS = ("network", "member")


def compare(
    runs: Runs,
    truth: xr.Dataset,
    metrics: Iterable[str | AbstractMetric | AbstractDistance] | None = None,
    baseline: str | None = None,
    *,
    system: Any = None,
    domain: Any = None,
    cut: float | None = None,
    more: Iterable[str | AbstractMetric | AbstractDistance] = (),
    pairs: Iterable[tuple[str, str]] = (),
    headline: tuple[str, str] | None = None,
    level: float = 0.95,
    samples: int = 2000,
    seed: int = 0,
) -> xr.Dataset:
    """Return the table of scores of models against the truth, see the module for what it holds.

    `runs`: model → its runs, or one dataset per network (training seed), all with the same members:
    what `free_runs` returns, or any xarray.Dataset with the dims `member`, `time` (a
    coordinate), `wavenumber` for spectra, those of the domain for fields, and others for
    components. Several runs from one state have a coordinate `start`: the truth's member that each
    begins in. `truth`: the same of the truth. `metrics`: names or objects, by default all that fit;
    `more`: others beside them. `baseline`: the model that gains are over. `system` names the domain
    and the values that are compared; without one `domain` is the domain, or the dims of fields.
    `cut`: largest wavenumber of spectral errors, by default two thirds of the last. `pairs` of
    models to compare with each other. `headline`: the metric and quantity that verdicts speak of,
    by default the system's. `level`, `samples`, `seed`: see `bootstrap_interval`.

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
    place = domain if system is None else system.domain
    options = {"level": level, "samples": samples, "seed": seed}
    (truth,) = _datasets(in_system_order(truth, system))
    sides = Sides(sets, truth, baseline, place, options)
    sides.put_runs()
    chosen = chosen_metrics(metrics, truth, system, cut)
    for metric in [*chosen, *chosen_metrics(more, truth, system, cut)]:
        if isinstance(metric, AbstractDistance):
            _put_distances(metric, sides)
        else:
            _put_scores(metric, list(pairs), sides)
    stated = headline or getattr(system, "headline", None)
    return sides.table().assign_attrs(headline=list(stated or ()))


def _datasets(one: Any) -> list[xr.Dataset]:
    given = list(one) if isinstance(one, Sequence) else [one]
    return [data if "member" in data.dims else data.expand_dims("member") for data in given]


class Sides:
    """What is compared and how: the runs, the truth, the baseline; the cells of the table."""

    def __init__(
        self,
        sets: Mapping[str, Sequence[xr.Dataset]],
        truth: xr.Dataset,
        baseline: str | None,
        domain: Any,
        options: Mapping[str, Any],
    ):
        self.sets, self.truth, self.baseline = sets, truth, baseline
        self.domain, self.options = domain, options
        self.alone = None if baseline is None else sets[baseline][0]
        self.scored = {name: scored_runs(one, self.alone, truth) for name, one in sets.items()}
        self.cells, self.words, self.similar = Cells(), {}, []
        self._truths: dict[bytes, xr.Dataset] = {}
        self.apart = ""
        try:
            self.beside = self._beside()
        except ValueError as error:
            self.beside, self.apart = dict.fromkeys(sets, truth), str(error)
        self.known = {name: blow_up_steps(one) < 0 for name, one in self.beside.items()}
        # models may have other members than each other; trajectories are what they have in common
        started = {
            name: np.array([]) if self.apart else groups_of(one)[self.known[name]]
            for name, one in self.beside.items()
        }
        every = np.unique(np.concatenate(list(started.values())))
        self.groups = {name: np.searchsorted(every, one) for name, one in started.items()}
        self.trajectories = len(every)  # independent starts of members whose truth is finite

    def _beside(self) -> dict[str, xr.Dataset]:
        """Return the truth with a member for each run of a model; one object for equal starts."""
        starts = {name: starts_of(one[0], self.truth).tobytes() for name, one in self.sets.items()}
        shared: dict[bytes, xr.Dataset] = {}
        for name, mark in starts.items():
            if mark not in shared:
                shared[mark] = truth_beside(self.sets[name][0], self.truth)
        return {name: shared[mark] for name, mark in starts.items()}

    def truth_of(self, members: NDArray[np.bool_]) -> xr.Dataset:
        """Return the truth of these members, if it has them; always the same object of the same."""
        if self.truth.sizes["member"] != len(members):
            members = blow_up_steps(self.truth) < 0
        mark = members.tobytes()
        if mark not in self._truths:
            self._truths[mark] = _only(self.truth, members)
        return self._truths[mark]

    def truth_for(self, metric: AbstractMetric, model: str) -> xr.Dataset:
        """Return the truth that a metric sees: run by run where each is compared with its start."""
        return self.beside[model] if metric.against_start else self.truth

    def put_runs(self) -> None:
        """Put down which runs there are, when they blew up, and which are compared."""
        for name, sets in self.sets.items():
            steps = np.stack([blow_up_steps(data) for data in sets])
            per = [[data.attrs.get("dt", 1.0) / unit_of(data).length] for data in sets]
            times = np.where(steps >= 0, steps * np.array(per), np.nan)
            self.cells.put("blow_up_step", steps, _RUNS, model=name)
            self.cells.put("blow_up_time", times, _RUNS, model=name)
            self.cells.put("scored", self.scored[name], _RUNS, model=name)

    def why_not(self, metric: AbstractMetric, quantity: str) -> dict[str, str]:
        """Return why a metric is not defined for a quantity, of each model that it is not for.

        A quantity that one model lacks compares none; an ensemble is one beside single runs too.
        """
        if metric.against_start and self.apart:
            return dict.fromkeys(self.sets, self.apart)
        found: dict[str, str] = {}
        for name, sets in self.sets.items():
            truth = self.truth_for(metric, name)
            said = (metric.undefined(quantity, data, truth, self.domain) for data in sets)
            if why := next(filter(None, said), ""):
                found[name] = why
        lacking = any(quantity not in data for sets in self.sets.values() for data in sets)
        return dict.fromkeys(self.sets, next(iter(found.values()))) if found and lacking else found

    def interval(self, statistic: Statistic, *sizes: int) -> Interval:
        """Return the interval over so many networks and members; NaN without any."""
        if not min(sizes):
            return Interval(np.nan, np.nan, np.nan, self.options["level"])
        return bootstrap_interval(statistic, *sizes, **self.options)

    def table(self) -> xr.Dataset:
        """Return the table."""
        return self.cells.dataset(
            {
                "baseline": self.baseline or "",
                "level": self.options["level"],
                "time_units": unit_of(self.truth).name,
                "components": self.words,
                "trajectories": self.trajectories,
                "truth_known": {name: known.tolist() for name, known in self.known.items()},
            }
        )


def _put_scores(metric: AbstractMetric, pairs: Sequence[tuple[str, str]], sides: Sides) -> None:
    """Put the scores of a metric: of each run, of each model with intervals, and of pairs."""
    units, missing = {}, {}
    for quantity in metric.quantities(sides.truth, sides.domain):
        if why := sides.why_not(metric, quantity):
            missing[quantity] = next(iter(why.values()))
        fitting = [name for name in sides.sets if name not in why]
        if not fitting:
            continue
        some = sides.sets[fitting[0]][0]
        values = some[quantity]
        sides.words[quantity] = component_words(values, sides.domain)
        units[quantity] = metric.units(values.attrs.get("units", "1"), some)
        kind: Any = OfMeans if isinstance(metric, AbstractMeanMetric) else OfRuns
        scores = kind(metric, sides, quantity, fitting)
        for index, component in enumerate(component_names(values, sides.domain)):
            _put_component(scores, index, pairs, quantity=quantity, component=component)
    words = {"long_name": metric.long_name, "best": metric.best or ""}
    for variable in ("", "_mean") if units else ():
        about = words | {"units_of": units}
        sides.cells.describe(f"{metric.name}{variable}", **about)
    if missing:
        sides.cells.undefined[metric.name] = missing


def _put_component(
    scores: "OfRuns", index: int, pairs: Sequence[tuple[str, str]], **place: str
) -> None:
    """Put the scores of one component of a quantity."""
    sides, metric = scores.sides, scores.metric
    for model in scores.models:
        sides.cells.put(metric.name, scores.of_runs(model, index), _RUNS, model=model, **place)
        statistic, *sizes = scores.statistic(model, index)
        mean = sides.interval(statistic, *sizes)
        sides.cells.put(f"{metric.name}_mean", mean[:3], ("end",), model=model, **place)
        if (floor := scores.floor(model, index)) is not None:
            sides.cells.put(f"{metric.name}_floor", floor, model=model, **place)
        if sides.baseline in scores.models and sides.baseline != model and metric.best is not None:
            against = reduction if metric.best == "low" else quotient
            gain = sides.interval(against(statistic, scores.alone(model, index)), *sizes)
            sides.cells.put(f"{metric.name}_gain", gain[:3], ("end",), model=model, **place)
    for one, other in pairs if metric.best is not None else ():
        if not {one, other} <= set(scores.models):
            continue
        ratio, *sizes = scores.ratio(one, other, index)
        pair = {"pair": f"{one} / {other}", **place}
        sides.cells.put(f"{metric.name}_ratio", sides.interval(ratio, *sizes)[:3], ("end",), **pair)
        if not metric.against_start:
            sides.cells.put("compared_members", sizes[-1], pair=pair["pair"])


def _put_distances(metric: AbstractDistance, sides: Sides) -> None:
    """Put the distances of a metric, of all compared runs of each network, and similarities."""
    known: dict[bytes, dict[Names, float]] = {}  # members → distances of the baseline
    cells: dict[Names, None] = {}
    for model, sets in sides.sets.items():
        scored = sides.scored[model]
        # the mean is over networks with runs that are compared; without any the first says so
        chosen = [int(n) for n in np.flatnonzero(scored.any(axis=1))] or [0]
        found: dict[int, dict[Names, float]] = {}
        similar: list[dict[Names, float]] = []
        for network in chosen:
            members = scored[network]
            found[network] = _distances(metric, sides, sets[network], members)
            if metric.compares and sides.alone is not None:
                if (mark := members.tobytes()) not in known:
                    alive = blow_up_steps(sides.alone) < 0
                    alive &= members if len(members) == len(alive) else True
                    known[mark] = _distances(metric, sides, sides.alone, alive, truth_of=members)
                similar.append(_similarity(found[network], known[mark]))
        for quantity, component in found[chosen[0]]:
            place = {"model": model, "quantity": quantity, "component": component}
            column = np.full(len(sets), np.nan)
            for network, table in found.items():
                column[network] = table[quantity, component]
            sides.cells.put(metric.name, column, ("network",), **place)
            if similar:
                mean = np.mean([table[quantity, component] for table in similar])
                sides.cells.put("similarity", mean, **place)
        cells |= dict.fromkeys(found[chosen[0]])
    places = [list(place) for place in cells]
    sides.cells.describe(metric.name, long_name=metric.long_name, cells=places)
    if metric.compares and sides.alone is not None:
        sides.similar += places
        sides.cells.describe("similarity", cells=sides.similar)


def _distances(
    metric: AbstractDistance,
    sides: Sides,
    data: xr.Dataset,
    members: NDArray[np.bool_],
    truth_of: NDArray[np.bool_] | None = None,
) -> dict[Names, float]:
    """Return the distances of these members of a run from the truth of the same, if it has them."""
    truth = sides.truth_of(members if truth_of is None else truth_of)
    return metric.of_all(_only(data, members), truth, sides.domain)


def _similarity(model: Mapping[Names, float], alone: Mapping[Names, float]) -> dict[Names, float]:
    """Similarities 1 - d(model, truth)/d(baseline, truth) from two tables of distances.

    1 is perfect, 0 as good as the baseline, negative worse (Ross et al. 2023). NaN where the
    baseline has no distance to the truth.
    """
    return {
        name: 1 - value / alone[name] if alone.get(name, 0) > 0 else float("nan")
        for name, value in model.items()
    }


def _only(data: xr.Dataset, members: NDArray[np.bool_]) -> xr.Dataset:
    return data.isel(member=np.flatnonzero(members))
