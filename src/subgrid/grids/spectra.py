"""Isotropic spectra: sums or means over rings of wavenumber, in two definitions in use."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from subgrid.grids.periodic import PeriodicGrid

DEFINITIONS = ("pyqg", "pyqg-0.4")

# In ring widths. On a square domain every mode with |k| = |l| lies exactly on an edge, where
# rounding would put it into either ring, both or none; within this distance it is on the edge.
EDGE_TOLERANCE = 1e-9


def ring_edges(grid: PeriodicGrid, definition: str = "pyqg", truncate: bool = True) -> NDArray:
    """Return the lower edges [bins] of the rings, rad/m; each is √(dk² + dl²) wide.

    "pyqg" (version 0.7 and newer) starts at 0, "pyqg-0.4" at dk, with one ring less at the end.
    `truncate` stops at the Nyquist wavenumber instead of the corner of the spectral plane.
    """
    dk, dl = 2 * math.pi / grid.length_x, 2 * math.pi / grid.length_y
    width = math.hypot(dk, dl)
    nyquist_x, nyquist_y = grid.k[-1], np.abs(grid.l).max()
    largest = min(nyquist_x, nyquist_y) if truncate else math.hypot(nyquist_x, nyquist_y)
    if definition == "pyqg":
        first, end = 0.0, largest
    elif definition == "pyqg-0.4":
        first, end = dk, largest - width
    else:
        raise ValueError(f"definition must be one of {', '.join(DEFINITIONS)}, got {definition!r}")
    count = max(math.ceil((end - first) / width - EDGE_TOLERANCE), 1)
    return first + width * np.arange(count)


def isotropic_spectrum(
    power: ArrayLike,
    grid: PeriodicGrid,
    definition: str = "pyqg",
    truncate: bool = True,
    average: bool = True,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return ring centres [bins] (rad/m) and isotropic spectrum [..., bins] of a spectral density.

    E(κ) = 2 · mean over the ring of P · π κ/(dk dl)   if `average`,   else   2 · sum over it / dκ

    P = `power` [..., ny, nx//2+1]: |hat|²/M², hat the unnormalised rfft2, M the number of cells;
    its columns k = 0 and k = Nyquist are halved because they stand once, all others twice in the
    full plane. dκ = √(dk² + dl²). Without `average` and `truncate`, Σ E dκ is the mean square of
    the field. Units: those of P times metres. Source: pyqg `diagnostic_tools.calc_ispec` (0.7.2;
    and 0.4, the variant behind Otness, Zanna & Bruna 2025 and Perezhogin et al. 2023). Those leave
    modes that lie exactly on an edge to rounding; here they belong to the ring above it.
    """
    edges = ring_edges(grid, definition, truncate)
    dk, dl = 2 * math.pi / grid.length_x, 2 * math.pi / grid.length_y
    width = math.hypot(dk, dl)
    centres = edges + width / 2
    density = np.array(power, dtype=np.float64)
    if density.shape[-2:] != grid.spectral_shape:
        raise ValueError(
            f"power must end in {grid.spectral_shape} (ny, nx//2+1), got shape {density.shape}"
        )
    density[..., 0] /= 2
    density[..., -1] /= 2
    members = _ring_members(grid, edges, width, definition, average)
    flat = density.reshape(*density.shape[:-2], -1)
    spectrum = 2 * (flat @ members.T)
    if not average:
        return centres, spectrum / width
    counts = np.maximum(members.sum(axis=1), 1)
    return centres, spectrum / counts * centres * math.pi / (dk * dl)


def _ring_members(
    grid: PeriodicGrid, edges: NDArray, width: float, definition: str, average: bool
) -> NDArray[np.float64]:
    """Return 1 where a wavenumber belongs to a ring [bins, ny·(nx//2+1)].

    The old definition closes every ring at both ends when averaging; the new one only the last.
    """
    kappa = np.sqrt(grid.wavenumber_squared).ravel()[None, :]
    distance = (kappa - edges[:, None]) / width
    inside = (distance >= -EDGE_TOLERANCE) & (distance < 1 - EDGE_TOLERANCE)
    on_upper_edge = np.abs(distance - 1) <= EDGE_TOLERANCE
    if definition == "pyqg-0.4" and average:
        inside |= on_upper_edge
    if definition == "pyqg":
        inside[-1] |= on_upper_edge[-1]
    return inside.astype(np.float64)
