"""Domains, wavenumbers, spectra, filters and the resampling between grids."""

from subgrid.grids.basin import MaskedBasin as MaskedBasin
from subgrid.grids.domain import AbstractDomain as AbstractDomain
from subgrid.grids.filters import FILTER_BEGINS as FILTER_BEGINS
from subgrid.grids.filters import exponential_filter as exponential_filter
from subgrid.grids.filters import gaussian_filter as gaussian_filter
from subgrid.grids.filters import scaled_wavenumber as scaled_wavenumber
from subgrid.grids.filters import two_thirds_mask as two_thirds_mask
from subgrid.grids.line import PeriodicLine as PeriodicLine
from subgrid.grids.periodic import PeriodicGrid as PeriodicGrid
from subgrid.grids.periodic import derivative_wavenumbers as derivative_wavenumbers
from subgrid.grids.periodic import own_conjugates as own_conjugates
from subgrid.grids.points import Points as Points
from subgrid.grids.resampling import downscale as downscale
from subgrid.grids.resampling import interpolate as interpolate
from subgrid.grids.resampling import low_pass as low_pass
from subgrid.grids.resampling import truncate_spectrum as truncate_spectrum
from subgrid.grids.resampling import upscale as upscale
from subgrid.grids.spectra import isotropic_spectrum as isotropic_spectrum
from subgrid.grids.spectra import ring_edges as ring_edges
from subgrid.grids.staggered import staggered_divergence as staggered_divergence
from subgrid.grids.staggered import staggered_laplacian as staggered_laplacian
from subgrid.grids.staggered import staggered_vorticity as staggered_vorticity
from subgrid.grids.transforms import forward_of_each as forward_of_each
from subgrid.grids.transforms import inverse_of_each as inverse_of_each
