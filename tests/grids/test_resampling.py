"""D and D†: exact pair, adjoint, symmetric; and, with legacy=True, the published code's values."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subgrid.errors import ShapeError
from subgrid.grids import downscale, interpolate, low_pass, truncate_spectrum, upscale

# (fine ny, nx), (coarse ny, nx): squares, rectangles, whole and broken ratios, one axis only
PAIRS = (
    ((32, 32), (24, 24)),
    ((24, 40), (12, 20)),
    ((20, 32), (14, 6)),
    ((16, 24), (16, 12)),
    ((18, 16), (4, 16)),
)
pairs = st.sampled_from(PAIRS)
seeds = st.integers(0, 2**31 - 1)
examples = settings(max_examples=25, deadline=None)

# rounding of a pair of float64 transforms of values of order one
ROUNDING = {"atol": 2e-14}


@functools.partial(jax.jit, static_argnums=(1, 2))
def _down(field, shape, legacy=False):
    return downscale(field, *shape, legacy=legacy)


@functools.partial(jax.jit, static_argnums=(1, 2))
def _up(field, shape, legacy=False):
    return upscale(field, *shape, legacy=legacy)


def _noise(seed, shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def _without_nyquist(field):
    hat = np.fft.rfft2(field)
    hat[field.shape[0] // 2], hat[:, -1] = 0, 0
    return jnp.asarray(np.fft.irfft2(hat, s=field.shape))


def _rms(field):
    return float(jnp.sqrt(jnp.mean(field**2)))


@examples
@given(seed=seeds, pair=pairs)
def test_down_after_up_is_the_identity(seed, pair):
    """D D† = I on coarse fields without Nyquist content, and in general removes just that."""
    fine, coarse = pair
    with jax.enable_x64(True):
        field = _noise(seed, coarse)
        expected = _without_nyquist(field)
        np.testing.assert_allclose(_down(_up(field, fine), coarse), expected, **ROUNDING)
        np.testing.assert_allclose(_down(_up(expected, fine), coarse), expected, **ROUNDING)


@examples
@given(seed=seeds, pair=pairs)
def test_up_is_the_scaled_transpose(seed, pair):
    """⟨D x, y⟩ = ⟨x, D† y⟩/ρ² for any x and y, Nyquist content included."""
    fine, coarse = pair
    ratio = fine[0] * fine[1] / (coarse[0] * coarse[1])
    with jax.enable_x64(True):
        x, y = _noise(seed, fine), _noise(seed + 1, coarse)
        left = float(jnp.sum(_down(x, coarse) * y))
        right = float(jnp.sum(x * _up(y, fine))) / ratio
        # rounding of sums of a few hundred products of order one
        assert left == pytest.approx(right, abs=1e-11)


@pytest.mark.parametrize("pair", PAIRS)
def test_the_transpose_by_jax_agrees(pair, float64):
    """The same law through autodiff: the vector-Jacobian product of D is D†/ρ²."""
    fine, coarse = pair
    ratio = fine[0] * fine[1] / (coarse[0] * coarse[1])
    y = _noise(1, coarse)
    (pulled,) = jax.vjp(lambda x: _down(x, coarse), _noise(0, fine))[1](y)
    np.testing.assert_allclose(pulled * ratio, _up(y, fine), **ROUNDING)


@examples
@given(seed=seeds, pair=pairs, axis=st.sampled_from((0, 1)))
def test_both_commute_with_reflections(seed, pair, axis):
    """Mirroring about grid point 0 (the point that both grids share) in x or in y."""
    fine, coarse = pair

    def mirror(field):
        return jnp.roll(jnp.flip(field, axis), 1, axis)

    with jax.enable_x64(True):
        x, y = _noise(seed, fine), _noise(seed + 1, coarse)
        np.testing.assert_allclose(_down(mirror(x), coarse), mirror(_down(x, coarse)), **ROUNDING)
        np.testing.assert_allclose(_up(mirror(y), fine), mirror(_up(y, fine)), **ROUNDING)


@examples
@given(seed=seeds, pair=pairs)
def test_mean_energy_and_projection(seed, pair):
    """Means stay; D† keeps the mean square of what it carries; D† D is a projection."""
    fine, coarse = pair
    with jax.enable_x64(True):
        x, y = _noise(seed, fine), _noise(seed + 1, coarse)
        np.testing.assert_allclose(_down(x, coarse).mean(), x.mean(), **ROUNDING)
        np.testing.assert_allclose(_up(y, fine).mean(), y.mean(), **ROUNDING)
        kept = _without_nyquist(y)
        assert _rms(_up(y, fine)) == pytest.approx(_rms(kept), rel=1e-12)
        once = _up(_down(x, coarse), fine)
        np.testing.assert_allclose(_up(_down(once, coarse), fine), once, **ROUNDING)


@examples
@given(seed=seeds)
def test_steps_compose(seed):
    """32 → 24 → 12 is 32 → 12, and back."""
    with jax.enable_x64(True):
        x, y = _noise(seed, (32, 32)), _noise(seed + 1, (12, 12))
        np.testing.assert_allclose(
            _down(_down(x, (24, 24)), (12, 12)), _down(x, (12, 12)), **ROUNDING
        )
        np.testing.assert_allclose(_up(_up(y, (24, 24)), (32, 32)), _up(y, (32, 32)), **ROUNDING)


def test_up_interpolates(float64):
    """At whole ratios the fine field passes through the coarse values (less their Nyquist part)."""
    field = _without_nyquist(_noise(0, (12, 10)))
    np.testing.assert_allclose(_up(field, (24, 40))[::2, ::4], field, **ROUNDING)


@pytest.mark.parametrize("shapes", [((8, 8), (16, 16)), ((6, 8), (18, 32)), ((8, 6), (24, 12))])
def test_interpolation_keeps_every_value_nyquist_waves_included(float64, shapes):
    (ny, nx), (fine_y, fine_x) = shapes
    field = jax.random.normal(jax.random.key(3), (2, ny, nx))
    fine = interpolate(field, fine_y, fine_x)
    np.testing.assert_allclose(fine[:, :: fine_y // ny, :: fine_x // nx], field, atol=1e-13)
    np.testing.assert_allclose(fine.mean(axis=(1, 2)), field.mean(axis=(1, 2)), atol=1e-13)
    # but for these waves it is D†
    smooth = downscale(upscale(field, 4 * ny, 4 * nx), ny, nx)
    np.testing.assert_allclose(
        interpolate(smooth, fine_y, fine_x), upscale(smooth, fine_y, fine_x), atol=1e-13
    )
    with pytest.raises(ShapeError, match="goes to finer grids"):
        interpolate(field, ny, fine_x)


def test_dtype_leading_axes_and_own_size():
    field = jnp.ones((3, 2, 16, 16), jnp.float32)
    assert downscale(field, 8, 8).shape == (3, 2, 8, 8)
    assert downscale(field, 8, 8).dtype == jnp.float32
    assert upscale(field, 32, 20).shape == (3, 2, 32, 20)
    assert downscale(field, 16, 16) is field
    assert upscale(field, 16, 16) is field


def test_wrong_direction_is_refused():
    field = jnp.zeros((16, 16))
    with pytest.raises(ShapeError, match=r"coarser grids: from \(16, 16\) to \(8, 32\)"):
        downscale(field, 8, 32)
    with pytest.raises(ShapeError, match=r"finer grids: from \(16, 16\) to \(32, 8\)"):
        upscale(field, 32, 8)


def test_low_pass_keeps_the_waves_up_to_the_cut(float64):
    y, x = np.mgrid[0:12, 0:16]
    # Nyquist is 8 waves along x and 6 along y: 5 waves are 0.625 of it there, 3 are 0.5 here
    kept = 2.0 + np.cos(2 * np.pi * 5 * x / 16) + np.sin(2 * np.pi * 3 * y / 12)
    both = np.cos(2 * np.pi * 5 * x / 16) * np.cos(2 * np.pi * 3 * y / 12)  # √(0.625² + 0.5²) = 0.8
    field = jnp.asarray(np.stack([kept, kept + 3 * both]))
    np.testing.assert_allclose(low_pass(field, 0.65), np.stack([kept, kept]), atol=1e-14)
    np.testing.assert_allclose(low_pass(field, 0.85), field, atol=1e-14)
    np.testing.assert_allclose(low_pass(field, 0.1), np.full((2, 12, 16), 2.0), atol=1e-14)


def test_truncate_spectrum_keeps_the_published_rows_and_columns():
    hat = jnp.asarray(np.arange(16 * 9).reshape(16, 9), jnp.complex64)
    kept = truncate_spectrum(hat, 8, 12, legacy=True)
    rows = [0, 1, 2, 3, 12, 13, 14, 15]
    np.testing.assert_array_equal(kept, np.asarray(hat)[rows, :7])
    zeroed = np.array(kept)
    zeroed[4], zeroed[:, -1] = 0, 0
    np.testing.assert_array_equal(truncate_spectrum(hat, 8, 12, legacy=False), zeroed)


FINE, COARSE = (128, 128), (96, 96)


def _wave(shape, m, n, phase=0.0):
    i, j = np.arange(shape[1])[None, :], np.arange(shape[0])[:, None]
    return jnp.asarray(np.cos(2 * np.pi * (m * i / shape[1] + n * j / shape[0]) + phase))


@pytest.mark.parametrize(
    ("m", "n", "phase", "before", "after"),
    [
        (48, 0, 0.0, 0.7071, 0.5),  # column Nyquist, crests on the points: halved
        (48, 0, np.pi / 2, 0.7071, 0.0),  # a sine is not seen by the coarse points
        (0, 48, 0.0, 0.7071, 0.5),  # row Nyquist likewise
        (0, 48, np.pi / 2, 0.7071, 0.0),
        (5, 48, 0.3, 0.7071, 0.0),  # l = +Nyquist is dropped ...
        (5, -48, 0.3, 0.7071, 0.7071),  # ... and l = -Nyquist kept: no symmetry in y
    ],
)
def test_legacy_down_at_the_nyquist_waves(m, n, phase, before, after, float64):
    """Amplitudes of the published code, 128² → 96² (shared facts §2.2)."""
    wave = _wave(FINE, m, n, phase)
    assert _rms(wave) == pytest.approx(before, abs=1e-4)
    assert _rms(_down(wave, COARSE, True)) == pytest.approx(after, abs=1e-4)
    # ours drops all of them
    assert _rms(_down(wave, COARSE)) == pytest.approx(0.0, abs=1e-13)


def test_legacy_down_halves_the_nyquist_column(float64):
    """Column Nyquist with l ≠ 0: half the spectral value of the other waves."""
    waves = _wave(FINE, 48, 7) + _wave(FINE, -48, 7)
    hat = np.fft.rfft2(_down(waves, COARSE, True)) / (96 * 96)
    # on the coarse points both waves are one, so their sum 2 cos(...) has |hat| = 1 at ±l
    np.testing.assert_allclose(np.abs(hat[[7, -7], -1]), 0.5, **ROUNDING)


@pytest.mark.parametrize(("m", "n", "after"), [(48, 0, 1.4142), (0, 48, 0.7071)])
def test_legacy_up_at_the_nyquist_waves(m, n, after, float64):
    """A column Nyquist wave is doubled (rms 1 → 1.414), a row Nyquist wave keeps its amplitude."""
    wave = _wave(COARSE, m, n)
    assert _rms(wave) == pytest.approx(1.0)
    assert _rms(_up(wave, FINE, True)) == pytest.approx(after, abs=1e-4)


def test_legacy_round_trip_halves_one_wave(float64):
    """D D† is the identity but for (k = 0, l = Nyquist), which comes back halved."""
    field = _noise(0, COARSE)
    found = np.fft.rfft2(_down(_up(field, FINE, True), COARSE, True))
    expected = np.fft.rfft2(field)
    expected[48, 0] /= 2
    # transforms of 10⁴ values of order one
    np.testing.assert_allclose(found, expected, atol=1e-10)


def test_legacy_pair_is_not_adjoint(float64):
    """Why the default differs: the published pair misses ⟨D x, y⟩ = ⟨x, D† y⟩/ρ² by far."""
    x, y = _noise(0, FINE), _noise(1, COARSE)
    left = float(jnp.sum(_down(x, COARSE, True) * y))
    right = float(jnp.sum(x * _up(y, FINE, True))) * (96 / 128) ** 2
    assert abs(left - right) > 0.1


def _by_sums(field, shape, nyquist: bool):
    """Return a field on another grid by sums over its waves, one axis after the other.

    Kept are the waves that both grids have; the Nyquist wave of the smaller one is left out, or,
    with `nyquist`, stands for both of its signs in equal parts: a cosine.
    """
    for axis, size in enumerate(shape):
        cells = field.shape[axis]
        few = min(cells, size)
        waves = np.arange((1 - few) // 2 + (few % 2 == 0), (few + 1) // 2)
        if nyquist and few % 2 == 0:
            waves = np.append(waves, few // 2)
        distance = np.arange(size)[:, None] / size - np.arange(cells)[None, :] / cells
        matrix = np.cos(2 * np.pi * waves * distance[..., None]).sum(axis=-1) / cells
        field = np.moveaxis(np.tensordot(matrix, field, (1, axis)), 0, axis)
    return field


# even and odd, down to a single cell; few of them, since each pair of shapes compiles
sides = st.sampled_from((1, 4, 5, 8))
_between = jax.jit(interpolate, static_argnums=(1, 2))


@settings(max_examples=12, deadline=None)
@given(seed=seeds, one=st.tuples(sides, sides), other=st.tuples(sides, sides))
def test_any_size_even_or_odd_in_either_axis(seed, one, other):
    """D, D† and the interpolation agree with sums over waves, which know no transform."""
    pairs = list(zip(one, other, strict=True))
    fine, coarse = (tuple(pick(*pair) for pair in pairs) for pick in (max, min))
    with jax.enable_x64(True):
        x, y = _noise(seed, fine), _noise(seed + 1, coarse)
        if fine != coarse:
            down, up = _down(x, coarse), _up(y, fine)
            np.testing.assert_allclose(down, _by_sums(x, coarse, False), **ROUNDING)
            np.testing.assert_allclose(up, _by_sums(y, fine, False), **ROUNDING)
            ratio = fine[0] * fine[1] / (coarse[0] * coarse[1])
            # the adjoint law, with the rounding of sums of a hundred products of order one
            assert float(jnp.sum(down * y)) == pytest.approx(
                float(jnp.sum(x * up)) / ratio, abs=1e-12
            )
        if fine[0] > coarse[0] and fine[1] > coarse[1]:
            between = _between(y, *fine)
            np.testing.assert_allclose(between, _by_sums(y, fine, True), **ROUNDING)


def test_low_pass_of_odd_sizes(float64):
    y, x = np.mgrid[0:9, 0:15]
    kept = 1 + np.cos(2 * np.pi * 4 * x / 15) + np.sin(2 * np.pi * 2 * y / 9)  # 0.53, 0.44 of it
    field = jnp.asarray(kept + np.sin(2 * np.pi * (7 * x / 15 - 4 * y / 9)))
    np.testing.assert_allclose(low_pass(field, 0.6), kept, atol=1e-14)


@pytest.mark.parametrize("size", [(0, 4), (4, 0), (-2, 4)])
def test_a_grid_has_a_cell(size):
    with pytest.raises(ShapeError, match="coarser"):
        downscale(jnp.zeros((8, 8)), *size)


@pytest.mark.parametrize("size", [(9, 4), (4, 10), (0, 4)])
def test_a_spectrum_is_cut_to_fewer_waves(size):
    with pytest.raises(ShapeError, match="cannot be cut"):
        truncate_spectrum(jnp.zeros((8, 5), jnp.complex64), *size)
