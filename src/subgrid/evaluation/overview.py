"""The first table of a report: what every model costs and what it leaves of the error."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from subgrid.evaluation.intervals import percent, ratio
from subgrid.evaluation.observables import LEVEL_NAMES
from subgrid.evaluation.report import ReportTable
from subgrid.evaluation.scores import KE_SPECTRUM, OnlineScore, common_floor
from subgrid.evaluation.style import BASELINE, Look
from subgrid.evaluation.tables import FLOOR, fixed, interval_text, mean_work_error, number, pair

if TYPE_CHECKING:
    import xarray as xr

_OFFLINE = ("r_squared", "r_squared_below_filter")


def overview_table(
    scores: Mapping[str, OnlineScore],
    offline: Mapping[str, Sequence["xr.Dataset"]],
    styles: Mapping[str, Look],
) -> ReportTable:
    """Return a row per model, cheapest first, and the sampling floor.

    Relative to no closure: cost of a step and error of the KE spectrum of each layer; then the
    median similarity, the offline skill where there is one, and the members that blew up. Models
    whose cost was not measured come last, in their order.
    """

    def cost(score: OnlineScore) -> float:
        return np.inf if score.cost is None else score.cost.ratio

    def row(score: OnlineScore) -> tuple[str, ...]:
        return (
            styles[score.name].label,
            number(cost(score)),
            *(interval_text(score.remaining(layer), 1.0, "{:.2f}") for layer in LEVEL_NAMES),
            fixed(score.median_similarity) if score.reductions else "-",
            *(_mean_pair(offline.get(score.name, ()), key) for key in _OFFLINE),
            mean_work_error(offline.get(score.name, ())),
            f"{len(score.blow_ups)} of {score.runs}",
        )

    alone = scores[BASELINE]
    keys = [f"{KE_SPECTRUM}_{layer}" for layer in LEVEL_NAMES]
    floors = (
        fixed(ratio(np.array(common_floor(scores, key)), np.array(alone.errors[key].estimate)))
        for key in keys
    )
    return ReportTable(
        "Overview",
        "Cost: time per step, relative to no closure. Error: of the kinetic energy spectrum below "
        f"the cut in free runs, relative to no closure, with {percent(alone.level)} intervals; "
        "models below the sampling floor, the error expected of the truth's own statistics with "
        "other weather, cannot be told from each other. Similarity: 1 is the truth, 0 no closure. "
        "On held-out states: R² of the forcing, upper / lower layer, of all scales and of those "
        "that the filter of the model leaves alone (low by construction for models that learn a "
        "part of the scales), and the relative error of the energy that the forcing adds, at the "
        "wavenumbers where the true one adds some (0 perfect, 1 as no closure).",
        (
            "model",
            "cost",
            *(f"error, {layer}" for layer in LEVEL_NAMES),
            "median similarity",
            "R²",
            "R² below the filter",
            "error of energy added",
            "blown up",
        ),
        (
            *(row(score) for score in sorted(scores.values(), key=cost)),
            (FLOOR, "-", *floors, *["-"] * 5),
        ),
    )


def _mean_pair(sets: Sequence["xr.Dataset"], key: str) -> str:
    """Return the mean over networks of a score of each layer; a dash without networks."""
    return pair(np.mean([data[key].values for data in sets], axis=0)) if sets else "-"
