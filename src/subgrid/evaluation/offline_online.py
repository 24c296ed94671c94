"""Does an offline score foretell the free runs? Rank correlations over closures and networks."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from subgrid.evaluation.forcing_statistics import work_error
from subgrid.evaluation.observables import LEVEL_NAMES
from subgrid.evaluation.report import ReportTable
from subgrid.evaluation.scores import KE_SPECTRUM
from subgrid.evaluation.similarity import member_mean, spectral_rmse
from subgrid.evaluation.survival import scored_runs
from subgrid.evaluation.tables import fixed

if TYPE_CHECKING:
    import xarray as xr

_FEWEST = 5  # fewer have no ranks to speak of

# what is wrong offline, of the layer `index`, the smaller the better
_ERRORS: dict[str, Callable[[Any, int], float]] = {
    "1 - R²": lambda data, index: 1 - data["r_squared"].values[index],
    "1 - R² below the filter": lambda data, index: 1 - data["r_squared_below_filter"].values[index],
    "relative ℓ2": lambda data, index: data["pooled_relative_l2"].item(),
    "relative spectral ℓ2": lambda data, index: data["pooled_relative_spectral_l2"].item(),
    "energy added": lambda data, index: work_error(data["work_spectrum"].values),
}


def foresight_table(
    offline: Mapping[str, Sequence["xr.Dataset"]],
    runs: Mapping[str, Sequence["xr.Dataset"]],
    reference: "xr.Dataset",
    *,
    baseline: str,
    cut: float,
) -> ReportTable:
    """Return how well each offline error ranks the errors of free runs, layer by layer.

    Spearman's correlation over all networks and closures of which every member is scored, between
    an error offline and the error of the KE spectrum below `cut` (rad/m). Without rows for fewer
    than five of them, or for runs of older versions that lack the energy added.
    """
    pairs = [
        (data, run)
        for name, sets in offline.items()
        for data, run in zip(sets, runs[name], strict=True)
        if "work_spectrum" in data and scored_runs([run], runs[baseline][0], reference).all()
    ]
    rows = []
    for label, error in _ERRORS.items() if len(pairs) >= _FEWEST else ():
        cells = [
            fixed(
                rank_correlation(
                    [error(data, index) for data, _ in pairs],
                    [_online_error(run, reference, index, cut) for _, run in pairs],
                )
            )
            for index in range(len(LEVEL_NAMES))
        ]
        rows.append((label, *cells))
    return ReportTable(
        "Which offline error foretells the free runs?",
        f"Rank correlation (Spearman) over {len(pairs)} networks and closures between an error on "
        "held-out states and the error of the kinetic energy spectrum in free runs: 1 ranks them "
        "alike, 0 says nothing, below 0 misleads. By chance alone it exceeds "
        f"{1.96 / np.sqrt(max(len(pairs) - 1, 1)):.2f} in size once in twenty times.",
        ("offline", *LEVEL_NAMES),
        tuple(rows),
    )


def rank_correlation(one: Sequence[float], other: Sequence[float]) -> float:
    """Return Spearman's rank correlation; NaN where values are not finite, or all of one equal."""
    if not np.isfinite([*one, *other]).all():
        return float("nan")
    ours, theirs = (ranks - ranks.mean() for ranks in (_ranks(one), _ranks(other)))
    scale = np.sqrt((ours @ ours) * (theirs @ theirs))
    return float(ours @ theirs / scale) if scale else float("nan")


def _ranks(values: Sequence[float]) -> NDArray[np.float64]:
    """Return the rank of each value; equal ones share the mean of theirs."""
    array = np.asarray(values, np.float64)
    below, equal = (compare(array[:, None], array).sum(axis=0) for compare in (np.less, np.equal))
    return below + (equal - 1) / 2


def _online_error(run: "xr.Dataset", reference: "xr.Dataset", index: int, cut: float) -> float:
    """Return the error of the spectrum of a network's runs, averaged over members."""
    ours, truth = (member_mean(data[KE_SPECTRUM].values[:, index]) for data in (run, reference))
    return float(spectral_rmse(ours, truth, reference["wavenumber"].values, cut))
