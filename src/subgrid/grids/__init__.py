"""Domains, wavenumbers, spectra, filters and the resampling between grids."""

from subgrid.grids.basin import MaskedBasin
from subgrid.grids.domain import AbstractDomain
from subgrid.grids.filters import (
    CUTOFF,
    exponential_filter,
    gaussian_filter,
    scaled_wavenumber,
    two_thirds_mask,
)
from subgrid.grids.line import PeriodicLine
from subgrid.grids.periodic import PeriodicGrid, derivative_wavenumbers, own_conjugates
from subgrid.grids.points import Points
from subgrid.grids.resampling import downscale, interpolate, low_pass, truncate_spectrum, upscale
from subgrid.grids.spectra import isotropic_spectrum, ring_edges
from subgrid.grids.staggered import (
    staggered_divergence,
    staggered_laplacian,
    staggered_vorticity,
)
from subgrid.grids.transforms import forward_of_each, inverse_of_each

__all__ = [
    "CUTOFF",
    "AbstractDomain",
    "MaskedBasin",
    "PeriodicGrid",
    "PeriodicLine",
    "Points",
    "derivative_wavenumbers",
    "downscale",
    "exponential_filter",
    "forward_of_each",
    "gaussian_filter",
    "interpolate",
    "inverse_of_each",
    "isotropic_spectrum",
    "low_pass",
    "own_conjugates",
    "ring_edges",
    "scaled_wavenumber",
    "staggered_divergence",
    "staggered_laplacian",
    "staggered_vorticity",
    "truncate_spectrum",
    "two_thirds_mask",
    "upscale",
]
