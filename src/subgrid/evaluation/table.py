"""The table of scores as a dataset: how it is put together, and what is read from it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from subgrid.evaluation.intervals import Interval, fewest_members, ratio
from subgrid.evaluation.survival import BlowUp

END: tuple[str, ...] = ("estimate", "low", "high")
_DIMS = ("pair", "model", "network", "member", "quantity", "component", "end")


class Cells:
    """Collects the numbers of a table, one cell or one array of cells at a time."""

    def __init__(self) -> None:
        self._cells: dict[str, list[tuple[dict[str, str], tuple[str, ...], NDArray]]] = {}
        self.attributes: dict[str, dict[str, Any]] = {}  # of each variable
        self.undefined: dict[str, dict[str, str]] = {}  # metric → quantity → why

    def describe(self, variable: str, **attributes: Any) -> None:
        """Set attributes of a variable."""
        self.attributes.setdefault(variable, {}).update(attributes)

    def put(self, variable: str, values: Any, dims: tuple[str, ...] = (), /, **place: str) -> None:
        """Put values of a variable [*dims] in their place: the model, quantity, ..."""
        cell = place, dims, np.asarray(values, np.float64)
        self._cells.setdefault(variable, []).append(cell)

    def dataset(self, attributes: Mapping[str, Any]) -> xr.Dataset:
        """Return the table; NaN where nothing was put."""
        every = [cell for cells in self._cells.values() for cell in cells]
        labels = {
            dim: list(dict.fromkeys(p[dim] for p, _, _ in every if dim in p)) for dim in _DIMS
        }
        labels = {dim: found for dim, found in labels.items() if found} | {"end": list(END)}
        sizes = {dim: len(found) for dim, found in labels.items()}
        for _, dims, values in every:
            sizes |= {d: max(sizes.get(d, 0), n) for d, n in zip(dims, values.shape, strict=True)}
        variables = {}
        for name, cells in self._cells.items():
            used = {dim for place, dims, _ in cells for dim in (*place, *dims)}
            order = [dim for dim in _DIMS if dim in used]
            array = np.full([sizes[dim] for dim in order], np.nan)
            for place, dims, values in cells:
                # of fewer networks or members than others have it fills the first
                where: dict[str, Any] = dict(zip(dims, map(slice, values.shape), strict=True))
                where |= {dim: labels[dim].index(label) for dim, label in place.items()}
                array[tuple(where[dim] for dim in order)] = values
            variables[name] = (order, array, self.attributes.get(name, {}))
        return xr.Dataset(variables, labels, {**attributes, "undefined": self.undefined})


def models(table: xr.Dataset) -> list[str]:
    """Return the names of the models."""
    return [str(name) for name in table["model"].values]


def interval(table: xr.Dataset, variable: str, **place: str) -> Interval:
    """Return an estimate with its interval, say of "rmse_mean"; NaN where the table has none."""
    ends = np.broadcast_to(_numbers(table, variable, place), len(END))
    estimate, low, high = map(float, ends)
    return Interval(estimate, low, high, float(table.attrs["level"]))


def value(table: xr.Dataset, variable: str, **place: str) -> float:
    """Return one number of the table, NaN where it has none."""
    return float(_numbers(table, variable, place))


def _numbers(table: xr.Dataset, variable: str, place: Mapping[str, str]) -> NDArray[np.float64]:
    known = variable in table and all(one in table[dim].values for dim, one in place.items())
    return table[variable].sel(place).values if known else np.array(np.nan)


def words(table: xr.Dataset, quantity: str) -> dict[str, str]:
    """Return the components of a quantity with how each is called: "upper layer"."""
    return dict(table.attrs["components"])[quantity]


def ran(table: xr.Dataset, model: str) -> NDArray[np.bool_]:
    """Return which runs [network, member] of a model there are."""
    found = np.isfinite(table["blow_up_step"].sel(model=model).values)
    return found[found.any(axis=1)][:, found.any(axis=0)]


def scored(table: xr.Dataset, model: str) -> NDArray[np.bool_]:
    """Return which runs [network, member] of a model are compared."""
    return of_runs(table, "scored", model) == 1


def of_runs(table: xr.Dataset, variable: str, model: str, **place: str) -> NDArray[np.float64]:
    """Return the score of every run of a model [network, member]."""
    networks, members = ran(table, model).shape
    return table[variable].sel({"model": model, **place}).values[:networks, :members]


def blow_ups(table: xr.Dataset, model: str) -> tuple[BlowUp, ...]:
    """Return the runs of a model that blew up."""
    steps = table["blow_up_step"].sel(model=model).values
    times, units = table["blow_up_time"].sel(model=model).values, table.attrs["time_units"]
    return tuple(
        BlowUp(int(n), int(m), int(steps[n, m]), float(times[n, m]), units)
        for n, m in np.argwhere(steps >= 0)
    )


def remark(table: xr.Dataset, model: str) -> str:
    """Return what is to be said of the training of a model, often nothing."""
    return table.attrs.get("remarks", {}).get(model, "")


def remaining(table: xr.Dataset, metric: str, model: str, quantity: str, part: str) -> Interval:
    """Return an error relative to the baseline's; 1 of the baseline itself."""
    if model == table.attrs["baseline"]:
        itself = 1.0 if scored(table, model).any() else np.nan
        return Interval(itself, np.nan, np.nan, float(table.attrs["level"]))
    place = {"model": model, "quantity": quantity, "component": part}
    gain, low, high, level = interval(table, f"{metric}_gain", **place)
    return Interval(1 - gain, 1 - high, 1 - low, level)


def common_floor(table: xr.Dataset, metric: str, quantity: str, component: str) -> float:
    """Return the sampling floor of the models of which most members are scored; NaN without one."""
    place = {"quantity": quantity, "component": component}
    floors = [value(table, f"{metric}_floor", model=model, **place) for model in models(table)]
    return min((floor for floor in floors if np.isfinite(floor)), default=np.nan)


def similarities(table: xr.Dataset, model: str) -> dict[tuple[str, str], float]:
    """Return the similarities of a model to the truth, by quantity and component."""
    return _cells(table, "similarity", model)


def relative_errors(table: xr.Dataset, model: str) -> dict[str, float]:
    """Return the errors of a model in units of the truth, means over networks."""
    return {name: number for (name, _), number in _cells(table, "relative_error", model).items()}


def _cells(table: xr.Dataset, variable: str, model: str) -> dict[tuple[str, str], float]:
    """Return the numbers that were put in [quantity, component], in their order."""
    if variable not in table:
        return {}
    cells = table[variable].sel(model=model)
    mean = cells.mean("network") if "network" in cells.dims else cells
    return {
        (quantity, part): float(mean.sel(quantity=quantity, component=part))
        for quantity, part in table[variable].attrs["cells"]
    }


def rank_key(table: xr.Dataset, metric: str, model: str, quantity: str, part: str) -> tuple:
    """Return what ranks a model: how many runs blew up, then its score of a component."""
    place = {"model": model, "quantity": quantity, "component": part}
    score = interval(table, f"{metric}_mean", **place).estimate
    return len(blow_ups(table, model)), np.inf if np.isnan(score) else score


def with_costs(table: xr.Dataset, costs: Mapping[str, Any]) -> xr.Dataset:
    """Return the table with what each model costs: `seconds` a step, `cost` over the baseline's.

    `costs`: model → `StepCost`; models without one were not timed.
    """
    timed = [costs.get(name, (np.nan, np.nan)) for name in models(table)]
    seconds, ratios = zip(*timed, strict=True)
    return table.assign(
        seconds=("model", list(seconds), {"units": "s"}),
        cost=("model", list(ratios), {"units": "1"}),
    )


def cost(table: xr.Dataset, model: str) -> float:
    """Return the cost per step relative to the baseline, NaN where it was not timed."""
    return value(table, "cost", model=model)


def relative_floor(table: xr.Dataset, metric: str, quantity: str, component: str) -> float:
    """Return the sampling floor over the error of the baseline."""
    place = {"model": table.attrs["baseline"], "quantity": quantity, "component": component}
    alone = interval(table, f"{metric}_mean", **place).estimate
    return float(ratio(np.array(common_floor(table, metric, quantity, component)), np.array(alone)))


def headline(table: xr.Dataset) -> tuple[str, str]:
    """Return the metric and the quantity that verdicts, overview and rankings speak of.

    As the comparison was told; else how long runs follow the truth, the error of the first
    spectrum, or the first score that there is a gain in.
    """
    if table.attrs.get("headline"):
        return tuple(table.attrs["headline"])
    if followed(table):
        return "decorrelation_time", followed(table)
    return main_error(table)


def main_error(table: xr.Dataset) -> tuple[str, str]:
    """Return the first error that models are compared by, and its quantity: of a spectrum, if any.

    Raises ValueError for a table without one.
    """
    for metric in ("spectral_error", "mean_error", "rmse", *(str(name) for name in table)):
        known = f"{metric}_mean" in table and table[metric].attrs.get("best") == "low"
        if known:
            return metric, next(iter(table[metric].attrs["units_of"]))
    raise ValueError(f"no metric of the table has an error: {', '.join(map(str, table))}")


def followed(table: xr.Dataset) -> str:
    """Return the quantity whose correlation with the truth was followed; nothing without one."""
    if "decorrelation_time_mean" not in table:
        return ""
    return next(iter(table["decorrelation_time"].attrs["units_of"]))


def kept_series(table: xr.Dataset) -> str:
    """Return the series that a followed run should keep: the first of one component, its energy."""
    series = table["series_error"].attrs["units_of"] if "series_error" in table else {}
    return next((name for name in series if list(words(table, name)) == [""]), "")


def kept_error(table: xr.Dataset, model: str) -> Interval:
    """Return the error of `kept_series` of a model."""
    place = {"model": model, "quantity": kept_series(table), "component": ""}
    return interval(table, "series_error_mean", **place)


def is_sure(table: xr.Dataset) -> bool:
    """Return whether there are trajectories enough to exclude chance at the intervals' level."""
    return table.attrs["trajectories"] >= fewest_members(table.attrs["level"])


def counted_blow_ups(table: xr.Dataset, model: str) -> tuple[BlowUp, ...]:
    """Return the runs that blew up; where runs are followed, of those that have a truth."""
    found = blow_ups(table, model)
    known = table.attrs["truth_known"][model]
    return tuple(one for one in found if known[one.member]) if followed(table) else found


def counted_runs(table: xr.Dataset, model: str) -> int:
    """Return how many runs there are; where they are followed, how many have a truth."""
    known = np.array(table.attrs["truth_known"][model], bool)
    found = ran(table, model)
    return int(found[:, known].sum()) if followed(table) else found.size


def ratios(table: xr.Dataset, one: str, other: str) -> dict[str, Interval]:
    """Return the ratio of two models' errors (see `main_error`), by component."""
    metric, quantity = main_error(table)
    pair = f"{one} / {other}"
    return {
        part: interval(table, f"{metric}_ratio", pair=pair, quantity=quantity, component=part)
        for part in words(table, quantity)
    }


def compared_members(table: xr.Dataset, one: str, other: str) -> int:
    """Return over how many members two models are compared: those all networks survived."""
    return int(value(table, "compared_members", pair=f"{one} / {other}"))


def places(table: xr.Dataset, metric: str) -> list[tuple[str, str]]:
    """Return the quantities and components that a metric is defined for."""
    units = table[metric].attrs["units_of"] if metric in table else {}
    return [(quantity, part) for quantity in units for part in words(table, quantity)]


def lasting_ratio(table: xr.Dataset, one: str, other: str) -> Interval:
    """Return how many times as long as another a model follows the truth."""
    place = {"pair": f"{one} / {other}", "quantity": followed(table), "component": ""}
    return interval(table, "decorrelation_time_ratio", **place)
