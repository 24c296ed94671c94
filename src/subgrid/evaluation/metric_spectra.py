"""Errors of time-averaged isotropic spectra."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from subgrid.evaluation.components import by_component, component_names, main_spectra, quantities_of
from subgrid.evaluation.intervals import Scores, member_mean
from subgrid.evaluation.metrics import AbstractDistance, AbstractMeanMetric, Names
from subgrid.grids import PeriodicGrid, exponential_filter

if TYPE_CHECKING:
    import xarray as xr


def spectral_rmse(
    spectrum: ArrayLike, reference: ArrayLike, wavenumber: ArrayLike, cut: float
) -> NDArray[np.float64]:
    """RMSE of spectra over the rings centred below `cut`: √⟨(E - E_ref)²⟩, in the units of E.

    `spectrum`, `reference` [..., bins] broadcast; `wavenumber` [bins] and `cut` in rad/m, see
    `filter_cut` and `two_thirds_cut`. Raises ValueError if no ring lies below the cut.
    """
    keep = np.asarray(wavenumber) < cut
    if not keep.any():
        raise ValueError(
            f"no ring lies below the cut {cut:.3g} rad/m; the first is centred at "
            f"{np.min(wavenumber):.3g} rad/m"
        )
    difference = np.asarray(spectrum, np.float64) - np.asarray(reference, np.float64)
    return np.asarray(np.sqrt(np.mean(difference[..., keep] ** 2, axis=-1)))


def filter_cut(grid: PeriodicGrid) -> float:
    """Return the first wavenumber on the x axis that the small-scale filter damps, rad/m.

    The cut of Ross et al. 2023; it does not depend on the sharpness of the filter.
    """
    return float(grid.k[np.argmax(exponential_filter(grid)[0] < 1)])


def two_thirds_cut(grid: PeriodicGrid) -> float:
    """Return two thirds of the Nyquist wavenumber, rad/m: the cut of Otness, Zanna & Bruna 2025."""
    return 2 / 3 * grid.nyquist


def cut_of(cut: float | None, data: "xr.Dataset") -> float:
    """Return a cut, by default two thirds of the last wavenumber of the data."""
    return 2 / 3 * float(data["wavenumber"].values[-1]) if cut is None else cut


class SpectralError(AbstractMeanMetric):
    """Root-mean-square error, below `cut`, of the spectrum averaged over time and members."""

    name, long_name = "spectral_error", "root-mean-square error of the mean spectrum below the cut"
    kinds, has_floor = ("spectrum",), True

    def __init__(self, cut: float | None = None):
        self.cut = cut

    @classmethod
    def of_system(cls, system: Any, cut: float | None) -> "SpectralError":
        """Return the metric with a cut."""
        return cls(cut)

    def quantities(self, truth: "xr.Dataset", domain: Any) -> list[str]:
        """Return the spectra given by component, or all: terms of a budget are compared as such."""
        return main_spectra(truth)

    def distance(self, ours: NDArray, theirs: NDArray, truth: "xr.Dataset") -> Scores:
        """Return the error of spectra [..., bins]."""
        return spectral_rmse(ours, theirs, truth["wavenumber"].values, cut_of(self.cut, truth))


class SpectralDistance(AbstractDistance):
    """The same error of every spectrum, terms of the budget included, of all runs together."""

    name, long_name = "spectral_distance", "root-mean-square error of mean spectra below the cut"

    def __init__(self, cut: float | None = None):
        self.cut = cut

    @classmethod
    def of_system(cls, system: Any, cut: float | None) -> "SpectralDistance":
        """Return the metric with a cut."""
        return cls(cut)

    def of_all(self, run: "xr.Dataset", truth: "xr.Dataset", domain: Any) -> dict[Names, float]:
        """Return the error of each spectrum that both have."""
        found: dict[Names, float] = {}
        common = [n for n in quantities_of(truth, domain, ["spectrum"]) if n in run]
        main = [name for name in main_spectra(truth) if name in common]
        for name in dict.fromkeys([*main, *common]):
            ours, theirs = (member_mean(by_component(data[name], domain)) for data in (run, truth))
            cut = cut_of(self.cut, run)
            errors = spectral_rmse(ours, theirs, run["wavenumber"].values, cut)
            names = component_names(run[name], domain)
            found |= {(name, c): float(e) for c, e in zip(names, errors, strict=True)}
        return found
