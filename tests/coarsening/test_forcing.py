"""Subgrid forcing of two-layer QG: sign, flux form, means, symmetry, precision, bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from subgrid.coarsening import (
    Operator1,
    Operator2,
    Operator3,
    SubgridFlux,
    flux_divergence,
    subgrid_flux,
    subgrid_forcing,
)
from subgrid.errors import ShapeError
from subgrid.grids import PeriodicGrid
from subgrid.systems import TwoLayerQG

# nx ≠ ny, a rectangle of its own aspect ratio, and ratios that are not whole
CASES = {
    "square": (TwoLayerQG(48, dtype="float32"), (24, 24)),
    "rectangle": (TwoLayerQG(48, 40, "jet", length_y=1.3e6, dtype="float32"), (20, 18)),
}


def _systems(case, dtype="float64"):
    system, size = CASES[case]
    fine = system.at(system.grid.shape, dtype=dtype)
    return fine, fine.at(tuple(reversed(size)))


def _turbulence(system, seed=0):
    """Return random PV with a steep spectrum and the amplitudes of the eddy regime (1/s)."""
    noise = np.random.default_rng(seed).normal(size=(2, *system.grid.shape))
    kappa = np.sqrt(system.grid.wavenumber_squared)
    slope = 1 / (1 + (kappa * 25e3) ** 2)
    q = np.fft.irfft2(np.fft.rfft2(noise) * slope, s=system.grid.shape)
    q *= np.array([8e-6, 1e-6])[:, None, None] / q.std(axis=(-2, -1), keepdims=True)
    q[0] += 5.5e-7  # the mean that pyqg's initial state leaves in the upper layer
    return system.State(jnp.asarray(q, system.dtype))


def _relative(a, b):
    return float(jnp.max(jnp.abs(a - b)) / jnp.max(jnp.abs(b)))


@pytest.mark.parametrize("operator", [Operator1, Operator2, Operator3])
def test_adding_it_gives_the_coarsened_fine_tendency(operator, float64):
    """The definition, and with it the sign: C[f(x)] = f_c(C x) + S, and S does reduce the error."""
    fine, coarse = _systems("square")
    state = _turbulence(fine)
    coarsen = operator(fine.grid, coarse.grid)
    forcing = subgrid_forcing(fine, coarse, coarsen, state)
    assert isinstance(forcing, TwoLayerQG.State)
    exact = coarsen(fine.tendency(state)).q
    corrected = coarse.tendency(coarsen(state), forcing=forcing).q
    # forcing passes through one more pair of transforms inside the coarse tendency; the Nyquist
    # waves of its spectral derivative, which a real field cannot hold, are what may differ
    assert _relative(corrected, exact) < 1e-12
    error = exact - coarse.tendency(coarsen(state)).q
    correlation = np.corrcoef(np.ravel(error), np.ravel(forcing.q))[0, 1]
    assert correlation == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("operator", [Operator1, Operator2])
def test_it_is_minus_the_divergence_of_the_flux(case, operator, float64):
    """β-term, background gradient and drag commute with operators 1 and 2 and cancel."""
    fine, coarse = _systems(case)
    state = _turbulence(fine)
    coarsen = operator(fine.grid, coarse.grid)
    forcing = subgrid_forcing(fine, coarse, coarsen, state).q
    divergence = flux_divergence(subgrid_flux(fine, coarse, coarsen, state), coarse.grid)
    # rounding, of tendencies that are up to a few hundred times larger than S
    for layer in range(2):
        assert _relative(-divergence[layer], forcing[layer]) < 1e-11


def test_operator3_is_only_nearly_in_flux_form(float64):
    """Block means do not commute with spectral derivatives: same sign, another field."""
    fine, coarse = _systems("square")
    state = _turbulence(fine)
    coarsen = Operator3(fine.grid, coarse.grid)
    forcing = subgrid_forcing(fine, coarse, coarsen, state).q
    divergence = flux_divergence(subgrid_flux(fine, coarse, coarsen, state), coarse.grid)
    correlation = np.corrcoef(np.ravel(forcing), np.ravel(-divergence))[0, 1]
    assert 0.2 < correlation < 0.99


@pytest.mark.parametrize("case", CASES)
def test_published_sign_is_the_opposite(case, float64):
    """C[∇·(u q)] - ∇·(ū q̄), "q_subgrid_forcing" of Ross et al. 2023, is -S exactly (Operator1).

    Written here in NumPy with eddy velocities only: the advection by the background flow is linear
    and cancels too.
    """
    fine, coarse = _systems(case)
    state = _turbulence(fine)
    coarsen = Operator1(fine.grid, coarse.grid)

    def advection(system, x):
        u, v = system.velocity(x)
        k, l = 1j * system.grid.k[None, :], 1j * system.grid.l[:, None]
        hat = k * np.fft.rfft2(u * x.q) + l * np.fft.rfft2(v * x.q)
        return np.fft.irfft2(hat, s=system.grid.shape)

    published = coarsen(jnp.asarray(advection(fine, state))) - advection(coarse, coarsen(state))
    forcing = subgrid_forcing(fine, coarse, coarsen, state).q
    for layer in range(2):
        correlation = np.corrcoef(np.ravel(published[layer]), np.ravel(forcing[layer]))[0, 1]
        # one minus rounding squared
        assert correlation == pytest.approx(-1.0, abs=1e-12)
        assert _relative(-published[layer], forcing[layer]) < 1e-11


@pytest.mark.parametrize("operator", [Operator1, Operator2, Operator3])
def test_domain_mean_is_zero(operator, float64):
    """Both tendencies conserve mean PV, and C keeps means."""
    fine, coarse = _systems("square")
    forcing = subgrid_forcing(fine, coarse, operator(fine.grid, coarse.grid), _turbulence(fine)).q
    scale = jnp.std(forcing, axis=(-2, -1))
    # rounding of the tendencies' means
    assert jnp.all(jnp.abs(forcing.mean((-2, -1))) < 1e-12 * scale)


def test_shift_by_a_coarse_cell(float64):
    fine, coarse = _systems("square")
    state = _turbulence(fine)
    coarsen = Operator1(fine.grid, coarse.grid)
    forcing = subgrid_forcing(fine, coarse, coarsen, state).q
    moved = TwoLayerQG.State(jnp.roll(state.q, (4, -6), (-2, -1)))
    shifted = subgrid_forcing(fine, coarse, coarsen, moved).q
    # rounding of tendencies that are much larger than S
    assert _relative(shifted, jnp.roll(forcing, (2, -3), (-2, -1))) < 1e-11


def test_smooth_states_need_no_forcing(float64):
    """Products of waves below half the coarse filter's cut are resolved: S vanishes to rounding."""
    fine, coarse = _systems("square")
    spectrum = np.fft.rfft2(_turbulence(fine).q)
    low = np.sqrt(fine.grid.wavenumber_squared) < 0.3 * coarse.grid.nyquist
    state = TwoLayerQG.State(jnp.asarray(np.fft.irfft2(spectrum * low, s=fine.grid.shape)))
    coarsen = Operator1(fine.grid, coarse.grid)
    forcing = subgrid_forcing(fine, coarse, coarsen, state).q
    assert jnp.max(jnp.abs(forcing)) < 1e-12 * jnp.max(jnp.abs(fine.tendency(state).q))


def test_constants_of_another_regime_change_it(float64):
    """The mistake of the published jet data: both systems `eddy`, the state from `jet`."""
    fine, coarse = _systems("rectangle")
    state = _turbulence(fine)
    coarsen = Operator1(fine.grid, coarse.grid)
    right = subgrid_forcing(fine, coarse, coarsen, state).q
    other = TwoLayerQG(fine.grid.nx, fine.grid.ny, length_y=1.3e6, dtype="float64")
    wrong = subgrid_forcing(other, other.at(coarse.grid.shape), coarsen, state).q
    assert _relative(wrong[1], right[1]) > 0.3


def test_jit_vmap_and_gradient_in_float32():
    fine, coarse = _systems("square", "float32")
    coarsen = Operator1(fine.grid, coarse.grid)
    states = TwoLayerQG.State(jnp.stack([_turbulence(fine, seed).q for seed in range(3)]))

    def one(state):
        return subgrid_forcing(fine, coarse, coarsen, state)

    batch = jax.jit(jax.vmap(one))(states).q
    assert batch.shape == (3, 2, 24, 24)
    assert batch.dtype == jnp.float32
    alone = jax.jit(one)(TwoLayerQG.State(states.q[1])).q
    # float32 rounding of the tendencies, see test_float32
    assert _relative(batch[1], alone) < 1e-4
    loss = jax.jit(jax.grad(lambda s: 1e20 * jnp.sum(one(s).q ** 2)))
    gradient = loss(TwoLayerQG.State(states.q[0]))
    assert jnp.all(jnp.isfinite(gradient.q)) & jnp.any(gradient.q != 0)


@pytest.mark.slow
def test_float32_agrees_with_float64(float64):
    """S of the very same float32 state: about 1e-7 times the ratio of tendency to S is lost."""
    fine, coarse = _systems("square")
    single, single_coarse = _systems("square", "float32")
    state = _turbulence(single)
    coarsen = Operator1(fine.grid, coarse.grid)
    found = subgrid_forcing(single, single_coarse, coarsen, state).q
    same = TwoLayerQG.State(jnp.asarray(state.q, "float64"))
    exact = subgrid_forcing(fine, coarse, coarsen, same).q
    assert found.dtype == jnp.float32
    error = jnp.sqrt(jnp.mean((found - exact) ** 2, (-2, -1)) / jnp.mean(exact**2, (-2, -1)))
    # tendencies some ten (upper) or a hundred (lower) times S, each good to a few 1e-7
    assert error[0] < 1e-5
    assert error[1] < 1e-4


def test_divergence_of_a_wave(float64):
    """∂x sin(k x) = k cos(k x), ∂y likewise, on a rectangle; the mean is zero for any flux."""
    grid = PeriodicGrid(16, 12, 1.0e6, 5.0e5)
    k, l = 2 * np.pi * 3 / grid.length_x, 2 * np.pi * 2 / grid.length_y
    x, y = np.broadcast_arrays(k * grid.x[None, :], l * grid.y[:, None])
    flux = SubgridFlux(
        jnp.asarray(np.stack([np.sin(x), np.sin(y)])), jnp.asarray(np.stack([np.sin(x), np.sin(y)]))
    )
    expected = np.stack([k * np.cos(x), l * np.cos(y)])
    # rounding of values times the largest wavenumber
    np.testing.assert_allclose(flux_divergence(flux, grid), expected, atol=1e-13 * l)
    noise = jnp.asarray(np.random.default_rng(0).normal(size=(2, *grid.shape)))
    total = flux_divergence(SubgridFlux(noise, noise), grid).mean((-2, -1))
    assert jnp.all(jnp.abs(total) < 1e-15 * grid.nyquist)


@pytest.mark.parametrize("function", [subgrid_forcing, subgrid_flux])
def test_grids_must_match(function):
    fine, coarse = _systems("square", "float32")
    state = _turbulence(fine)
    other = fine.at(16)
    with pytest.raises(ShapeError, match=r"coarse system.*nx=16.*is .*nx=24"):
        function(fine, other, Operator1(fine.grid, coarse.grid), state)
    with pytest.raises(ShapeError, match=r"fine system.*nx=48.*is .*nx=24"):
        function(fine, other, Operator1(coarse.grid, other.grid), state)
    elsewhere = coarse.at(24, length_x=5e5, length_y=5e5)
    with pytest.raises(ShapeError, match=r"coarse system.*length_x=500000"):
        function(fine, elsewhere, Operator1(fine.grid, coarse.grid), state)
