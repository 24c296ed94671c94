"""Errors in units of the truth, of values and of energy spectra (Perezhogin et al. 2023)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from subgrid.evaluation.components import by_component
from subgrid.evaluation.intervals import member_mean
from subgrid.evaluation.metric_spectra import cut_of, spectral_rmse
from subgrid.evaluation.metric_values import Pool, Pooled
from subgrid.evaluation.metrics import AbstractDistance, Names

if TYPE_CHECKING:
    import xarray as xr


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
        self.pooled, self.spectra, self.cut = Pooled(values), spectra, cut

    @classmethod
    def of_system(cls, system: Any, cut: float | None) -> "RelativeErrors | None":
        """Return the metric of a system that names its energy spectra; None of another."""
        spectra = getattr(system, "energy_spectra", ())
        return cls(system.eddy_values, spectra, cut) if spectra else None

    def of_all(self, run: "xr.Dataset", truth: "xr.Dataset", domain: Any) -> dict[Names, float]:
        """Return both errors; none of a run without these spectra."""
        if not self.spectra or any(name not in run for names in self.spectra for name in names):
            return {}
        sizes = self.pooled.sizes(truth)
        values = [
            distance / size
            for name, distances in self.pooled.distances(run, truth).items()
            for distance, size in zip(distances, sizes[name], strict=True)
            if size != 0
        ]
        spectra, cut = [], cut_of(self.cut, run)
        wavenumber = run["wavenumber"].values
        for ours, theirs in zip(*(self._sums(data) for data in (run, truth)), strict=True):
            error = spectral_rmse(ours, theirs, wavenumber, cut)
            spectra.append(error / spectral_rmse(0 * theirs, theirs, wavenumber, cut))
        return {
            ("values", ""): float(np.mean(values)) if values else float("nan"),
            ("spectra", ""): float(np.mean(spectra)),
        }

    def _sums(self, data: "xr.Dataset") -> list[NDArray[np.float64]]:
        """Return the summed spectra, means over members, component by component."""
        totals = (sum((data[n] for n in names[1:]), data[names[0]]) for names in self.spectra)
        return [part for total in totals for part in member_mean(by_component(total))]
