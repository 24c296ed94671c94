"""Differences on a staggered grid: in space as in wavenumbers."""

import jax.numpy as jnp
import numpy as np
import pytest

from subgrid.grids import PeriodicGrid, staggered_divergence, staggered_laplacian
from subgrid.grids.staggered import rotated_gradient, rotated_gradient_symbols, staggered_vorticity

pytestmark = pytest.mark.usefixtures("float64")
GRID = PeriodicGrid(12, 8, 3.0, 5.0)  # cells that are not square


def psi_of(seed=0, levels=()):
    return jnp.asarray(np.random.default_rng(seed).normal(size=(*levels, *GRID.shape)))


def test_the_rotated_gradient_is_that_of_its_symbols():
    psi = psi_of()
    found = rotated_gradient(psi, GRID)
    for component, symbol in zip(found, rotated_gradient_symbols(GRID), strict=True):
        wanted = np.fft.irfft2(symbol * np.fft.rfft2(psi), s=GRID.shape)
        np.testing.assert_allclose(component, wanted, rtol=0, atol=1e-13)  # float64 transforms


def test_it_has_no_divergence_and_the_laplacian_as_curl():
    psi = psi_of(1, (3,))
    u, v = rotated_gradient(psi, GRID)
    size = float(jnp.abs(u).max() / GRID.dy)
    np.testing.assert_allclose(staggered_divergence(u, v, GRID), 0, atol=1e-14 * size)
    np.testing.assert_allclose(
        staggered_vorticity(u, v, GRID), staggered_laplacian(psi, GRID), rtol=0, atol=1e-13 * size
    )
    # differences ahead, at other places, would have one
    other = -(jnp.roll(psi, -1, -2) - psi) / GRID.dy
    assert float(jnp.abs(staggered_divergence(other, v, GRID)).max()) > 0.1 * size
