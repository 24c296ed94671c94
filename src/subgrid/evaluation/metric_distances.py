"""Errors of mean spectra below a cut, and distances between distributions of values.

Of all runs of a network together: Wasserstein-1 distances and errors of every spectrum, which
similarities are made of (Ross et al. 2023), and both in units of the truth (Perezhogin et al.
2023). The error of the main spectra has an interval too.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from subgrid.evaluation.components import by_component, component_words, main_spectra, quantities_of
from subgrid.evaluation.intervals import Scores, member_mean
from subgrid.evaluation.metrics import AbstractDistance, AbstractMeanMetric, Names
from subgrid.grids import PeriodicGrid, exponential_filter

Pool = Callable[[NDArray], Mapping[str, NDArray]]  # stacked snapshots → name → [component, value]


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


def wasserstein(first: ArrayLike, second: ArrayLike) -> float:
    """Wasserstein-1 distance ∫|F⁻¹ - G⁻¹| of two samples of values, in their units.

    F and G are the empirical distribution functions. Values that are not finite are left out; NaN
    if nothing is left.
    """
    return _between(_in_order(first), _in_order(second))


class _BelowCut:
    """What metrics of spectra share: the `cut`, by default two thirds of the last wavenumber."""

    def __init__(self, cut: float | None = None):
        self.cut = cut

    @classmethod
    def of_system(cls, system: Any, cut: float | None) -> Any:
        """Return the metric with a cut."""
        return cls(cut)

    def error(self, ours: ArrayLike, theirs: ArrayLike, data: xr.Dataset) -> NDArray[np.float64]:
        """Return the error of spectra [..., bins] at the wavenumbers of `data`."""
        wavenumber = data["wavenumber"].values
        cut = 2 / 3 * float(wavenumber[-1]) if self.cut is None else self.cut
        return spectral_rmse(ours, theirs, wavenumber, cut)


class SpectralError(_BelowCut, AbstractMeanMetric):
    """Root-mean-square error, below `cut`, of the spectrum averaged over time and members."""

    name, long_name = "spectral_error", "root-mean-square error of the mean spectrum below the cut"
    kinds, has_floor = ("spectrum",), True

    def quantities(self, truth: xr.Dataset, domain: Any) -> list[str]:
        """Return the main spectra: terms of a budget are compared as such."""
        return main_spectra(truth)

    def distance(self, ours: NDArray, theirs: NDArray, truth: xr.Dataset) -> Scores:
        """Return the error of spectra [..., bins]."""
        return self.error(ours, theirs, truth)


class SpectralDistance(_BelowCut, AbstractDistance):
    """The same error of every spectrum, terms of the budget included, of all runs together."""

    name, long_name = "spectral_distance", "root-mean-square error of mean spectra below the cut"

    def of_all(self, run: xr.Dataset, truth: xr.Dataset, domain: Any) -> dict[Names, float]:
        """Return the error of each spectrum that both have, the main ones first."""
        found: dict[Names, float] = {}
        spectra = quantities_of(truth, domain, ["spectrum"])
        for name in dict.fromkeys([*main_spectra(truth), *spectra]):
            if name in run:
                ours, theirs = (member_mean(by_component(d[name], domain)) for d in (run, truth))
                errors = self.error(ours, theirs, run)
                names = component_words(run[name], domain)
                found |= {(name, c): float(e) for c, e in zip(names, errors, strict=True)}
        return found


class Wasserstein(AbstractDistance):
    """Wasserstein-1 distance of the values of a run from those of the truth.

    `values`: what a system makes of its snapshots, see `pooled`; None: the values of every series
    and field of the run, over members and times.
    """

    name, long_name = "wasserstein", "Wasserstein-1 distance of the values"

    def __init__(self, values: Pool | None = None):
        self.values = values
        self._kept: tuple[Any, dict[Names, tuple[NDArray, float]]] = (None, {})

    @classmethod
    def of_system(cls, system: Any, cut: float | None) -> "Wasserstein":
        """Return the metric of the values that a system is compared by."""
        return cls(None if system is None else system.values)

    def of_all(self, run: xr.Dataset, truth: xr.Dataset, domain: Any) -> dict[Names, float]:
        """Return the distance of the distribution of each quantity that both have."""
        theirs = self.of_truth(truth, domain)
        return {
            place: _between(_in_order(ours), theirs[place][0])
            for place, ours in self._values(run, domain).items()
            if place in theirs
        }

    def of_truth(self, truth: xr.Dataset, domain: Any) -> dict[Names, tuple[NDArray, float]]:
        """Return the truth's values in order with their root-mean-square.

        They are kept, as all runs have the same.
        """
        if self._kept[0] is not truth:
            found = {}
            for place, values in self._values(truth, domain).items():
                square = np.mean(np.square(values, dtype=np.float64)) if np.any(values) else 0.0
                found[place] = _in_order(values), float(np.sqrt(square))
            self._kept = truth, found
        return self._kept[1]

    def _values(self, data: xr.Dataset, domain: Any) -> dict[Names, NDArray]:
        if self.values is not None and "snapshots" in data:
            parts = pooled(self.values, data["snapshots"].values)
            described = dict.fromkeys(parts, data["snapshots"])
        else:
            described = {n: data[n] for n in quantities_of(data, domain, ["series", "field"])}
            parts = {n: by_component(v, domain).swapaxes(0, 1) for n, v in described.items()}
        return {
            (name, component): part
            for name, values in parts.items()
            for component, part in zip(
                component_words(described[name], domain), values, strict=True
            )
        }


def pooled(values: Pool, snapshots: ArrayLike) -> Mapping[str, NDArray]:
    """Return the values whose distributions are compared, each [component, value].

    `snapshots` [..., component, *dims]: the last snapshots of all members; `values`: the method of
    the system that says which. Snapshots of members that blew up are NaN; without members there
    are no values.
    """
    fields = np.asarray(snapshots)
    fields = fields.reshape(-1, *fields.shape[2:])
    if len(fields):
        return values(fields)
    known = values(np.zeros((1, *fields.shape[1:]), fields.dtype))
    return {name: np.zeros((len(value), 0)) for name, value in known.items()}


class RelativeErrors(AbstractDistance):
    """Two errors of a run in units of the truth, 0 being perfect.

    values: mean over quantities and components of the Wasserstein-1 distance over the
    root-mean-square of the truth's values, where any is not zero. spectra: mean over `spectra` and
    their components of the RMSE of the spectrum over the root-mean-square of the truth's, on rings
    below the cut. After Perezhogin et al. 2023 (J. Adv. Model. Earth Syst. 15), who take 128
    snapshots, other rings and all wavenumbers. `spectra`: names of spectra that are summed, one
    tuple for each error: of two-layer QG the kinetic energy, the flux and the generation.
    """

    name, long_name = "relative_error", "error in units of the truth"
    compares = False

    def __init__(self, values: Pool, spectra: Sequence[Sequence[str]], cut: float | None = None):
        self.wasserstein, self.spectra, self.below = Wasserstein(values), spectra, _BelowCut(cut)

    @classmethod
    def of_system(cls, system: Any, cut: float | None) -> "RelativeErrors | None":
        """Return the metric of a system that names its energy spectra; None of another."""
        spectra = getattr(system, "energy_spectra", ())
        return cls(system.eddy_values, spectra, cut) if spectra else None

    def of_all(self, run: xr.Dataset, truth: xr.Dataset, domain: Any) -> dict[Names, float]:
        """Return both errors; none of a run without these spectra."""
        if not self.spectra or any(name not in run for names in self.spectra for name in names):
            return {}
        sizes = {
            place: size for place, (_, size) in self.wasserstein.of_truth(truth, domain).items()
        }
        values = [
            distance / sizes[place]
            for place, distance in self.wasserstein.of_all(run, truth, domain).items()
            if sizes[place] != 0
        ]
        spectra = []
        for names in self.spectra:
            sums = (sum((d[n] for n in names[1:]), d[names[0]]) for d in (run, truth))
            means = (member_mean(by_component(total)) for total in sums)
            for ours, reference in zip(*means, strict=True):
                error = self.below.error(ours, reference, run)
                spectra.append(error / self.below.error(0 * reference, reference, run))
        return {
            ("values", ""): float(np.mean(values)) if values else float("nan"),
            ("spectra", ""): float(np.mean(spectra)),
        }


def _in_order(values: ArrayLike) -> NDArray:
    """Return the finite values in order."""
    flat = np.ravel(values)
    return np.sort(flat[np.isfinite(flat)])


def _between(a: NDArray, b: NDArray) -> float:
    """Return the distance of two samples in order."""
    if not a.size or not b.size:
        return float("nan")
    if a.size == b.size:
        return float(np.mean(np.abs(np.subtract(a, b, dtype=np.float64))))
    values = np.sort(np.concatenate([a, b]).astype(np.float64))
    gap = np.searchsorted(a, values[:-1], "right") / a.size
    gap = gap - np.searchsorted(b, values[:-1], "right") / b.size
    return float(np.sum(np.abs(gap) * np.diff(values)))
