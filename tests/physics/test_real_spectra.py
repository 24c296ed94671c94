"""Stepped spectra stay those of real fields."""

import equinox as eqx
import jax
import numpy as np
import pytest

from subgrid.stepping import repeat
from subgrid.systems import BarotropicVorticity, TwoLayerQG


def not_real(hat: np.ndarray, shape: tuple[int, int]) -> float:
    """Return the root-mean-square share of a spectrum that its real field does not have."""
    hat = np.asarray(hat, np.complex128)
    again = np.fft.rfft2(np.fft.irfft2(hat, s=shape))
    return float(np.linalg.norm(hat - again) / np.linalg.norm(again))


@pytest.mark.parametrize("dealias", [False, True])
@pytest.mark.parametrize("cls", [TwoLayerQG, BarotropicVorticity])
def test_a_stepped_spectrum_without_a_filter_is_that_of_its_field(cls, dealias):
    quasigeostrophic = cls is TwoLayerQG
    options = {"filter_sharpness": 0.0} if quasigeostrophic else {"beta": 0.5}
    system = cls(16, 12, dealias=dealias, **options)
    model = system.model(3600.0 if quasigeostrophic else 1e-3)
    like = system.initial_state(key=jax.random.key(0))
    state = jax.tree.map(
        lambda leaf: (
            (1e-5 if quasigeostrophic else 1.0) * jax.random.normal(jax.random.key(1), leaf.shape)
        ),
        like,
    )
    run = eqx.filter_jit(lambda carry: repeat(lambda c, _: model.step(c), carry, 200))
    evolved = run(model.init(state)).evolved
    hat = evolved.real + 1j * evolved.imag if quasigeostrophic else evolved.vorticity
    # each of 200 forward transforms leaves 1e-7 of its small increment
    assert not_real(hat, system.grid.shape) < 3e-7
