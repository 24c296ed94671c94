"""Where fields live: what every domain says of itself, and the spectra of those that have one."""

import numpy as np
import pytest

from subgrid.errors import ConfigError, ShapeError
from subgrid.grids import MaskedBasin, PeriodicGrid, PeriodicLine, Points

WATER = np.ones((4, 6), bool)
WATER[1:3, 2] = False
DOMAINS = {
    "plane": (PeriodicGrid(8, 4, length_x=2.0), PeriodicGrid(8, 4, length_x=3.0)),
    "line": (PeriodicLine(8, 2.0), PeriodicLine(9, 2.0)),
    "ring": (Points(8, "k", ring=True), Points(8, "k")),
    "basin": (MaskedBasin(WATER, 10.0, 20.0), MaskedBasin(~WATER, 10.0, 20.0)),
}


@pytest.mark.parametrize("name", DOMAINS)
def test_shapes_coordinates_and_weights_agree(name):
    domain, other = DOMAINS[name]
    lengths = tuple(len(domain.coordinates()[dim][0]) for dim in domain.dims)
    assert lengths == domain.shape == domain.weights.shape
    assert len(domain.periodic) == len(domain.dims)
    assert all({"units", "long_name"} <= set(a) for _, a in domain.coordinates().values())
    assert domain != other


def test_land_counts_in_no_mean():
    basin, _ = DOMAINS["basin"]
    assert basin.weights.sum() == 22 * 200.0
    assert (basin.weights[~basin.mask] == 0).all()
    assert MaskedBasin(WATER.copy(), 10.0, 20.0) == basin
    with pytest.raises(ShapeError, match="at least one cell of water"):
        MaskedBasin(np.zeros((3, 3), bool), 1.0)


@pytest.mark.parametrize("name", ["ring", "basin"])
def test_a_domain_without_spectrum_says_so(name):
    domain, _ = DOMAINS[name]
    assert not domain.has_spectrum
    for ask in (lambda: domain.spectral_shape, lambda: domain.isotropic_spectrum(np.zeros(3))):
        with pytest.raises(ConfigError, match="have no spectrum"):
            ask()


@pytest.mark.parametrize("cells", [8, 9])
def test_the_spectrum_of_a_line_holds_the_variance(cells):
    line = PeriodicLine(cells, 3.0)
    field = np.random.default_rng(0).normal(size=(2, cells))
    field -= field.mean(axis=-1, keepdims=True)
    density = np.abs(np.fft.rfft(field)) ** 2 / cells**2
    k, spectrum = line.isotropic_spectrum(density)
    np.testing.assert_allclose(k, 2 * np.pi / 3 * np.arange(1, cells // 2 + 1))
    # Parseval, in double precision
    total = spectrum.sum(axis=-1) * 2 * np.pi / 3
    np.testing.assert_allclose(total, (field**2).mean(axis=-1), rtol=1e-12)
