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
metric is not defined there is no number, and the attribute `undefined` of the table says why:
metric → quantity → why, or under the metric's own name where it is for no quantity at all.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from subgrid.evaluation.components import component_words, in_system_order
from subgrid.evaluation.drawn_scores import DrawnScores, is_by_start
from subgrid.evaluation.intervals import Statistic, bootstrap_interval
from subgrid.evaluation.metrics import AbstractDistance, AbstractMetric, Names, chosen_metrics
from subgrid.evaluation.survival import (
    blow_up_steps,
    groups_of,
    paired_truth,
    scored_runs,
    starts_of,
    unit_of,
)
from subgrid.evaluation.table import Cells

Runs = Mapping[str, xr.Dataset | Sequence[xr.Dataset]]
_RUNS, _ENDS = ("network", "member"), ("end",)


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
    _put_runs(sides)
    chosen = chosen_metrics(metrics, truth, system, cut)
    for metric in [*chosen, *chosen_metrics(more, truth, system, cut)]:
        if isinstance(metric, AbstractDistance):
            _put_distances(metric, sides)
        else:
            _put_scores(metric, list(pairs), sides)
    stated = headline or getattr(system, "headline", None)
    return sides.cells.dataset(
        {
            "baseline": baseline or "",
            "level": level,
            "time_units": unit_of(truth).name,
            "components": sides.words,
            "trajectories": sides.trajectories,
            "truth_known": {name: known.tolist() for name, known in sides.known.items()},
            "headline": list(stated or ()),
        }
    )


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
        self.cells, self.words, self._truths = Cells(), {}, {}
        self.apart = ""  # why runs have no counterpart in the truth
        try:
            self.paired = self._paired()
            groups = {name: groups_of(one) for name, one in self.paired.items()}
        except ValueError as error:
            self.paired, self.apart = dict.fromkeys(sets, truth), str(error)
            groups = {}
        self.known = {name: blow_up_steps(one) < 0 for name, one in self.paired.items()}
        # models may have other members than each other; trajectories are what they have in common
        started = {name: one[self.known[name]] for name, one in groups.items()}
        every = np.unique(np.concatenate([*started.values(), np.array([])]))
        self.groups = {name: np.searchsorted(every, one) for name, one in started.items()}
        self.trajectories = len(every)  # independent starts of members whose truth is finite

    def _paired(self) -> dict[str, xr.Dataset]:
        """Return the truth with a member for each run of a model; one object for equal starts."""
        shared: dict[bytes, xr.Dataset] = {}
        found = {}
        for name, sets in self.sets.items():
            mark = starts_of(sets[0], self.truth).tobytes()
            if mark not in shared:
                shared[mark] = paired_truth(sets[0], self.truth)
            found[name] = shared[mark]
        return found

    def truth_of(self, members: NDArray[np.bool_]) -> xr.Dataset:
        """Return the truth of these members, if it has them; always the same object of the same."""
        if self.truth.sizes["member"] != len(members):
            members = blow_up_steps(self.truth) < 0
        mark = members.tobytes()
        if mark not in self._truths:
            self._truths[mark] = _only(self.truth, members)
        return self._truths[mark]

    def why_not(self, metric: AbstractMetric, quantity: str) -> dict[str, str]:
        """Return why a metric is not defined for a quantity, of each model that it is not for.

        A quantity that one model lacks compares none; an ensemble is one beside single runs too.
        """
        if self.apart and is_by_start(metric):
            return dict.fromkeys(self.sets, self.apart)
        found: dict[str, str] = {}
        for name, sets in self.sets.items():
            truth = self.paired[name] if is_by_start(metric) else self.truth
            said = (metric.undefined(quantity, data, truth, self.domain) for data in sets)
            if why := next(filter(None, said), ""):
                found[name] = why
        lacking = any(quantity not in data for sets in self.sets.values() for data in sets)
        return dict.fromkeys(self.sets, next(iter(found.values()))) if found and lacking else found

    def interval(self, statistic: Statistic, *sizes: int) -> tuple[float, float, float]:
        """Return an estimate and its ends over so many networks and members; NaN without any."""
        if not min(sizes):
            return np.nan, np.nan, np.nan
        return bootstrap_interval(statistic, *sizes, **self.options)[:3]


def _put_runs(sides: Sides) -> None:
    """Put down which runs there are, when they blew up, and which are compared."""
    for name, sets in sides.sets.items():
        steps = np.stack([blow_up_steps(data) for data in sets])
        per = [[data.attrs.get("dt", 1.0) / unit_of(data).length] for data in sets]
        times = np.where(steps >= 0, steps * np.array(per), np.nan)
        sides.cells.put("blow_up_step", steps, _RUNS, model=name)
        sides.cells.put("blow_up_time", times, _RUNS, model=name)
        sides.cells.put("scored", sides.scored[name], _RUNS, model=name)


def _put_scores(metric: AbstractMetric, pairs: Sequence[tuple[str, str]], sides: Sides) -> None:
    """Put the scores of a metric: of each run, of each model with intervals, and of pairs."""
    units, quantities = {}, metric.quantities(sides.truth, sides.domain)
    if not quantities:
        why = f"no quantity is a {' or a '.join(metric.kinds)}"
        sides.cells.undefined[metric.name] = {metric.name: why}
    for quantity in quantities:
        if why := sides.why_not(metric, quantity):
            reasons = sides.cells.undefined.setdefault(metric.name, {})
            reasons[quantity] = next(iter(why.values()))
        fitting = [name for name in sides.sets if name not in why]
        if not fitting:
            continue
        some = sides.sets[fitting[0]][0]
        values = some[quantity]
        sides.words[quantity] = component_words(values, sides.domain)
        units[quantity] = metric.units(values.attrs.get("units", "1"), some)
        scores = DrawnScores(metric, sides, quantity, fitting)
        for index, component in enumerate(sides.words[quantity]):
            _put_component(scores, index, pairs, quantity=quantity, component=component)
    about = {"long_name": metric.long_name, "best": metric.best or "", "units_of": units}
    for variable in (metric.name, f"{metric.name}_mean") if units else ():
        sides.cells.describe(variable, **about)


def _put_component(
    scores: DrawnScores, index: int, pairs: Sequence[tuple[str, str]], **place: str
) -> None:
    """Put the scores of one component of a quantity."""
    sides, metric = scores.sides, scores.metric
    put = sides.cells.put
    for model in scores.models:
        here = {"model": model, **place}
        put(metric.name, scores.of_runs(model, index), _RUNS, **here)
        statistic, *sizes = scores.statistic(model, index)
        put(f"{metric.name}_mean", sides.interval(statistic, *sizes), _ENDS, **here)
        if (floor := scores.floor(model, index)) is not None:
            put(f"{metric.name}_floor", floor, **here)
        if sides.baseline in scores.models and sides.baseline != model and metric.best is not None:
            gain = scores.gain(model, index, statistic)
            put(f"{metric.name}_gain", sides.interval(gain, *sizes), _ENDS, **here)
    for one, other in pairs if metric.best is not None else ():
        if not {one, other} <= set(scores.models):
            continue
        ratio, *sizes = scores.ratio(one, other, index)
        here = {"pair": f"{one} / {other}", **place}
        put(f"{metric.name}_ratio", sides.interval(ratio, *sizes), _ENDS, **here)
        if not metric.against_start:
            put("compared_members", sizes[-1], pair=here["pair"])


def _put_distances(metric: AbstractDistance, sides: Sides) -> None:
    """Put the distances of a metric, of all compared runs of each network, and similarities."""
    alone: dict[bytes, dict[Names, float]] = {}  # members → distances of the baseline
    places: dict[Names, None] = {}
    baseline = sides.alone if metric.compares else None
    for model, sets in sides.sets.items():
        # the mean is over networks with runs that are compared; without any the first says so
        scored = sides.scored[model]
        chosen = [int(n) for n in np.flatnonzero(scored.any(axis=1))] or [0]
        found, similar = [], []
        for network in chosen:
            members = scored[network]
            truth = sides.truth_of(members)
            found.append(metric.of_all(_only(sets[network], members), truth, sides.domain))
            if baseline is not None:
                if members.tobytes() not in alone:
                    alive = blow_up_steps(baseline) < 0
                    kept = alive & members if len(members) == len(alive) else alive
                    data = _only(baseline, kept)
                    alone[members.tobytes()] = metric.of_all(data, truth, sides.domain)
                similar.append(_similarity(found[-1], alone[members.tobytes()]))
        for quantity, component in found[0]:
            place = {"model": model, "quantity": quantity, "component": component}
            column = np.full(len(sets), np.nan)
            column[chosen] = [table[quantity, component] for table in found]
            sides.cells.put(metric.name, column, ("network",), **place)
            if similar:
                mean = np.mean([table[quantity, component] for table in similar])
                sides.cells.put("similarity", mean, **place)
        places |= dict.fromkeys(found[0])
    cells = [list(place) for place in places]
    sides.cells.describe(metric.name, long_name=metric.long_name, cells=cells)
    if not cells:
        why = "no quantity of the runs and of the truth is one that it is for"
        sides.cells.undefined[metric.name] = {metric.name: why}
    if baseline is not None:
        before = sides.cells.attributes.get("similarity", {}).get("cells", [])
        sides.cells.describe("similarity", cells=before + cells)


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
