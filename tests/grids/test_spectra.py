"""Isotropic spectra against hand-made cases, an integer count of rings, and Parseval's identity."""

import math

import numpy as np
import pytest

from subgrid.grids import PeriodicGrid, isotropic_spectrum, ring_edges


def _power(field):
    return np.abs(np.fft.rfft2(field) / field[..., :, :].shape[-1] / field.shape[-2]) ** 2


def _integers(grid):
    """Return (m, n): the whole wavenumbers [ny, nx//2+1] in x and y."""
    return np.broadcast_arrays(
        np.arange(grid.nx // 2 + 1)[None, :], np.fft.fftfreq(grid.ny, 1 / grid.ny)[:, None]
    )


@pytest.mark.parametrize(
    ("definition", "bins"), [("pyqg", (46, 34, 23, 17)), ("pyqg-0.4", (44, 33, 21, 16))]
)
def test_number_of_rings_is_the_published_one(definition, bins):
    found = tuple(len(ring_edges(PeriodicGrid(n), definition)) for n in (128, 96, 64, 48))
    assert found == bins


def test_first_centres():
    grid = PeriodicGrid(64, length_x=2 * math.pi)
    power = np.zeros(grid.spectral_shape)
    new, _ = isotropic_spectrum(power, grid)
    old, _ = isotropic_spectrum(power, grid, "pyqg-0.4")
    np.testing.assert_allclose(new[:2], [math.sqrt(2) / 2, 1.5 * math.sqrt(2)])
    np.testing.assert_allclose(old[:2], [1 + math.sqrt(2) / 2, 1 + 1.5 * math.sqrt(2)])


def test_one_wave_summed_by_hand():
    """A cos(3x) has mean square A²/2, all of it in the ring 2√2 ≤ κ < 3√2 (new), 1+√2 ≤ κ (old)."""
    grid = PeriodicGrid(32, length_x=2 * math.pi)
    amplitude = 3.0
    field = amplitude * np.cos(3 * np.broadcast_to(grid.x, grid.shape))
    for definition, ring in (("pyqg", 2), ("pyqg-0.4", 1)):
        _, spectrum = isotropic_spectrum(_power(field), grid, definition, average=False)
        expected = np.zeros_like(spectrum)
        expected[ring] = amplitude**2 / 2 / math.sqrt(2)
        # rounding of a 32² transform, relative to the one value that is not zero
        np.testing.assert_allclose(spectrum, expected, atol=1e-13 * expected.max())


@pytest.mark.parametrize(
    ("definition", "ring", "members", "centre"),
    # half plane k ≥ 0, both signs of l.
    # 8 ≤ m²+n² < 18: (0,±3) (0,±4) (1,±3) (1,±4) (2,±2) (2,±3) (3,0) (3,±1) (3,±2) (4,0) (4,±1)
    # 5.83 < m²+n² < 14.7: (0,±3) (1,±3) (2,±2) (2,±3) (3,0) (3,±1) (3,±2)
    [("pyqg", 2, 20, 2.5 * math.sqrt(2)), ("pyqg-0.4", 1, 13, 1 + 1.5 * math.sqrt(2))],
)
def test_one_wave_averaged_by_hand(definition, ring, members, centre):
    """The mean over the ring of A²/4, times 2 π κ."""
    grid = PeriodicGrid(32, length_x=2 * math.pi)
    field = np.cos(3 * np.broadcast_to(grid.x, grid.shape))
    kappa, spectrum = isotropic_spectrum(_power(field), grid, definition)
    assert kappa[ring] == pytest.approx(centre)
    assert spectrum[ring] == pytest.approx(2 * 0.25 / members * centre * math.pi)


def test_old_definition_counts_an_edge_twice_when_averaging_only():
    """κ = 1 + √2 j is irrational for j > 0, so only κ = dk, the first edge, can tell; it is in."""
    grid = PeriodicGrid(32, length_x=2 * math.pi)
    field = np.cos(np.broadcast_to(grid.x, grid.shape))
    for average in (True, False):
        _, spectrum = isotropic_spectrum(_power(field), grid, "pyqg-0.4", average=average)
        assert spectrum[0] > 0.1
        # everything else is the rounding of the transform
        assert np.all(spectrum[1:] < 1e-25)


def test_the_last_ring_is_closed():
    """A wave at the corner of the spectral plane lies on the upper edge of the last ring."""
    grid = PeriodicGrid(8, length_x=2 * math.pi)
    power = np.zeros(grid.spectral_shape)
    power[4, 4] = 1.0
    _, spectrum = isotropic_spectrum(power, grid, truncate=False, average=False)
    assert len(spectrum) == 4
    assert spectrum[-1] * math.sqrt(2) == pytest.approx(1.0)


# lengths whose rounding puts modes on either side of an edge if membership is left to it
@pytest.mark.parametrize("length", [1.0e6, 2 * math.pi, 1.0, 1.234e6, 3.0])
@pytest.mark.parametrize("size", [48, 64, 96])
def test_every_wavenumber_has_its_ring_by_whole_numbers(length, size):
    """Each mode lands in the ring i with 2 i² ≤ m² + n² < 2 (i+1)², compared in whole numbers."""
    grid = PeriodicGrid(size, length_x=length)
    m, n = _integers(grid)
    ring = np.array([math.isqrt(int(s) // 2) for s in (m**2 + n**2).ravel()]).reshape(m.shape)
    power = np.random.default_rng(0).uniform(size=grid.spectral_shape)
    weight = np.where((m == 0) | (m == size // 2), 0.5, 1.0)
    width = math.sqrt(2) * 2 * math.pi / length
    for truncate in (True, False):
        edges = ring_edges(grid, truncate=truncate)
        _, spectrum = isotropic_spectrum(power, grid, truncate=truncate, average=False)
        last = len(edges) - 1
        closed = np.where(m**2 + n**2 == 2 * len(edges) ** 2, last, ring)
        expected = [2 * (weight * power)[closed == i].sum() / width for i in range(len(edges))]
        # sums of some thousand values in another order
        np.testing.assert_allclose(spectrum, expected, rtol=1e-12)


@pytest.mark.parametrize(("nx", "ny", "length_y"), [(32, 32, 1e6), (48, 32, 1e6), (32, 48, 5e5)])
def test_parseval(nx, ny, length_y):
    """Σ E dκ over all rings up to the corner is the mean square of the field, on any rectangle."""
    grid = PeriodicGrid(nx, ny, 1e6, length_y)
    field = np.random.default_rng(1).normal(size=(2, *grid.shape)) + 0.3
    _, spectrum = isotropic_spectrum(_power(field), grid, truncate=False, average=False)
    width = math.hypot(2 * math.pi / grid.length_x, 2 * math.pi / grid.length_y)
    # rounding of sums over some thousand modes
    np.testing.assert_allclose(spectrum.sum(-1) * width, (field**2).mean((-2, -1)), rtol=1e-12)


def test_parseval_of_the_old_definition_leaves_out_the_mean_and_the_corner():
    grid = PeriodicGrid(64)
    field = np.random.default_rng(2).normal(size=grid.shape)
    power = _power(field)
    m, n = _integers(grid)
    _, spectrum = isotropic_spectrum(power, grid, "pyqg-0.4", truncate=False, average=False)
    width = math.sqrt(2) * 2 * math.pi / grid.length_x
    inside = (np.hypot(m, n) >= 1) & (np.hypot(m, n) < 1 + len(spectrum) * math.sqrt(2))
    weight = np.where((m == 0) | (m == 32), 1.0, 2.0)
    assert spectrum.sum() * width == pytest.approx((weight * power)[inside].sum(), rel=1e-12)


def test_white_noise_is_proportional_to_wavenumber():
    """A density of 1 everywhere averages to 2 π κ/(dk dl), but for the halved columns."""
    grid = PeriodicGrid(64, length_x=2 * math.pi)
    kappa, spectrum = isotropic_spectrum(np.ones(grid.spectral_shape), grid)
    # the column k = 0 is halved and holds about 1 of κ·π/2 members per unit of ring width
    np.testing.assert_allclose(spectrum[8:], 2 * math.pi * kappa[8:], rtol=0.06)


def test_bad_input_is_named():
    grid = PeriodicGrid(16)
    with pytest.raises(ValueError, match=r"one of pyqg, pyqg-0.4, got 'pyqg-1'"):
        isotropic_spectrum(np.zeros(grid.spectral_shape), grid, "pyqg-1")
    with pytest.raises(ValueError, match=r"must end in \(16, 9\)"):
        isotropic_spectrum(np.zeros((16, 16)), grid)
