"""The first table of a report: what every model costs and what it leaves of the error."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from subgrid.evaluation import table as scores
from subgrid.evaluation.captions import caption
from subgrid.evaluation.components import correlated_field, in_words, of_component, with_article
from subgrid.evaluation.findings import Findings, blown_up
from subgrid.evaluation.formats import (
    FLOOR,
    fixed,
    fixed_all,
    interval_text,
    mean_work_error,
    number,
)
from subgrid.evaluation.intervals import percent
from subgrid.evaluation.offline import channel_names
from subgrid.evaluation.report import Table
from subgrid.evaluation.style import Styles

_OFFLINE = {"r_squared": "R²", "r_squared_below_filter": "R² below the filter"}


def overview_table(found: Findings, styles: Styles) -> Table:
    """Return a row per model, cheapest first, and the sampling floor.

    Relative to no closure: cost of a step and error of each component; how long runs follow the
    truth, if they are followed, else the median similarity; then the offline skill where there is
    one, and the members that blew up. Models that were not timed come last, in their order.
    """
    table = found.table
    some = next(iter(found.offline.values()))[0] if found.offline else None
    known = {} if some is None else {key: h for key, h in _OFFLINE.items() if key in some}
    filtered, followed = len(known) == len(_OFFLINE), scores.followed(table)
    metric, quantity = scores.main_error(table)
    words = scores.words(table, quantity)
    what = "the spectrum" if metric == "spectral_error" else with_article(quantity)
    head = f"error of {what}"
    errors = [of_component(head if followed else "error", part) for part in words]

    def row(name: str) -> dict[str, str]:
        sets = found.offline.get(name, ())
        left = [scores.remaining(table, metric, name, quantity, part) for part in words]
        cells = {"model": styles[name].label, "cost": number(scores.cost(table, name))}
        cells |= _following(table, name) if followed else {}
        cells |= dict(zip(errors, map(interval_text, left), strict=True))
        cells |= {} if followed else {"median similarity": _similarity(table, name)}
        cells |= {heading: _mean_pair(sets, key) for key, heading in known.items()}
        cells |= {"error of energy added": mean_work_error(sets)} if filtered else {}
        return cells | {"blown up": blown_up(table, name)}

    floors = [fixed(scores.relative_floor(table, metric, quantity, part)) for part in words]
    floor = {"model": FLOOR, **dict(zip(errors, floors, strict=True))}
    channels = "" if some is None else " / ".join(channel_names(some))
    names = sorted(
        scores.models(table), key=lambda name: np.nan_to_num(scores.cost(table, name), nan=np.inf)
    )
    rows = [row(name) for name in names]
    return Table(
        "Overview",
        _note(found, metric, quantity, filtered, channels),
        tuple(rows[0]),
        (
            *(tuple(cells.values()) for cells in rows),
            tuple(floor.get(column, "-") for column in rows[0]),
        ),
    )


def _note(found: Findings, metric: str, quantity: str, filtered: bool, channels: str) -> str:
    """Return what the columns mean that there are."""
    below = " below the cut" if metric == "spectral_error" else ""
    skill = "overview_filtered" if filtered else "overview_offline" if channels else ""
    some = next(iter(found.runs.values()))[0]
    followed = scores.followed(found.table)
    field = correlated_field(some) if followed and followed in some else in_words(followed)
    return caption(
        "overview",
        "overview_followed" if followed else "overview_similarity",
        skill,
        quantity=with_article(quantity),
        below=below,
        level=percent(found.table.attrs["level"]),
        field=field,
        channels=channels,
    )


def _following(table: xr.Dataset, model: str) -> dict[str, str]:
    """Return decorrelation time and energy error."""
    place = {"model": model, "quantity": scores.followed(table), "component": ""}
    time = scores.interval(table, "decorrelation_time_mean", **place)
    error = interval_text(scores.kept_error(table, model), "{:.3f}")
    return {"decorrelation time": interval_text(time), "energy error": error}


def _similarity(table: xr.Dataset, model: str) -> str:
    """Return the median of the similarities that are known; a dash for the baseline."""
    known = [v for v in scores.similarities(table, model).values() if np.isfinite(v)]
    compared = known and model != table.attrs["baseline"]
    return fixed(np.median(known)) if compared else "-"


def _mean_pair(sets: Sequence[xr.Dataset], key: str) -> str:
    """Return the mean over networks of a score of each component; a dash without networks."""
    return fixed_all(np.mean([data[key].values for data in sets], axis=0)) if sets else "-"
