"""Spectra, work, distributions and maps of a forcing, by hand for waves."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_systems import Nine

from subgrid.errors import ShapeError
from subgrid.evaluation import evaluate_offline, forcing_dataset, forcing_sums
from subgrid.evaluation.components import channels_of_system
from subgrid.evaluation.offline import EDGES, work_error
from subgrid.grids import PeriodicGrid
from subgrid.systems import Lorenz96
from subgrid.types import Variable


@pytest.fixture
def wave(coarse):
    """Return cos(4 · 2πx/L) on the coarse grid."""
    ny, nx = coarse.grid.shape
    return np.tile(np.cos(4 * 2 * np.pi * (np.arange(nx) + 0.5) / nx), (ny, 1))


def layers(upper, lower):
    return np.stack([upper, lower])[None]


def test_power_and_cross_spectra_of_waves_by_hand(coarse, wave):
    truth = layers(2 * wave, -3 * wave)
    data = forcing_dataset(forcing_sums(layers(wave, wave), truth / 2, truth, coarse), coarse)
    wavenumber, power = data["wavenumber"].values, data["forcing_spectrum"].values
    width = wavenumber[1] - wavenumber[0]
    # ⟨(a cos)²⟩ = a²/2, of the prediction a quarter of it
    np.testing.assert_allclose(power.sum(-1) * width, [[0.5, 9 / 8], [2.0, 4.5]], rtol=1e-12)
    ring = np.argmax(power[1, 0])
    assert abs(wavenumber[ring] - 8 * np.pi / coarse.grid.length_x) <= width / 2
    cross = data["cross_layer_spectrum"].values
    np.testing.assert_allclose(cross.sum(-1) * width, [-0.75, -3.0], rtol=1e-12)
    np.testing.assert_allclose(cross[1, ring] * width, -3.0, rtol=1e-12)


def test_work_of_a_forcing_along_the_flow_by_hand(coarse, wave):
    # a forcing r q changes the energy E of the flow, which is quadratic, at the rate 2 r E
    q = layers(1e-5 * wave, -2e-6 * wave)
    data = forcing_dataset(forcing_sums(q, -2e-7 * q, 1e-7 * q, coarse), coarse)
    wavenumber, work = data["wavenumber"].values, data["work_spectrum"].values
    k2 = (8 * np.pi / coarse.grid.length_x) ** 2
    upper_f, lower_f = (float(f) for f in np.ravel(coarse.stretching))
    determinant = k2 * (k2 + upper_f + lower_f)
    psi_1 = -((k2 + lower_f) * 1e-5 - upper_f * 2e-6) / determinant
    psi_2 = -(lower_f * 1e-5 - (k2 + upper_f) * 2e-6) / determinant
    weights = np.ravel(coarse.layer_weights)
    # -Σ δ ⟨ψ r q⟩, ⟨cos²⟩ = ½
    gain = -0.5 * 1e-7 * (weights[0] * psi_1 * 1e-5 - weights[1] * psi_2 * 2e-6)
    assert gain > 0
    width = wavenumber[1] - wavenumber[0]
    np.testing.assert_allclose(work.sum(-1) * width, [-2 * gain, gain], rtol=1e-4)


def test_maps_over_samples_by_hand(coarse):
    # at every pixel the truth takes 1, 2, 3; the prediction 1, 2, 6 above and 3, 2, 1 below
    ones = np.ones(coarse.grid.shape)
    truth = np.stack([layers(a * ones, a * ones)[0] for a in (1.0, 2.0, 3.0)])
    prediction = np.stack(
        [layers(a * ones, b * ones)[0] for a, b in ((1.0, 3.0), (2.0, 2.0), (6.0, 1.0))]
    )
    data = forcing_dataset(forcing_sums(truth, prediction, truth, coarse), coarse)
    skill, similar = data["r_squared_map"], data["correlation_map"]
    assert skill.shape == similar.shape == (2, *coarse.grid.shape)
    np.testing.assert_allclose(skill[0], 1 - 9 / 2)
    np.testing.assert_allclose(skill[1], 1 - 8 / 2)
    # deviations of the prediction -2, -1, 3 and of the truth -1, 0, 1
    np.testing.assert_allclose(similar[0], 5 / np.sqrt(14 * 2))
    np.testing.assert_allclose(similar[1], -1.0)


def test_densities_by_hand(coarse):
    values = np.zeros(coarse.grid.shape)
    values[0, 0] = 100.0  # beyond the last edge: in no bin, but in the number
    values[0, 1] = 1.01
    truth = layers(values, 2 * values)
    sums = forcing_sums(truth, truth, truth, coarse, scale=[1.0, 2.0])
    density = forcing_dataset(sums, coarse)["forcing_density"].values
    cells, width = values.size, EDGES[1] - EDGES[0]
    assert density.shape == (2, 2, len(EDGES) - 1)
    np.testing.assert_allclose(density.sum(-1) * width, (cells - 1) / cells)
    place = np.searchsorted(EDGES, 1.01) - 1
    np.testing.assert_allclose(density[..., place] * width, 1 / cells)


def test_batches_add_up_and_samples_that_are_not_finite_are_left_out(coarse):
    generator = np.random.default_rng(0)
    q, p, t = generator.normal(size=(3, 5, 2, *coarse.grid.shape))
    p[3, 0, 2, 2] = np.inf
    finite = [0, 1, 2, 4]
    whole = forcing_dataset(forcing_sums(q[finite], p[finite], t[finite], coarse), coarse)
    parts = [
        forcing_sums(q[part], p[part], t[part], coarse) for part in np.split(np.arange(5), [2])
    ]
    joined = parts[0] + parts[1]
    assert joined["samples"] == 4
    for name, value in forcing_dataset(joined, coarse).items():
        np.testing.assert_allclose(value, whole[name], rtol=1e-5, atol=1e-12, err_msg=str(name))
    nothing = forcing_dataset(forcing_sums(q[3:4], p[3:4], t[3:4], coarse), coarse)
    assert all(np.isnan(value).all() for value in nothing.values())


def test_work_error_counts_where_the_truth_adds_energy():
    true = np.array([2.0, 6.0, -4.0, 0.0])
    assert work_error(np.stack([true, true])) == 0
    assert work_error(np.stack([0 * true, true])) == 1
    # |1 - 2| + |9 - 6| of 8, whatever is done where the truth takes energy
    assert work_error(np.array([[1.0, 9.0, 100.0, 7.0], true])) == 0.5
    assert work_error(3e-9 * np.array([[1.0, 9.0, 0.0, 7.0], true])) == pytest.approx(0.5)
    assert np.isnan(work_error(np.stack([true, -np.abs(true)])))


def test_wrong_shapes_are_refused(coarse):
    field = np.zeros((3, 2, *coarse.grid.shape))
    with pytest.raises(ShapeError, match="state, prediction and truth"):
        forcing_sums(field, field, field[:2], coarse)


def test_offline_scores_hold_them(coarse):
    from subgrid.closures import Smagorinsky

    q = 1e-5 * np.random.default_rng(0).normal(size=(3, 2, *coarse.grid.shape)).astype(np.float32)
    scores = evaluate_offline(
        Smagorinsky(coarse),
        [(q[:2], 1e-6 * q[:2]), (q[2:], 1e-6 * q[2:])],
        system=coarse,
        scale=[1e-11, 1e-11],
    )
    assert scores["forcing_spectrum"].dims == ("source", "channel", "wavenumber")
    assert scores["source"].attrs["flag_meanings"] == "prediction truth"
    # an eddy viscosity takes energy at every scale; a forcing along q feeds it
    assert float(scores["work_spectrum"].sel(source=0).sum()) < 0
    assert float(scores["work_spectrum"].sel(source=1).sum()) > 0
    assert scores["r_squared_map"].shape == (2, *coarse.grid.shape)
    assert scores["r_squared_of_samples"].shape == (3, 2)


def test_the_figure_shows_truth_and_closures_and_is_left_out_for_older_runs(coarse):
    import xarray as xr

    from subgrid.evaluation import Findings, offline_scores, sample_sums
    from subgrid.evaluation.sections_offline import _forcing_panels
    from subgrid.evaluation.style import looks

    field = np.random.default_rng(0).normal(size=(3, 2, *coarse.grid.shape))
    scores = forcing_dataset(forcing_sums(1e-5 * field, 0.5 * field, field, coarse), coarse)

    def panels_of(data):
        found = Findings(coarse, xr.Dataset(), {}, xr.Dataset(), None, offline={"half": [data]})
        return _forcing_panels(found, looks(["half"]))

    panels = panels_of(scores)
    assert [panel.name for panel in panels] == [
        "forcing_spectrum_upper",
        "forcing_spectrum_lower",
        "work_spectrum",
        "forcing_density_upper",
        "forcing_density_lower",
    ]
    truth, half = panels[0].figure.axes[0].lines
    np.testing.assert_allclose(half.get_ydata(), np.asarray(truth.get_ydata()) / 4, rtol=1e-12)
    assert not panels_of(offline_scores(sample_sums(field, field, coarse.grid)))


class LayersState(eqx.Module):
    """Three layers of one field."""

    q: jax.Array


class ThreeLayers(Nine):
    """Three layers whose energy is half the mean square of each."""

    State = LayersState

    @property
    def variables(self):
        return (Variable("q", ("level", "y", "x"), "1", "field"),)

    def initial_state(self, *, key):
        return LayersState(jax.random.normal(key, (3, *self.domain.shape)))

    def spectral_budget(self, state, increment):
        ours, forced = (jnp.fft.rfft2(one.q) / self.domain.size for one in (state, increment))
        return {"closure": jnp.sum((ours.conj() * forced).real, axis=0)}


def test_three_layers_have_statistics_of_three_channels():
    system = ThreeLayers(PeriodicGrid(8))
    assert channels_of_system(system) == ("1", "2", "3")
    random = np.random.default_rng(0)
    state, truth = random.normal(size=(2, 5, 3, 8, 8))
    # waves of at most two periods, without the mean: all lie in whole rings
    waves = np.fft.rfft2(truth)
    waves[..., 3:6, :], waves[..., 3:], waves[..., 0, 0] = 0, 0, 0
    truth = np.fft.irfft2(waves)
    data = forcing_dataset(forcing_sums(state, truth, truth, system), system)
    assert data["forcing_spectrum"].dims == ("source", "channel", "wavenumber")
    assert data["r_squared_map"].sizes == {"channel": 3, "y": 8, "x": 8}
    wavenumber = data["wavenumber"].values
    width = wavenumber[1] - wavenumber[0]
    pairs = ((0, 1), (0, 2), (1, 2))
    expected = sum((truth[:, i] * truth[:, j]).mean() for i, j in pairs)
    found = float(data["cross_layer_spectrum"].sel(source=1).sum()) * width
    assert found == pytest.approx(expected, rel=1e-6)
    work = float(data["work_spectrum"].sel(source=1).sum()) * width
    assert work == pytest.approx((state * truth).mean(axis=(0, 2, 3)).sum(), rel=1e-5)


def test_channels_are_named_by_variable_and_component(coarse):
    assert channels_of_system(coarse) == ("upper", "lower")
    assert channels_of_system(Lorenz96(4, 4)) == ("x", "y_1", "y_2", "y_3", "y_4")
