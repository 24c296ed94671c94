"""A table of scores as plain numbers and lists, for scores.json; NaN becomes None."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from subgrid.evaluation import table as scores
from subgrid.evaluation.components import score_name
from subgrid.evaluation.intervals import Interval
from subgrid.evaluation.offline import channel_names
from subgrid.evaluation.verdicts import error_verdict, finding_of_pair, verdict


def json_number(value: Any) -> float | None:
    """Return a number that JSON knows: None where it is not finite."""
    return float(value) if np.isfinite(value) else None


def interval_record(value: Interval) -> dict[str, float | None]:
    """Return an interval as plain numbers."""
    return {name: json_number(x) for name, x in zip(Interval._fields, value, strict=True)}


def score_record(table: xr.Dataset, model: str) -> dict[str, Any]:
    """Return what scores.json keeps of the statistics of a model's runs."""
    networks, members = scores.ran(table, model).shape
    compared = model != table.attrs["baseline"]
    spectra = {
        score_name(quantity, part): {"model": model, "quantity": quantity, "component": part}
        for quantity, part in scores.places(table, "spectral_error")
    }

    def intervals(variable: str) -> dict[str, Any]:
        return {
            name: interval_record(scores.interval(table, variable, **place))
            for name, place in spectra.items()
        }

    return {
        "networks": networks,
        "members": members,
        "blow_ups": [blow_up._asdict() for blow_up in scores.blow_ups(table, model)],
        "scored_runs": int(scores.scored(table, model).sum()),
        "spectral_rmse": intervals("spectral_error_mean"),
        "sampling_floor": {
            name: json_number(scores.value(table, "spectral_error_floor", **place))
            for name, place in spectra.items()
        },
        "reduction": intervals("spectral_error_gain") if compared else {},
        "similarity": {
            score_name(*place): json_number(value)
            for place, value in scores.similarities(table, model).items()
        },
        "relative_errors": {
            name: json_number(value) for name, value in scores.relative_errors(table, model).items()
        },
        "cost": {
            "seconds": scores.value(table, "seconds", model=model),
            "ratio": scores.cost(table, model),
        }
        if np.isfinite(scores.cost(table, model))
        else None,
        "verdict": error_verdict(table, model),
        **({"training": said} if (said := scores.remark(table, model)) else {}),
    }


def followed_record(table: xr.Dataset, model: str) -> dict[str, Any]:
    """Return what scores.json keeps of how long a model's runs follow the truth."""
    place = {"quantity": scores.followed(table), "component": ""}
    time, gain = (
        interval_record(scores.interval(table, f"decorrelation_time_{of}", model=model, **place))
        for of in ("mean", "gain")
    )
    return {
        "units": table.attrs["time_units"],
        "trajectories": table.attrs["trajectories"],
        "decorrelation_time": time,
        "not_decorrelated": int(np.nansum(scores.of_runs(table, "lasting", model, **place))),
        "gain": None if model == table.attrs["baseline"] else gain,
        "energy_error": interval_record(scores.kept_error(table, model)),
        "blow_ups": [blow_up._asdict() for blow_up in scores.counted_blow_ups(table, model)],
        "verdict": verdict(table, model),
    }


def gain_record(table: xr.Dataset, one: str, other: str) -> dict[str, Any]:
    """Return how many times as long as another a model follows the truth."""
    ratio = scores.lasting_ratio(table, one, other)
    return {"model": one, "other": other, "ratio": interval_record(ratio)}


def pair_record(
    table: xr.Dataset, one: str, other: str, budgets: Mapping[str, tuple[int, ...]] | None
) -> dict[str, Any]:
    """Return a model compared with another: the ratio of errors, of costs, and what they say."""
    cost = scores.cost(table, one) / scores.cost(table, other)
    return {
        "model": one,
        "other": other,
        "members": scores.compared_members(table, one, other),
        "networks": [len(scores.ran(table, model)) for model in (one, other)],
        "updates": None if budgets is None else [list(budgets[m]) for m in (one, other)],
        "error_ratio": {
            part or "flow": interval_record(ratio)
            for part, ratio in scores.ratios(table, one, other).items()
        },
        "cost": {"ratio": json_number(cost)} if np.isfinite(cost) else None,
        "finding": finding_of_pair(table, one, other, budgets),
    }


def offline_record(data: xr.Dataset) -> dict[str, Any]:
    """Return offline scores as numbers: means and standard deviations of those per sample."""
    plain: dict[str, Any] = {}
    for name in sorted(map(str, data.data_vars)):  # a store has the order of its directory
        values = data[name]
        if values.dims == ("sample",):
            plain[name] = {"mean": json_number(values.mean()), "std": json_number(values.std())}
        else:
            numbers = [json_number(value) for value in np.ravel(values.values)]
            plain[name] = numbers if values.ndim else numbers[0]
    if "channels" in data.attrs:
        plain["channels"] = list(channel_names(data))
    return plain
