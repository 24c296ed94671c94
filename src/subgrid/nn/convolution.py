"""Periodic convolutions of one sample, channels first: layers of networks.

On a plane, with indices modulo the grid and p = (k - 1)/2:

    out[o, y, x] = b[o] + Σ_{c, i, j} w[i, j, c, o] in[c, y + i - p, x + j - p]

a cross-correlation, as in every machine-learning library. How it is computed stands in
`subgrid.nn.correlation`.
"""

import abc
import functools
import math
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from subgrid.errors import ConfigError, ShapeError
from subgrid.nn.correlation import correlate
from subgrid.numbers import whole_number


class _AbstractConvolution(eqx.Module):
    """A layer of weights and a bias; `kernel_size` k is odd.

    It works in the precision of its input, float32 or float64, to which the weights are cast.
    """

    bias: eqx.AbstractVar[Float[Array, " out"]]
    in_channels: eqx.AbstractVar[int]
    out_channels: eqx.AbstractVar[int]
    kernel_size: eqx.AbstractVar[int]
    spatial_dims: ClassVar[int] = 2

    @abc.abstractmethod
    def _convolved(self, field: Float[Array, "channel *space"]) -> Float[Array, "out *space"]:
        """Return the output without the bias, for weights in the precision of the field."""

    def __call__(self, field: Float[Array, "channel *space"]) -> Float[Array, "out *space"]:
        """Return the convolved sample; channels first in and out.

        Raises ShapeError for another number of channels than `in_channels`, TypeError for float16.
        """
        check_sample(field, self.in_channels, self.spatial_dims)
        cast = jax.tree.map(lambda weight: weight.astype(field.dtype), self)
        return cast._convolved(field) + cast.bias.reshape(-1, *[1] * self.spatial_dims)


class Conv2d(_AbstractConvolution):
    """Convolves one sample [in, y, x] on a doubly periodic grid and gives [out, y, x].

    `kernel_size` k is odd. `weight[i, j, in, out]`: i along y, j along x; `bias[out]`. Both start
    uniform in ±1/√(in k²). Works in the precision of its input, float32 or float64; the weights are
    cast to it. Raises ConfigError for sizes that are not positive or an even k.
    """

    weight: Float[Array, "k k in out"]
    bias: Float[Array, " out"]
    in_channels: int = eqx.field(static=True)
    out_channels: int = eqx.field(static=True)
    kernel_size: int = eqx.field(static=True)

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, *, key: PRNGKeyArray):
        inputs, out, taps = sizes = _checked_sizes(in_channels, out_channels, kernel_size)
        self.in_channels, self.out_channels, self.kernel_size = sizes
        limit, keys = 1 / math.sqrt(inputs * taps**2), jax.random.split(key)
        self.weight = _draw(keys[0], (taps, taps, inputs, out), limit)
        self.bias = _draw(keys[1], (out,), limit)

    def _convolved(self, field: Float[Array, "channel y x"]) -> Float[Array, "out y x"]:
        return correlate(field[:, None], self.weight)[:, 0]

    def flops(self, ny: int, nx: int) -> int:
        """Return the floating-point operations of one sample: 2 k² in out per grid point."""
        return 2 * self.kernel_size**2 * self.in_channels * self.out_channels * ny * nx


class Conv1d(_AbstractConvolution):
    """Convolves one sample [in, x] on a periodic line and gives [out, x].

        out[o, x] = b[o] + Σ_{c, i} w[i, c, o] in[c, x + i - p]

    `kernel_size` k is odd. `weight[i, in, out]` and `bias[out]` start uniform in ±1/√(in k).
    Precision and errors as `Conv2d`.
    """

    weight: Float[Array, "k in out"]
    bias: Float[Array, " out"]
    in_channels: int = eqx.field(static=True)
    out_channels: int = eqx.field(static=True)
    kernel_size: int = eqx.field(static=True)
    spatial_dims: ClassVar[int] = 1

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, *, key: PRNGKeyArray):
        inputs, out, taps = sizes = _checked_sizes(in_channels, out_channels, kernel_size)
        self.in_channels, self.out_channels, self.kernel_size = sizes
        limit, keys = 1 / math.sqrt(inputs * taps), jax.random.split(key)
        self.weight = _draw(keys[0], (taps, inputs, out), limit)
        self.bias = _draw(keys[1], (out,), limit)

    def _convolved(self, field: Float[Array, "channel x"]) -> Float[Array, "out x"]:
        reach, cells = self.kernel_size // 2, field.shape[-1]
        # a stencil may be wider than the domain, so indices wrap as often as they must
        taps = jnp.arange(-reach, reach + 1)[:, None] + jnp.arange(cells)[None]
        return jnp.einsum("kio,ikx->ox", self.weight, field[:, taps % cells])

    def flops(self, nx: int) -> int:
        """Return the floating-point operations of one sample: 2 k in out per cell."""
        return 2 * self.kernel_size * self.in_channels * self.out_channels * nx


class SeparableConv2d(_AbstractConvolution):
    """Convolves each channel by its own kernel, then mixes channels: [in, y, x] to [out, y, x].

        out[o, y, x] = b[o] + Σ_c m[c, o] Σ_{i, j} d[i, j, c] in[c, y + i - p, x + j - p]

    (k² + out) products per input channel and grid point, where a convolution takes k² out (Howard
    et al. 2017, arXiv:1704.04861). `depthwise[i, j, in]`, `pointwise[in, out]`, `bias[out]`: the
    first starts uniform in ±1/k, the others in ±1/√in. Precision and errors as `Conv2d`.
    """

    depthwise: Float[Array, "k k in"]
    pointwise: Float[Array, "in out"]
    bias: Float[Array, " out"]
    in_channels: int = eqx.field(static=True)
    out_channels: int = eqx.field(static=True)
    kernel_size: int = eqx.field(static=True)

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, *, key: PRNGKeyArray):
        inputs, out, taps = sizes = _checked_sizes(in_channels, out_channels, kernel_size)
        self.in_channels, self.out_channels, self.kernel_size = sizes
        limit, keys = 1 / math.sqrt(inputs), jax.random.split(key, 3)
        self.depthwise = _draw(keys[0], (taps, taps, inputs), 1 / taps)
        self.pointwise = _draw(keys[1], (inputs, out), limit)
        self.bias = _draw(keys[2], (out,), limit)

    def _convolved(self, field: Float[Array, "channel y x"]) -> Float[Array, "out y x"]:
        return jnp.tensordot(self.pointwise.T, correlate_each(field, self.depthwise), 1)

    def flops(self, ny: int, nx: int) -> int:
        """Return the floating-point operations of one sample: 2 in (k² + out) per grid point."""
        return 2 * self.in_channels * (self.kernel_size**2 + self.out_channels) * ny * nx


@functools.partial(jax.jit, inline=True)
def correlate_each(
    field: Float[Array, "c y x"], weight: Float[Array, "k k c"]
) -> Float[Array, "c y x"]:
    """Return the periodic cross-correlation of each channel with its own kernel."""
    reach, (_, ny, nx) = weight.shape[0] // 2, field.shape
    padded = jnp.pad(field, ((0, 0), (reach, reach), (reach, reach)), mode="wrap")
    return jax.lax.platform_dependent(
        padded, weight, cpu=functools.partial(_by_shifts, ny=ny, nx=nx), default=_by_convolution
    )


def _by_shifts(
    padded: Float[Array, "c yy xx"], weight: Float[Array, "k k c"], ny: int, nx: int
) -> Float[Array, "c y x"]:
    """Return the sum over taps of shifted fields: one fused loop on CPU, also inside `scan`."""
    taps = range(weight.shape[0])
    terms = [
        weight[i, j][:, None, None] * padded[:, i : i + ny, j : j + nx] for i in taps for j in taps
    ]
    return functools.reduce(jnp.add, terms)


def _by_convolution(
    padded: Float[Array, "c yy xx"], weight: Float[Array, "k k c"]
) -> Float[Array, "c y x"]:
    kernel, layout = weight[:, :, None, :], ("NCHW", "HWIO", "NCHW")
    options = {"dimension_numbers": layout, "feature_group_count": weight.shape[-1]}
    return jax.lax.conv_general_dilated(padded[None], kernel, (1, 1), "VALID", **options)[0]


def _draw(key: PRNGKeyArray, shape: tuple[int, ...], limit: float) -> Array:
    """Return float32 weights, uniform in ±limit.

    Drawn in a row: the same numbers, but XLA takes a second to compile draws of four axes.
    """
    drawn = jax.random.uniform(key, (math.prod(shape),), minval=-limit, maxval=limit)
    return drawn.reshape(shape)


def _checked_sizes(in_channels: int, out_channels: int, kernel_size: int) -> tuple[int, int, int]:
    """Return these as ints.

    Raises ConfigError for numbers of channels that are not positive or an even kernel size.
    """
    in_channels = whole_number("in_channels", in_channels, least=0)
    out_channels = whole_number("out_channels", out_channels, least=0)
    kernel_size = whole_number("kernel_size", kernel_size, least=0)
    if in_channels < 1 or out_channels < 1:
        raise ConfigError(
            f"a convolution needs at least one channel in and out, got {in_channels} and "
            f"{out_channels}."
        )
    if kernel_size % 2 == 0:
        raise ConfigError(
            f"kernel_size = {kernel_size}: must be odd and positive (1, 3, 5, …), so that the "
            "kernel has a centre."
        )
    return in_channels, out_channels, kernel_size


def check_sample(field: Array, channels: int, spatial_dims: int = 2) -> None:
    """Raise ShapeError or TypeError unless `field` is one sample in float32 or float64.

    That is, [channels, y, x], or [channels, x] with one of `spatial_dims`.
    """
    if field.ndim != 1 + spatial_dims or field.shape[0] != channels:
        axes = "y, x" if spatial_dims == 2 else "x"
        raise ShapeError(
            f"the network takes one sample of shape [{channels}, {axes}], got {list(field.shape)}. "
            "Batches go through jax.vmap."
        )
    if field.dtype not in (jnp.float32, jnp.float64):
        raise TypeError(
            f"the network takes float32 or float64, got {field.dtype}: sums over thousands of taps "
            "lose their digits in half precision. Cast the input with .astype(jnp.float32)."
        )
