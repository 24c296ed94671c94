"""Spectral multipliers on the half plane [ny, nx//2+1], NumPy float64."""

from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from subgrid.grids.periodic import PeriodicGrid

FILTER_FACTOR = 23.6
CUTOFF = 0.65 * np.pi  # where the small-scale filter begins: π is the Nyquist wavenumber
FILTER_BEGINS = CUTOFF / np.pi  # the same as a share of it


def scaled_wavenumber(grid: PeriodicGrid) -> NDArray[np.float64]:
    """Return w = √((k Δx)² + (l Δy)²), dimensionless: π is the Nyquist wavenumber of an axis."""
    return np.hypot(grid.k[None, :] * grid.dx, grid.l[:, None] * grid.dy)


def exponential_filter(grid: PeriodicGrid, sharpness: Any = 1.0, xp: ModuleType = np) -> Any:
    """Return pyqg's small-scale filter: 1 up to w = 0.65 π, exp(-23.6 α (w - 0.65 π)⁴) beyond.

    α = `sharpness`: larger means stronger damping just above the cut; an array of JAX, traced or
    not, with its module as `xp`. (The prose of Otness, Zanna &
    Bruna 2025 says the opposite; its formula and this function agree.)
    Source: pyqg `_initialize_filter`; LaCasce 1996, JAS 53.
    """
    w = scaled_wavenumber(grid)
    return xp.exp(-FILTER_FACTOR * sharpness * np.maximum(w - CUTOFF, 0.0) ** 4)


def two_thirds_mask(grid: PeriodicGrid) -> NDArray[np.float64]:
    """Return 1 where |k| and |l| are below 2/3 of their Nyquist values, else 0 (Orszag 1971)."""
    keep_x = np.abs(grid.k) * grid.dx < 2 * np.pi / 3
    keep_y = np.abs(grid.l) * grid.dy < 2 * np.pi / 3
    return np.outer(keep_y, keep_x).astype(np.float64)


def gaussian_filter(grid: PeriodicGrid, cells: float) -> NDArray[np.float64]:
    """Return exp(-w² cells²/24), the Gaussian with the second moment of a box of so many cells."""
    return np.exp(-((scaled_wavenumber(grid) * cells) ** 2) / 24)
