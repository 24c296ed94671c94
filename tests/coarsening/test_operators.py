"""The three operators: plane waves, means, reflections, shifts, other sizes, and bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subgrid.coarsening import COARSENERS, Operator1, Operator2, Operator3
from subgrid.errors import ShapeError
from subgrid.grids import PeriodicGrid, downscale
from subgrid.systems import TwoLayerQG

OPERATORS = (Operator1, Operator2, Operator3)
FINE = PeriodicGrid(48, 32, 1.0e6, 8.0e5)

# coarse (nx, ny) of 48 × 32; the last three have ratios that are not whole
WHOLE = ((24, 16), (12, 8), (16, 8), (24, 4))
BROKEN = ((40, 16), (20, 30), (46, 6))
seeds = st.integers(0, 2**31 - 1)

# Multipliers of gcm-filters 0.5.1 (REGULAR, GAUSSIAN, dx_min = 1, filter_scale = key, default
# number of steps) on a 64² grid, measured with a point source, at these waves.
GCM_WAVES = ((8, 0), (12, 20), (4, 14))
GCM_FILTERS = {2: (0.90771, 0.5127, 0.745965), 4: (0.678747, 0.071089, 0.307022)}


def _noise(seed, grid=FINE, shape=()):
    return np.random.default_rng(seed).normal(size=(*shape, *grid.shape))


def _wave(grid, m, n, phase=0.3):
    """Return cos(2π(m x/L_x + n y/L_y) + phase) at the grid points i·Δ, the first one at 0."""
    i, j = np.arange(grid.nx)[None, :], np.arange(grid.ny)[:, None]
    return np.cos(2 * np.pi * (m * i / grid.nx + n * j / grid.ny) + phase)


@pytest.mark.parametrize(("nx", "ny"), WHOLE + BROKEN)
@pytest.mark.parametrize("operator", [Operator1, Operator2])
def test_spectral_operators_keep_plane_waves(operator, nx, ny, float64):
    """A resolved wave comes out as the same wave on the coarse points times the multiplier."""
    coarse = FINE.resized(nx, ny)
    coarsen = operator(FINE, coarse)
    m, n = nx // 2 - 1, -(ny // 2 - 1)
    w = 2 * np.pi * np.hypot(m / nx, n / ny)
    expected = {
        Operator1: np.exp(-23.6 * max(w - 0.65 * np.pi, 0.0) ** 4),
        Operator2: np.exp(-(w**2) / 6),
    }[operator]
    out = coarsen(jnp.asarray(_wave(FINE, m, n)))
    # rounding of two transforms of values of order one
    np.testing.assert_allclose(out, expected * _wave(coarse, m, n), atol=1e-13)


@pytest.mark.parametrize(("nx", "ny"), WHOLE)
def test_operator3_on_a_plane_wave(nx, ny, float64):
    """The block mean of e^{iθj} over ρ cells is sin(ρθ/2)/(ρ sin(θ/2)), centred on the block."""
    coarse = FINE.resized(nx, ny)
    ratio_x, ratio_y = FINE.nx // nx, FINE.ny // ny
    m, n = 2, 1
    angle_x, angle_y = 2 * np.pi * m / FINE.nx, 2 * np.pi * n / FINE.ny
    gaussian = np.exp(
        -((2 * ratio_x * np.sin(angle_x / 2)) ** 2 + (2 * ratio_y * np.sin(angle_y / 2)) ** 2) / 24
    )
    block = np.prod(
        [
            np.sin(r * a / 2) / (r * np.sin(a / 2))
            for r, a in ((ratio_x, angle_x), (ratio_y, angle_y))
        ]
    )
    centre = 0.3 + angle_x * (ratio_x - 1) / 2 + angle_y * (ratio_y - 1) / 2
    out = Operator3(FINE, coarse)(jnp.asarray(_wave(FINE, m, n)))
    np.testing.assert_allclose(out, gaussian * block * _wave(coarse, m, n, centre), atol=1e-13)


@pytest.mark.parametrize("ratio", [2, 4])
def test_operator3_is_near_the_polynomial_of_gcm_filters(ratio):
    """Smoothing alone, seen through the block mean of a wave, within the docstring's bounds."""
    fine = PeriodicGrid(64)
    coarsen = Operator3(fine, fine.resized(64 // ratio))
    for (m, n), published in zip(GCM_WAVES, GCM_FILTERS[ratio], strict=True):
        wave = _wave(fine, m, n)
        blocks = wave.reshape(64 // ratio, ratio, 64 // ratio, ratio).mean((1, 3))
        smooth = np.asarray(coarsen(jnp.asarray(wave, jnp.float32)))
        ours = np.sum(smooth * blocks) / np.sum(blocks**2)
        assert ours == pytest.approx(published, abs={2: 0.0009, 4: 0.0024}[ratio])


@settings(max_examples=12, deadline=None)
@given(seed=seeds, size=st.sampled_from(WHOLE), operator=st.sampled_from(OPERATORS))
def test_linear_mean_preserving_and_symmetric(seed, size, operator):
    """C(ax + by) = aCx + bCy, means stay, C commutes with both reflections, never amplifies."""
    with jax.enable_x64(True):
        coarsen = operator(FINE, FINE.resized(*size))
        x, y = jnp.asarray(_noise(seed)), jnp.asarray(_noise(seed + 1))
        out = coarsen(x)
        tolerance = {"atol": 1e-13}  # rounding of transforms of values of order one
        np.testing.assert_allclose(coarsen(2 * x - 3 * y), 2 * out - 3 * coarsen(y), **tolerance)
        np.testing.assert_allclose(out.mean(), x.mean(), **tolerance)
        for axis in (-1, -2):
            mirrored = jnp.flip(x, axis)
            expected = jnp.flip(out, axis)
            if operator is not Operator3:
                # the spectral maps keep point 0, so they mirror about it and not about the faces
                mirrored, expected = jnp.roll(mirrored, 1, axis), jnp.roll(expected, 1, axis)
            np.testing.assert_allclose(coarsen(mirrored), expected, **tolerance)
        assert jnp.mean(out**2) <= jnp.mean(x**2) * (1 + 1e-12)


@settings(max_examples=12, deadline=None)
@given(
    seed=seeds,
    size=st.sampled_from(WHOLE),
    operator=st.sampled_from(OPERATORS),
    cells=st.tuples(st.integers(-5, 5), st.integers(-5, 5)),
)
def test_shift_by_coarse_cells_commutes(seed, size, operator, cells):
    with jax.enable_x64(True):
        coarse = FINE.resized(*size)
        coarsen = operator(FINE, coarse)
        x = jnp.asarray(_noise(seed))
        fine_cells = (cells[0] * FINE.ny // coarse.ny, cells[1] * FINE.nx // coarse.nx)
        shifted = coarsen(jnp.roll(x, fine_cells, (-2, -1)))
        np.testing.assert_allclose(shifted, jnp.roll(coarsen(x), cells, (-2, -1)), atol=1e-13)


def test_operator1_shifts_by_any_distance(float64):
    """A shift by a part of a coarse cell is a phase of the spectrum: Operator1 commutes with it."""
    coarse = FINE.resized(16, 16)
    coarsen = Operator1(FINE, coarse)
    x = jnp.asarray(_noise(3))
    phase = lambda grid: np.exp(-1j * (grid.k[None, :] * FINE.dx + grid.l[:, None] * FINE.dy))  # noqa: E731
    moved = np.fft.irfft2(np.fft.rfft2(coarsen(x)) * phase(coarse), s=coarse.shape)
    # the multiplier at the Nyquist wave, which has no phase, is zero: rounding only
    np.testing.assert_allclose(coarsen(jnp.roll(x, (1, 1), (-2, -1))), moved, atol=1e-13)


def test_operator1_is_truncation_times_filter(float64):
    """Away from the filtered waves Operator1 is D."""
    coarse = FINE.resized(24, 16)
    x = np.fft.rfft2(_noise(4))
    keep = np.hypot(FINE.k[None, :] * coarse.dx, FINE.l[:, None] * coarse.dy) < 0.65 * np.pi
    smooth = jnp.asarray(np.fft.irfft2(x * keep, s=FINE.shape))
    np.testing.assert_allclose(
        Operator1(FINE, coarse)(smooth), downscale(smooth, 16, 24), atol=1e-13
    )


@pytest.mark.parametrize(("size", "largest"), [(32, 1e-13), (48, 1e-6)])
def test_operator1_in_two_steps(size, largest, float64):
    """128² → 64² → size is 128² → size, but for waves that the filter at 64² damps too.

    Why a dataset may be coarsened further from its largest stored grid: at half of it the last
    filter is zero where the first is not one; at 3/4 of it a few waves differ.
    """
    fine = PeriodicGrid(128)
    middle, coarse = fine.resized(64), fine.resized(size)
    x = jnp.asarray(_noise(7, fine))
    twice = Operator1(middle, coarse)(Operator1(fine, middle)(x))
    once = Operator1(fine, coarse)(x)
    assert jnp.max(jnp.abs(twice - once)) < largest * jnp.std(once)


def test_states_keep_structure_dtype_and_leading_axes():
    state = TwoLayerQG.State(jnp.asarray(_noise(5, shape=(2,)), jnp.float32))
    batch = TwoLayerQG.State(jnp.asarray(_noise(6, shape=(3, 2)), jnp.float32))
    for operator in OPERATORS:
        coarsen = operator(FINE, FINE.resized(12, 8))
        out = coarsen(state)
        assert isinstance(out, TwoLayerQG.State)
        assert out.q.shape == (2, 8, 12)
        assert out.q.dtype == jnp.float32
        # one and the same float32 arithmetic, batched by hand, by vmap, and compiled
        tolerance = {"rtol": 1e-5, "atol": 1e-6}
        by_vmap = jax.jit(jax.vmap(coarsen))(batch).q
        np.testing.assert_allclose(coarsen(batch).q, by_vmap, **tolerance)
        assert not jax.tree.leaves(coarsen)
        assert hash(coarsen) == hash(operator(FINE, FINE.resized(12, 8)))


def test_registry_builds_every_operator():
    names = ["operator1", "operator2", "operator3", "staggered-mean", "kept-variables"]
    assert COARSENERS.names() == names
    for name, operator in zip(names[:3], OPERATORS, strict=True):
        assert COARSENERS.get(name) is operator
    assert all(line for _, line in COARSENERS.describe())


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("size", [(48, 32), (48, 16), (24, 32), (96, 64)])
def test_coarse_must_be_smaller(operator, size):
    with pytest.raises(ShapeError, match=rf"fewer cells.*coarse nx = {size[0]}, ny = {size[1]}"):
        operator(FINE, FINE.resized(*size))


@pytest.mark.parametrize("operator", OPERATORS)
def test_domains_must_agree(operator):
    with pytest.raises(ShapeError, match=r"length_y is 800000.0 m \(fine\) and 1000000.0 m"):
        operator(FINE, PeriodicGrid(24, 16, 1.0e6, 1.0e6))


def test_odd_sizes_are_refused():
    with pytest.raises(ValueError, match="nx must be an even whole number of at least 4, got 15"):
        Operator1(FINE, FINE.resized(15, 16))


def test_operator3_needs_whole_ratios():
    message = r"nx = 20 does not divide 48. Choose one of \[4, 6, 8, 12, 16, 24\]"
    with pytest.raises(ValueError, match=message):
        Operator3(FINE, FINE.resized(20, 16))
    with pytest.raises(ValueError, match="ny = 12 does not divide 32"):
        Operator3(FINE, FINE.resized(24, 12))


def test_state_must_be_on_the_fine_grid():
    coarsen = Operator1(FINE, FINE.resized(24, 16))
    with pytest.raises(ShapeError, match=r"end in \(32, 48\).*got one of shape \(2, 48, 32\)"):
        coarsen(TwoLayerQG.State(jnp.zeros((2, 48, 32))))
