"""The first table of a report: what every model costs and what it leaves of the error."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from subgrid.evaluation.intervals import percent
from subgrid.evaluation.observables import LEVEL_NAMES
from subgrid.evaluation.report import ReportTable
from subgrid.evaluation.scores import KE_SPECTRUM, OnlineScore, common_floor
from subgrid.evaluation.style import BASELINE, Look
from subgrid.evaluation.tables import FLOOR, fixed, interval_text, mean_work_error, pair

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
        similar = score.similarity if score.reductions else {}
        return (
            styles[score.name].label,
            f"{cost(score):.2g}" if score.cost is not None else "-",
            *(interval_text(score.remaining(layer), 1.0, "{:.2f}") for layer in LEVEL_NAMES),
            fixed(np.median(list(similar.values()))) if similar else "-",
            *(_mean_pair(offline.get(score.name, ()), key) for key in _OFFLINE),
            mean_work_error(offline.get(score.name, ())),
            f"{len(score.blow_ups)} of {score.runs}",
        )

    alone = scores[BASELINE]
    keys = [f"{KE_SPECTRUM}_{layer}" for layer in LEVEL_NAMES]
    floors = (fixed(common_floor(scores, key) / alone.errors[key].estimate) for key in keys)
    return ReportTable(
        "Overview",
        "Relative to no closure: the time per step, and the error of the kinetic energy spectrum "
        f"below the cut in free runs, with {percent(alone.level)} intervals. What lies below the "
        "sampling floor, the error that other weather alone would make, cannot be told apart. "
        "Similarity: median over all quantities (1 the truth, 0 no closure). R² of the forcing on "
        "held-out states, upper / lower layer, of all scales and of those that the filter of the "
        "model leaves alone; error of the energy that the forcing adds where the truth adds some.",
        (
            "model",
            "cost",
            *(f"error, {layer}" for layer in LEVEL_NAMES),
            "median similarity",
            "R²",
            "R² below the filter",
            "energy added",
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
