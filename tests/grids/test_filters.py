"""Spectral multipliers: published values, isotropy in scaled wavenumbers, what they mean."""

import numpy as np
import pytest

from subgrid.grids import (
    PeriodicGrid,
    exponential_filter,
    gaussian_filter,
    scaled_wavenumber,
    two_thirds_mask,
)


def test_exponential_filter_table():
    """Values of pyqg's filter along an axis; 400 points hit the fractions of Nyquist exactly."""
    grid = PeriodicGrid(400)
    index = [132, 140, 150, 160, 180]
    fractions = scaled_wavenumber(grid)[0, index] / np.pi
    np.testing.assert_allclose(fractions, [0.66, 0.70, 0.75, 0.80, 0.90])
    values = exponential_filter(grid)[0, index]
    # the table has three decimals, the last value one digit
    np.testing.assert_allclose(values[:4], [1.0, 0.986, 0.795, 0.312], atol=6e-4)
    assert values[4] == pytest.approx(1e-4, rel=0.3)
    sharp = exponential_filter(grid, sharpness=15.0)[0, index[1:3]]
    np.testing.assert_allclose(sharp, [0.806, 0.032], atol=6e-4)


def test_exponential_filter_limits():
    grid = PeriodicGrid(64, 48, 1.0e6, 5.0e5)
    values, w = exponential_filter(grid), scaled_wavenumber(grid)
    assert np.all(values[w <= 0.65 * np.pi] == 1.0)
    assert np.all((values >= 0) & (values <= 1))
    # one function of w on any grid, so it falls along any ordering of it
    order = np.argsort(w, axis=None)
    assert np.all(np.diff(values.ravel()[order]) <= 0)
    # exp(-23.6 (0.35 π)⁴) at the Nyquist wave of an axis
    assert values[0, -1] == pytest.approx(1.0425e-15, rel=1e-3)
    assert values[24, 0] == pytest.approx(values[0, -1])
    assert np.all(exponential_filter(grid, sharpness=0.0) == 1.0)
    assert np.all(exponential_filter(grid, 15.0) <= values)


def test_scaled_wavenumber_is_pi_at_both_nyquists():
    w = scaled_wavenumber(PeriodicGrid(32, 20, 1.0e6, 3.0e5))
    np.testing.assert_allclose([w[0, -1], w[10, 0]], np.pi)
    assert w[0, 0] == 0.0


def test_two_thirds_mask_removes_aliasing():
    """Products of two masked fields alias only into waves that the mask removes (Orszag 1971)."""
    grid = PeriodicGrid(24, 36)
    mask = two_thirds_mask(grid)
    large = PeriodicGrid(48, 72)
    rng = np.random.default_rng(0)
    fields = []
    for _ in range(2):
        hat = np.fft.rfft2(rng.normal(size=grid.shape)) * mask
        padded = np.zeros(large.spectral_shape, complex)
        padded[:18, :13], padded[-18:, :13] = hat[:18], hat[18:]
        fields.append((np.fft.irfft2(hat, s=grid.shape), np.fft.irfft2(padded * 4, s=large.shape)))
    coarse = np.fft.rfft2(fields[0][0] * fields[1][0])
    exact = np.fft.rfft2(fields[0][1] * fields[1][1]) / 4
    exact = np.concatenate([exact[:18, :13], exact[-18:, :13]])
    # rounding of transforms of about 10³ values of order one
    np.testing.assert_allclose(coarse * mask, exact * mask, atol=1e-11)
    assert np.abs(coarse - exact).max() > 1.0
    assert set(np.unique(mask)) == {0.0, 1.0}


def test_gaussian_filter_has_the_second_moment_of_a_box():
    """Its kernel has variance width²/12 per axis; checked where it is far from the boundary."""
    grid = PeriodicGrid(64, length_x=64.0)
    width = 10.0
    kernel = np.fft.irfft2(gaussian_filter(grid, width), s=grid.shape)
    offset = np.fft.fftfreq(64, 1 / 64)
    assert kernel.sum() == pytest.approx(1.0)
    assert (kernel.sum(axis=0) * offset**2).sum() == pytest.approx(width**2 / 12, rel=1e-6)
    assert (kernel.sum(axis=1) * offset**2).sum() == pytest.approx(width**2 / 12, rel=1e-6)
    assert gaussian_filter(grid, 2.0)[0, -1] == pytest.approx(np.exp(-(np.pi**2) / 6))
