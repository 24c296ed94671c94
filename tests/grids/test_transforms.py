"""Transforms of several fields: both groupings against `jnp.fft`, their gradients, under vmap."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from subgrid.grids import transforms
from subgrid.grids.transforms import forward_of_each, inverse_of_each

SHAPES = pytest.mark.parametrize(
    "shape", [(16, 16), (12, 20), (15, 9), (96, 96), (128, 96)], ids=str
)
FIELDS = 3


@pytest.fixture(params=["batched", "separate"])
def grouping(request, monkeypatch):
    """Both branches at every shape, whatever the device would choose for its size."""
    limit = 1 if request.param == "separate" else 10**9
    monkeypatch.setattr(transforms, "SEPARATE_FROM", limit)
    return request.param


def _fields(shape, *batch):
    return list(jax.random.normal(jax.random.key(0), (FIELDS, *batch, *shape), jnp.float64))


def _close(found, wanted):
    # float64, another order of operations: some ulp of the largest value
    scale = float(jnp.abs(wanted).max())
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-13 * scale)


def _power(spectra):
    """A number that depends on every coefficient in another way."""
    weights = jnp.arange(1.0, 1 + spectra[0].size).reshape(spectra[0].shape) / spectra[0].size
    return sum(n * (weights * jnp.abs(hat) ** 2).sum() for n, hat in enumerate(spectra, 1))


@pytest.mark.usefixtures("float64", "grouping")
@SHAPES
def test_transforms_are_those_of_numpy(shape):
    fields = _fields(shape)
    spectra = forward_of_each(fields)
    assert len(spectra) == FIELDS
    for field, hat in zip(fields, spectra, strict=True):
        _close(hat, np.fft.rfft2(field))
    for field, back in zip(fields, inverse_of_each(spectra, shape), strict=True):
        assert back.shape == shape
        _close(back, field)


@pytest.mark.usefixtures("float64", "grouping")
@SHAPES
def test_gradients_are_those_of_plain_transforms(shape):
    fields = _fields(shape)

    def ours(parts):
        filtered = [hat * jnp.abs(hat) for hat in forward_of_each(parts)]
        return _power(forward_of_each([u**2 for u in inverse_of_each(filtered, shape)]))

    def plain(parts):
        filtered = [hat * jnp.abs(hat) for hat in map(jnp.fft.rfft2, parts)]
        return _power([jnp.fft.rfft2(jnp.fft.irfft2(hat, s=shape) ** 2) for hat in filtered])

    for found, wanted in zip(jax.grad(ours)(fields), jax.grad(plain)(fields), strict=True):
        _close(found, wanted)


@pytest.mark.usefixtures("float64", "grouping")
@SHAPES
def test_vmap_is_one_field_after_another(shape):
    fields = _fields(shape, 2)
    mapped = jax.vmap(lambda parts: inverse_of_each(forward_of_each(parts), shape))(fields)
    hats = jax.vmap(forward_of_each)(fields)
    for field, hat, back in zip(fields, hats, mapped, strict=True):
        _close(hat, np.fft.rfft2(field))
        _close(back, field)


@pytest.mark.parametrize(("size", "batched"), [(95, True), (96, False)])
def test_grouping_changes_at_96(size, batched):
    """What is compiled for a CPU: one batched transform below 96², one per field from there on."""
    fields = [jnp.zeros((size, size), jnp.float32)] * FIELDS
    program = jax.jit(forward_of_each).trace(fields).lower(lowering_platforms=("cpu",)).as_text()
    assert (f"tensor<{FIELDS}x{size}x{size // 2 + 1}xcomplex<f32>>" in program) == batched
