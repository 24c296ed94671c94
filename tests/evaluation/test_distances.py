"""Distances and similarity scores against values known by hand."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
import xarray

from subgrid.evaluation import filter_cut, spectral_rmse, two_thirds_cut, wasserstein
from subgrid.evaluation.compare import _similarity
from subgrid.evaluation.components import main_spectra
from subgrid.evaluation.intervals import member_mean
from subgrid.evaluation.metric_distances import (
    RelativeErrors,
    SpectralDistance,
    SpectralError,
    Wasserstein,
    pooled,
)
from subgrid.grids import PeriodicGrid, isotropic_spectrum
from subgrid.systems import Quantity
from subgrid.systems.qg_quantities import POOLED


def distances(run, truth, system, cut):
    """Return the distances of values and of spectra, as similarity is made of."""
    metrics = (Wasserstein(system.values), SpectralDistance(cut))
    return {n: d for m in metrics for n, d in m.of_all(run, truth, system.domain).items()}


def relative_errors(run, truth, system, cut):
    metric = RelativeErrors.of_system(system, cut)
    return {n: d for (n, _), d in metric.of_all(run, truth, system.domain).items()}


def test_wasserstein_by_hand():
    assert wasserstein([0.0, 1.0], [2.0, 3.0]) == 2.0  # a shift by 2
    assert wasserstein([0.0, 0.0, 3.0, 3.0], [0.0, 3.0]) == 0.0  # the same distribution
    assert wasserstein([0.0], [0.0, 1.0]) == 0.5
    assert wasserstein([0.0, np.nan], [0.0, 1.0]) == 0.5
    assert np.isnan(wasserstein([np.nan], [0.0]))


@pytest.mark.parametrize("sizes", [(50, 50), (50, 73)])
def test_wasserstein_agrees_with_scipy(sizes):
    generator = np.random.default_rng(0)
    a, b = generator.normal(size=sizes[0]), generator.normal(0.3, 2, size=sizes[1])
    assert wasserstein(a, b) == pytest.approx(scipy.stats.wasserstein_distance(a, b), rel=1e-12)


def test_spectral_rmse_stops_at_the_cut():
    spectrum = np.array([[1.0, 2.0, 3.0, 99.0], [0.0, 0.0, 0.0, 0.0]])
    reference = np.array([0.0, 0.0, 0.0, 0.0])
    found = spectral_rmse(spectrum, reference, [1.0, 2.0, 3.0, 4.0], cut=3.5)
    np.testing.assert_allclose(found, [np.sqrt(14 / 3), 0.0])
    with pytest.raises(ValueError, match="no ring lies below"):
        spectral_rmse(spectrum, reference, [1.0, 2.0, 3.0, 4.0], cut=0.5)


@pytest.mark.parametrize(("nx", "index", "bins"), [(128, 42, 30), (96, 32, 23), (64, 21, 15)])
def test_the_filter_cut_keeps_the_published_rings(nx, index, bins):
    grid = PeriodicGrid(nx)
    assert filter_cut(grid) == grid.k[index]
    centres, _ = isotropic_spectrum(np.zeros(grid.spectral_shape), grid)
    assert np.sum(centres < filter_cut(grid)) == bins
    assert two_thirds_cut(grid) == pytest.approx(2 / 3 * np.pi / grid.dx)


def test_similarity_by_hand():
    model = {("a", ""): 1.0, ("b", ""): 3.0, ("c", ""): 1.0}
    baseline = {("a", ""): 2.0, ("b", ""): 2.0, ("c", ""): 0.0}
    found = _similarity(model, baseline)
    assert found["a", ""] == 0.5
    assert found["b", ""] == -0.5
    assert np.isnan(found["c", ""])


def test_members_without_values_are_left_out_of_means():
    values = np.array([[1.0, 2.0], [np.nan, np.nan], [3.0, 4.0]])
    np.testing.assert_array_equal(member_mean(values), [2.0, 3.0])
    assert np.isnan(member_mean(values[1:2])).all()


def test_pooled_quantities_of_a_plane_wave(coarse):
    # ψ = A cos(kx) in both layers: q = -k² ψ, u = 0, v = -A k sin(kx), vorticity = q
    grid, amplitude = coarse.grid, 1e4
    k = float(grid.k[1])
    psi = amplitude * np.cos(k * grid.x)[None, :] * np.ones((2, grid.ny, 1))
    found = pooled(coarse.values, np.asarray(-(k**2) * psi, np.float32)[None, None])
    assert list(found) == list(POOLED)
    velocity = amplitude * k
    upper = float(jnp.ravel(coarse.background_velocity)[0])
    # float32 transforms: 1e-5 of the amplitude
    np.testing.assert_allclose(found["u"][0], upper, atol=1e-5 * velocity)
    assert found["v"].max() == pytest.approx(velocity * np.sin(k * grid.x).max(), rel=1e-5)
    # (u+U)² + v², and the fastest cell is where the sine is largest
    fastest = upper**2 + (velocity * np.sin(k * grid.x).max()) ** 2
    assert found["kinetic_energy"][0].max() == pytest.approx(fastest, rel=1e-5)
    assert found["enstrophy"].max() == pytest.approx(
        (k**2 * amplitude * np.cos(k * grid.x).max()) ** 2, rel=1e-4
    )


def test_distances_are_the_eighteen_and_vanish_for_the_truth(truth, runs, coarse):
    cut = filter_cut(coarse.grid)
    found = distances(runs["none"][0], truth, coarse, cut)
    assert len(found) == 18
    assert all(np.isfinite(value) and value > 0 for value in found.values())
    assert set(distances(truth, truth, coarse, cut).values()) == {0.0}
    assert set(_similarity(found, found).values()) == {0.0}


def test_a_model_that_blew_up_has_no_distance(truth, runs, coarse):
    found = distances(runs["runaway"][0], truth, coarse, filter_cut(coarse.grid))
    assert all(np.isnan(value) for value in found.values())


def test_relative_errors_by_hand(coarse):
    # fields of one value per layer: no flow, so only q has values other than zero
    def data(q, spectrum, flux):
        shape = (1, 1, 2, *coarse.grid.shape)
        return xarray.Dataset(
            {
                "snapshots": (("member", "snapshot", "level", "y", "x"), np.full(shape, q)),
                "kinetic_energy_spectrum": (
                    ("member", "level", "wavenumber"),
                    np.full((1, 2, 2), spectrum),
                ),
                "kinetic_energy_flux": (("member", "wavenumber"), np.full((1, 2), flux)),
                "potential_energy_flux": (("member", "wavenumber"), np.full((1, 2), flux)),
                "potential_energy_generation": (("member", "wavenumber"), np.ones((1, 2))),
            },
            coords={"wavenumber": [1.0, 2.0]},
        )

    truth, run = data(2e-6, 4.0, 1.0), data(3e-6, 5.0, 3.0)
    found = relative_errors(run, truth, coarse, cut=3.0)
    # half for q of both layers; the eddies are at rest
    assert found["values"] == pytest.approx(0.5)
    # a quarter for both KE spectra, (6 - 2)/2 for the flux, 0 for the generation
    assert found["spectra"] == pytest.approx((0.25 + 0.25 + 2.0 + 0.0) / 4)
    assert relative_errors(truth, truth, coarse, cut=3.0) == {"values": 0.0, "spectra": 0.0}
    beyond = run.copy(deep=True)
    beyond["kinetic_energy_spectrum"][..., 1] = 1e6  # the ring at 2
    assert relative_errors(beyond, truth, coarse, cut=1.5)["spectra"] == found["spectra"]
    assert relative_errors(beyond, truth, coarse, cut=3.0)["spectra"] > 1e4


def test_relative_errors_of_values_do_not_see_the_background_flow(runs, truth, coarse):
    cut = two_thirds_cut(coarse.grid)
    data = runs["none"][0]
    faster = coarse.at(coarse.grid.nx, upper_velocity=10.0)
    # PV is inverted alike, so only the background of u differs
    found, other = (relative_errors(data, truth, system, cut) for system in (coarse, faster))
    assert found["values"] == pytest.approx(other["values"], rel=1e-6)
    assert 0 < found["values"] < 10
    apart, further = (distances(data, truth, system, cut) for system in (coarse, faster))
    assert further["kinetic_energy", "upper"] > 3 * apart["kinetic_energy", "upper"]


def test_the_quantities_say_which_spectra_are_terms_of_a_budget():
    one = Quantity("e", ("wavenumber",), "1", "spectrum")
    term = Quantity("work", ("wavenumber",), "1", "work", of_budget=True)
    data = xarray.Dataset(
        {q.name: (("member", "wavenumber"), np.ones((2, 3)), q.attributes) for q in (term, one)},
        {"wavenumber": [1.0, 2.0, 3.0]},
    )
    # without a level: what has components is no matter
    assert main_spectra(data) == ["e"]
    assert SpectralError().quantities(data, None) == ["e"]
    assert list(SpectralDistance().of_all(data, data, None)) == [("e", ""), ("work", "")]
    assert main_spectra(data[["work"]]) == ["work"]
