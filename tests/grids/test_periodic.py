"""The periodic grid: wavenumbers with their signs, equality, derived grids, bad input."""

import numpy as np
import pytest

from subgrid.grids import PeriodicGrid, derivative_wavenumbers


def test_defaults_and_shapes():
    grid = PeriodicGrid(64)
    assert (grid.nx, grid.ny, grid.length_x, grid.length_y) == (64, 64, 1.0e6, 1.0e6)
    assert grid.shape == (64, 64)
    assert grid.spectral_shape == (64, 33)
    assert PeriodicGrid(64, 32).length_y == 5.0e5
    assert PeriodicGrid(64, 32, 1.0e6, 2.0e6).dy == 62500.0


def test_wavenumbers_differentiate():
    """i k and i l are derivatives of waves on the cell centres."""
    grid = PeriodicGrid(16, 12, 1.0e6, 7.0e5)
    x, y = np.meshgrid(grid.x, grid.y)
    k, l = 2 * np.pi * 3 / grid.length_x, 2 * np.pi * 4 / grid.length_y
    hat = np.fft.rfft2(np.sin(k * x - l * y))
    along = np.fft.irfft2(1j * grid.k[None, :] * hat, s=grid.shape)
    across = np.fft.irfft2(1j * grid.l[:, None] * hat, s=grid.shape)
    # rounding relative to the largest wavenumber
    np.testing.assert_allclose(along, k * np.cos(k * x - l * y), atol=1e-13 * grid.nyquist)
    np.testing.assert_allclose(across, -l * np.cos(k * x - l * y), atol=1e-13 * grid.nyquist)


def test_nyquist_signs():
    """The column Nyquist wavenumber is positive, the row one negative."""
    grid = PeriodicGrid(16, 12)
    assert grid.k[-1] == pytest.approx(np.pi / grid.dx)
    assert grid.l[6] == pytest.approx(-np.pi / grid.dy)
    assert grid.l[5] > 0
    assert grid.wavenumber_squared.shape == grid.spectral_shape
    assert grid.wavenumber_squared[6, 8] == pytest.approx(grid.k[-1] ** 2 + grid.l[6] ** 2)


def test_cell_centres():
    grid = PeriodicGrid(8, 4, 80.0, 20.0)
    np.testing.assert_allclose(grid.x, [5, 15, 25, 35, 45, 55, 65, 75])
    np.testing.assert_allclose(grid.y, [2.5, 7.5, 12.5, 17.5])


def test_equal_by_value_and_hashable():
    assert PeriodicGrid(64) == PeriodicGrid(64, 64, 1.0e6, 1.0e6)
    assert hash(PeriodicGrid(64)) == hash(PeriodicGrid(64, 64))
    assert PeriodicGrid(64) != PeriodicGrid(64, 32)


def test_resized_keeps_the_domain():
    grid = PeriodicGrid(64, 32, 1.0e6, 7.0e5)
    assert grid.resized(32) == PeriodicGrid(32, 16, 1.0e6, 7.0e5)
    assert grid.resized(48, 20) == PeriodicGrid(48, 20, 1.0e6, 7.0e5)
    with pytest.raises(ValueError, match=r"nx = 30 makes ny = 22\.5"):  # 22 would change the cells
        PeriodicGrid(64, 48).resized(30)


@pytest.mark.parametrize(("sizes", "name", "got"), [((63,), "nx", "63"), ((64, 2), "ny", "2")])
def test_odd_or_tiny_sizes_are_refused(sizes, name, got):
    with pytest.raises(ValueError, match=f"{name} must be an even whole number.*got {got}"):
        PeriodicGrid(*sizes)


def test_lengths_must_be_positive():
    with pytest.raises(ValueError, match="length_x must be positive"):
        PeriodicGrid(64, length_x=-1.0, length_y=1.0)


def test_first_derivatives_of_real_fields_are_real():
    grid = PeriodicGrid(16, 12)
    hat = np.fft.rfft2(np.random.default_rng(0).standard_normal(grid.shape))
    for wavenumber, plain in zip(
        derivative_wavenumbers(grid), (grid.k[None, :], grid.l[:, None]), strict=True
    ):
        # and nothing that a real field has is lost
        kept, whole = (np.fft.irfft2(1j * w * hat, s=grid.shape) for w in (wavenumber, plain))
        np.testing.assert_allclose(kept, whole, rtol=0, atol=1e-14 * np.abs(whole).max())
        largest = np.abs(plain * hat).max()
        np.testing.assert_allclose(
            np.fft.rfft2(kept), 1j * wavenumber * hat, rtol=0, atol=1e-13 * largest
        )
        assert np.abs(np.fft.rfft2(kept) - 1j * plain * hat).max() > 0.01 * largest
