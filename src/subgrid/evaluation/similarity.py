"""Distances of runs from the truth: Wasserstein-1 of fields, RMSE of spectra; similarity scores.

The definitions are those of Ross et al. 2023 (J. Adv. Model. Earth Syst. 15, e2022MS003258): ten
distances between distributions (five quantities, two layers) and eight between isotropic spectra
(kinetic energy and enstrophy per layer, KE flux, APE flux, APE generation, drag), all turned into

    similarity = 1 - d(model, truth) / d(no closure, truth):   1 perfect, 0 as without, below 0
    worse.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from subgrid.evaluation.layers import keyed, layers_of, spectra_of
from subgrid.grids import PeriodicGrid, exponential_filter

if TYPE_CHECKING:
    import xarray as xr


def wasserstein(first: ArrayLike, second: ArrayLike) -> float:
    """Wasserstein-1 distance ∫|F⁻¹ - G⁻¹| of two samples of values, in their units.

    F and G are the empirical distribution functions. Values that are not finite are left out; NaN
    if nothing is left.
    """
    a, b = (np.sort(np.ravel(values)[np.isfinite(np.ravel(values))]) for values in (first, second))
    if not a.size or not b.size:
        return float("nan")
    if a.size == b.size:
        return float(np.mean(np.abs(np.subtract(a, b, dtype=np.float64))))
    values = np.sort(np.concatenate([a, b]).astype(np.float64))
    gap = np.searchsorted(a, values[:-1], "right") / a.size
    gap = gap - np.searchsorted(b, values[:-1], "right") / b.size
    return float(np.sum(np.abs(gap) * np.diff(values)))


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


def pooled_quantities(system: Any, snapshots: ArrayLike, **options: Any) -> dict[str, NDArray]:
    """Return the values whose distributions are compared, each [level, value].

    `snapshots` [..., level, y, x]: the last snapshots of all members, see `run_dataset`; which
    values and `options` there are says the method `values` of the system. Snapshots of members that
    blew up are NaN; without members there are no values.
    """
    fields = np.asarray(snapshots)
    fields = fields.reshape(-1, *fields.shape[-3:])
    if not len(fields):
        known = system.values(np.zeros((1, *fields.shape[1:]), fields.dtype), **options)
        return {name: np.zeros((fields.shape[1], 0)) for name in known}
    return system.values(fields, **options)


def distances(run: "xr.Dataset", truth: "xr.Dataset", system: Any, cut: float) -> dict[str, float]:
    """Return the distances between a run and the truth, by name: 18 of two-layer QG.

    `run`, `truth`: datasets of `free_runs` or `reference_statistics` on the grid of `system`; `cut`
    [rad/m]: spectra are compared on rings below it. Spectra are averaged over members first. NaN
    where one of the two has no members.
    """
    found = {}
    pooled = [pooled_quantities(system, data["snapshots"].values) for data in (run, truth)]
    layers = layers_of(run)
    for name in pooled[0]:
        for index, level in enumerate(layers):
            found[keyed(name, level)] = wasserstein(pooled[0][name][index], pooled[1][name][index])
    wavenumber = run["wavenumber"].values
    for name in (*spectra_of(system, by_layer=True), *spectra_of(system, by_layer=False)):
        if name not in run or name not in truth:
            continue
        error = spectral_rmse(member_mean(run[name]), member_mean(truth[name]), wavenumber, cut)
        if error.ndim:
            found |= {keyed(name, level): float(e) for level, e in zip(layers, error, strict=True)}
        else:
            found[name] = float(error)
    return found


def relative_errors(
    run: "xr.Dataset", truth: "xr.Dataset", system: Any, cut: float
) -> dict[str, float]:
    """Return two errors of a run in units of the truth, 0 being perfect; arguments as `distances`.

    values: mean over q, u, v, u² + v² and squared vorticity of both layers of the Wasserstein-1
    distance over the root-mean-square of the truth's values, where any is not zero. spectra: mean
    over the KE spectra of both layers, the energy flux (kinetic plus potential) and the APE
    generation of the RMSE of the spectrum over the root-mean-square of the truth's, on rings below
    the cut. Velocities are those of the eddies. After Perezhogin et al. 2023 (J. Adv. Model. Earth
    Syst. 15), who take 128 snapshots, other rings and all wavenumbers. Empty for other systems
    than two-layer QG.
    """
    if "potential_energy_generation" not in run:
        return {}
    pooled = [
        pooled_quantities(system, data["snapshots"].values, background=False)
        for data in (run, truth)
    ]
    values = [
        wasserstein(ours, theirs) / np.sqrt(np.mean(np.square(theirs, dtype=np.float64)))
        for name in pooled[0]
        for ours, theirs in zip(pooled[0][name], pooled[1][name], strict=True)
        if np.any(theirs)
    ]
    spectra = []
    for ours, theirs in zip(_energy_spectra(run), _energy_spectra(truth), strict=True):
        error = spectral_rmse(ours, theirs, run["wavenumber"].values, cut)
        spectra.append(error / spectral_rmse(0 * theirs, theirs, run["wavenumber"].values, cut))
    return {
        "values": float(np.mean(values)) if values else float("nan"),
        "spectra": float(np.mean(spectra)),
    }


def _energy_spectra(data: "xr.Dataset") -> list[NDArray[np.float64]]:
    """Return the KE spectra of the layers, the energy flux and the APE generation, member means."""
    flux = data["kinetic_energy_flux"] + data["potential_energy_flux"]
    sums = [flux, data["potential_energy_generation"]]
    return [*member_mean(data["kinetic_energy_spectrum"]), *(member_mean(one) for one in sums)]


def similarity(model: dict[str, float], baseline: dict[str, float]) -> dict[str, float]:
    """Similarity scores 1 - d(model, truth)/d(no closure, truth) from two tables of `distances`.

    1 is perfect, 0 as good as no closure, negative worse (Ross et al. 2023). NaN where the baseline
    has no distance to the truth.
    """
    return {
        name: 1 - value / baseline[name] if baseline.get(name, 0) > 0 else float("nan")
        for name, value in model.items()
    }


def member_mean(values: Any) -> NDArray[np.float64]:
    """Return the mean over members of values [member, ...], members without a value left out."""
    array = np.asarray(values, np.float64)
    alive = np.isfinite(array).all(axis=tuple(range(1, array.ndim)))
    return array[alive].mean(axis=0) if alive.any() else np.full(array.shape[1:], np.nan)
