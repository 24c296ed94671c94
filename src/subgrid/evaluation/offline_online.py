"""Does an offline error foretell the free runs? Rank correlations over the models of a run."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from subgrid.evaluation.forcing_statistics import work_error
from subgrid.evaluation.report import ReportTable
from subgrid.evaluation.scores import OnlineScore
from subgrid.evaluation.tables import fixed

if TYPE_CHECKING:
    import xarray as xr

_FEWEST = 6  # models; fewer have no ranks to speak of
_DRAWS = 10000

# what is wrong offline, of the layer `index`, the smaller the better; the last three have no layer
_ERRORS: dict[str, Callable[[Any, int], float]] = {
    "1 - R²": lambda data, index: 1 - data["r_squared"].values[index],
    "1 - R² below the filter": lambda data, index: 1 - data["r_squared_below_filter"].values[index],
    "relative ℓ2": lambda data, index: data["pooled_relative_l2"].item(),
    "relative spectral ℓ2": lambda data, index: data["pooled_relative_spectral_l2"].item(),
    "error of the energy added": lambda data, index: work_error(data["work_spectrum"].values),
}


def foresight_table(
    offline: Mapping[str, Sequence["xr.Dataset"]], scores: Mapping[str, OnlineScore]
) -> ReportTable:
    """Return how well each offline error ranks the errors of free runs, layer by layer.

    Spearman's correlation over the models of both, of an offline error, mean over a model's
    networks, and the error of the KE spectrum; models with members that blew up come after all
    others, by how many did. Without rows for fewer than six models, or for runs of older versions,
    that lack the energy added.
    """
    names = [
        name
        for name, sets in offline.items()
        if name in scores and all("work_spectrum" in data for data in sets)
    ]
    layers = next((score.layers for score in scores.values()), ())
    title, columns = "Which offline error foretells the free runs?", ("offline", *layers)
    if len(names) < _FEWEST:
        return ReportTable(title, "", columns, ())
    rows = []
    for label, error in _ERRORS.items():
        cells = []
        for index, layer in enumerate(layers):
            means = [float(np.mean([error(d, index) for d in offline[name]])) for name in names]
            online = [scores[name].rank_key(layer) for name in names]
            cells.append(fixed(rank_correlation(means, online)))
        rows.append((label, *cells))
    return ReportTable(
        title,
        f"Rank correlation (Spearman) over {len(names)} models between an error on held-out states "
        "and the error of the kinetic energy spectrum in free runs: 1 ranks them alike, 0 says "
        f"nothing, below 0 misleads. By chance each number exceeds {chance_level(len(names)):.2f} "
        "in size once in twenty times. R² is low by construction for models that learn a part of "
        "the scales; the last three errors are of both layers together.",
        columns,
        tuple(rows),
    )


def rank_correlation(one: Sequence[Any], other: Sequence[Any]) -> float:
    """Return Spearman's rank correlation; NaN if a value is NaN or all are equal."""
    if any(value != value for value in (*one, *other)):
        return float("nan")
    ours, theirs = (ranks - ranks.mean() for ranks in (_ranks(one), _ranks(other)))
    scale = np.sqrt((ours @ ours) * (theirs @ theirs))
    return float(ours @ theirs / scale) if scale else float("nan")


def chance_level(count: int) -> float:
    """Return the size that the rank correlation of unrelated lists exceeds once in twenty times.

    Drawn at random, always the same; NaN for fewer than two values.
    """
    if count < 2:
        return float("nan")
    order = np.arange(count) - (count - 1) / 2
    generator = np.random.default_rng(0)
    drawn = [abs(order @ generator.permutation(order)) for _ in range(_DRAWS)]
    return float(np.quantile(drawn, 0.95) / (order @ order))


def _ranks(values: Sequence[Hashable]) -> NDArray[np.float64]:
    """Return the rank of each value; equal ones share the mean of theirs."""
    places: dict[Hashable, list[int]] = {}
    for place, value in enumerate(sorted(values)):  # type: ignore[type-var]
        places.setdefault(value, []).append(place)
    return np.array([np.mean(places[value]) for value in values], np.float64)
