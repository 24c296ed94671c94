"""Tables of scores made by hand, for tests of what is read from them."""

import numpy as np

from subgrid.evaluation import Interval
from subgrid.evaluation.table import Cells

SPECTRUM = "kinetic_energy_spectrum"
TWO = {"upper": "upper layer", "lower": "lower layer"}
ONE = {"": ""}
NAN = float("nan")


def span(value):
    """Return an interval: itself, (estimate, low, high), or a number with its own as ends."""
    if isinstance(value, tuple):
        return value[:3]
    return (value, value, value)


def model(*errors, gains=(), floors=(), cost=None, shape=(1, 8), dead=(), lost=(), **more):
    """Return what a table holds of a model, one entry per component.

    `dead`: runs (network, member) that blew up, at step 10 × (1 + their number); `lost`: others
    that are not scored; `members`: the errors of runs by component; `similar`: the similarities;
    `time`, `gain`, `kept`: how long it follows the truth, how much longer, its energy error.
    """
    return {
        "errors": errors, "gains": gains, "floors": floors, "cost": cost, "shape": shape,
        "dead": dead, "lost": lost, "members": (), "similar": (), "time": None, "gain": None,
        "kept": NAN, "remark": "", "ratios": {}, "steps": {}, **more,
    }  # fmt: skip


def made_table(models, words=TWO, level=0.95, units="m3 s-2", trajectories=8, day=86400.0):
    """Return the table of scores of these models, the first of which is the baseline."""
    cells, names = Cells(), {"units_of": {SPECTRUM: units}, "best": "low", "long_name": "error"}
    baseline = next(iter(models))
    for name, one in models.items():
        steps, scored = np.full(one["shape"], -1), np.ones(one["shape"])
        for number, run in enumerate(one["dead"]):
            steps[run] = one["steps"].get(run, 10 * (1 + number))
            scored[run] = 0
        for run in one["lost"]:
            scored[run] = 0
        runs = ("network", "member")
        cells.put("blow_up_step", steps, runs, model=name)
        cells.put("blow_up_time", np.where(steps >= 0, steps / 10.0, NAN), runs, model=name)
        cells.put("scored", scored, runs, model=name)
        for index, part in enumerate(words):
            place = {"model": name, "quantity": SPECTRUM, "component": part}
            members = one["members"][index] if one["members"] else np.full(one["shape"], NAN)
            cells.put("spectral_error", members, runs, **place)
            error = span(one["errors"][index]) if one["errors"] else (NAN, NAN, NAN)
            cells.put("spectral_error_mean", error, ("end",), **place)
            if one["gains"]:
                cells.put("spectral_error_gain", span(one["gains"][index]), ("end",), **place)
            cells.put("spectral_error_floor", (*one["floors"], NAN, NAN)[index], **place)
        if one["cost"] is not None:
            cells.put("cost", one["cost"], model=name)
            cells.put("seconds", 1e-3 * one["cost"], model=name)
        for number, value in enumerate(one["similar"]):
            place = {"model": name, "quantity": str(number), "component": ""}
            cells.put("similarity", value, **place)
        if one["time"] is not None:
            _put_following(cells, name, one)
        for (other, members), values in one["ratios"].items():
            pair = f"{name} / {other}"
            cells.put("compared_members", members, pair=pair)
            for part, value in zip(words, values, strict=True):
                place = {"pair": pair, "quantity": SPECTRUM, "component": part}
                cells.put("spectral_error_ratio", span(value), ("end",), **place)
    cells.describe("spectral_error", **names)
    series = {"units_of": {"total_kinetic_energy": "1"}, "best": "low", "long_name": "error"}
    cells.describe("series_error", **series)
    follow = {"units_of": {"truth_correlation": "days"}, "best": "high", "long_name": "time"}
    cells.describe("decorrelation_time", **follow)
    count = max(len(one["similar"]) for one in models.values())
    cells.describe("similarity", cells=[[str(number), ""] for number in range(count)])
    return cells.dataset(
        {
            "baseline": baseline, "level": level, "time_units": "days", "headline": [],
            "components": {SPECTRUM: dict(words), "total_kinetic_energy": ONE,
                           "truth_correlation": ONE},
            "trajectories": trajectories,
            "truth_known": {name: [True] * one["shape"][1] for name, one in models.items()},
            "remarks": {name: one["remark"] for name, one in models.items() if one["remark"]},
        }
    )  # fmt: skip


def _put_following(cells, name, one):
    place = {"model": name, "quantity": "truth_correlation", "component": ""}
    cells.put("decorrelation_time_mean", span(one["time"]), ("end",), **place)
    times = np.full(one["shape"], span(one["time"])[0])
    cells.put("decorrelation_time", times, ("network", "member"), **place)
    cells.put("lasting", np.zeros(one["shape"]), ("network", "member"), **place)
    if one["gain"] is not None:
        cells.put("decorrelation_time_gain", span(one["gain"]), ("end",), **place)
    place = {"model": name, "quantity": "total_kinetic_energy", "component": ""}
    cells.put("series_error_mean", span(one["kept"]), ("end",), **place)
    cells.put("series_error", np.full(one["shape"], NAN), ("network", "member"), **place)


__all__ = ["ONE", "SPECTRUM", "TWO", "Interval", "made_table", "model"]
