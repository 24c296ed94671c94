"""The first table of a report: what every model costs and what it leaves of the error."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from subgrid.evaluation.intervals import percent, ratio
from subgrid.evaluation.layers import keyed, of_layer
from subgrid.evaluation.offline import channel_names
from subgrid.evaluation.predictability import Predictability
from subgrid.evaluation.report import ReportTable
from subgrid.evaluation.scores import KE_SPECTRUM, OnlineScore, common_floor
from subgrid.evaluation.style import BASELINE, Look
from subgrid.evaluation.tables import FLOOR, fixed, interval_text, mean_work_error, number, pair

if TYPE_CHECKING:
    import xarray as xr

_OFFLINE = ("r_squared", "r_squared_below_filter")
_DECORRELATION = "decorrelation time"
_FOLLOWED = (
    "Decorrelation time: until the correlation of the {} with that of the truth is below "
    "0.5. Energy error: mean over the run of |E - E_truth| over the mean of E_truth."
)
_FILTERED = (
    " On held-out states: R² of the forcing, {} layer, of all scales and of those "
    "that the filter of the model leaves alone (low by construction for models that learn a "
    "part of the scales), and the relative error of the energy that the forcing adds, at the "
    "wavenumbers where the true one adds some (0 perfect, 1 as no closure)."
)


def overview_table(
    scores: Mapping[str, OnlineScore],
    offline: Mapping[str, Sequence["xr.Dataset"]],
    styles: Mapping[str, Look],
    followed: Mapping[str, Predictability],
) -> ReportTable:
    """Return a row per model, cheapest first, and the sampling floor.

    Relative to no closure: cost of a step and error of the KE spectrum of each layer; how long runs
    follow the truth, if they are `followed`, else the median similarity; then the offline skill
    where there is one, and the members that blew up. Models whose cost was not measured come last,
    in their order.
    """
    some = next(iter(offline.values()))[0] if offline else None
    known = [] if some is None else [key for key in _OFFLINE if key in some]
    channels = "" if some is None else " / ".join(channel_names(some))
    layers, filtered = scores[BASELINE].layers, len(known) == len(_OFFLINE)
    fields = [one.correlated for one in followed.values()]

    def row(score: OnlineScore) -> tuple[str, ...]:
        return (
            styles[score.name].label,
            number(_cost(score)),
            *_followed(followed.get(score.name)),
            *(interval_text(score.remaining(layer), 1.0, "{:.2f}") for layer in layers),
            *([] if followed else [_similarity(score)]),
            *(_mean_pair(offline.get(score.name, ()), key) for key in known),
            *([mean_work_error(offline.get(score.name, ()))] if filtered else []),
            f"{len(score.blow_ups)} of {score.runs}",
        )

    head = "error of the spectrum" if followed else "error"
    errors = [of_layer(head, layer) for layer in layers]
    columns = (
        "model",
        "cost",
        *([_DECORRELATION, "energy error"] if followed else []),
        *errors,
        *([] if followed else ["median similarity"]),
        *(["R²"] if known else []),
        *(["R² below the filter", "error of energy added"] if filtered else []),
        "blown up",
    )
    floors = [_floor(scores, layer) for layer in layers]
    floor = {"model": FLOOR, **dict(zip(errors, floors, strict=True))}
    return ReportTable(
        "Overview",
        _caption(scores[BASELINE].level, fields, filtered, channels),
        columns,
        (
            *(row(score) for score in sorted(scores.values(), key=_cost)),
            tuple(floor.get(column, "-") for column in columns),
        ),
    )


def _cost(score: OnlineScore) -> float:
    """Return the cost relative to no closure, infinite where it was not measured."""
    return np.inf if score.cost is None else score.cost.ratio


def _floor(scores: Mapping[str, OnlineScore], layer: str) -> str:
    """Return the sampling floor of a layer, relative to the error without a closure."""
    key = keyed(KE_SPECTRUM, layer)
    alone = scores[BASELINE].errors[key].estimate
    return fixed(ratio(np.array(common_floor(scores, key)), np.array(alone)))


def _caption(level: float, fields: Sequence[str], filtered: bool, channels: str) -> str:
    """Return what the columns mean that there are."""
    skill = f" On held-out states: R² of the forcing, {channels}." if channels else ""
    return (
        "Cost: time per step, relative to no closure. Error: of the kinetic energy spectrum below "
        f"the cut in free runs, relative to no closure, with {percent(level)} intervals; "
        "models below the sampling floor, the error expected of the truth's own statistics with "
        "other weather, cannot be told from each other. "
        + (_FOLLOWED.format(fields[0]) if fields else "Similarity: 1 is the truth, 0 no closure.")
        + (_FILTERED.format(channels) if filtered else skill)
    )


def _followed(one: Predictability | None) -> list[str]:
    """Return decorrelation time and energy error, if runs were followed."""
    if one is None:
        return []
    return [
        interval_text(one.decorrelation, 1.0, "{:.2f}"),
        interval_text(one.energy_error, 1.0, "{:.3f}"),
    ]


def _similarity(score: OnlineScore) -> str:
    return fixed(score.median_similarity) if score.reductions else "-"


def _mean_pair(sets: Sequence["xr.Dataset"], key: str) -> str:
    """Return the mean over networks of a score of each layer; a dash without networks."""
    return pair(np.mean([data[key].values for data in sets], axis=0)) if sets else "-"
