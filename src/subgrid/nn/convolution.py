"""Periodic two-dimensional convolution: a layer of networks.

    out[o, y, x] = b[o] + Σ_{c, i, j} w[i, j, c, o] in[c, y + i - p, x + j - p],   p = (k - 1)/2

with indices modulo the grid: a cross-correlation, as in every machine-learning library. How it is
computed stands in `subgrid.nn.correlation`.
"""

import math
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from subgrid.errors import ConfigError, ShapeError
from subgrid.nn.correlation import correlate
from subgrid.numbers import whole_number


class Conv2d(eqx.Module):
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
    spatial_dims: ClassVar[int] = 2

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, *, key: PRNGKeyArray):
        sizes = checked_sizes(in_channels, out_channels, kernel_size)
        in_channels, out_channels, kernel_size = sizes
        self.in_channels, self.out_channels, self.kernel_size = sizes
        limit = 1 / math.sqrt(in_channels * kernel_size**2)
        weight_key, bias_key = jax.random.split(key)
        shape = (kernel_size, kernel_size, in_channels, out_channels)
        self.weight = draw_weights(weight_key, shape, limit)
        self.bias = draw_weights(bias_key, (out_channels,), limit)

    def __call__(self, field: Float[Array, "channel y x"]) -> Float[Array, "out y x"]:
        """Return the convolved sample; channels first in and out.

        Raises ShapeError for another number of channels than `in_channels`, TypeError for float16.
        """
        check_sample(field, self.in_channels)
        weight, bias = self.weight.astype(field.dtype), self.bias.astype(field.dtype)
        return correlate(field[:, None], weight)[:, 0] + bias[:, None, None]

    def flops(self, ny: int, nx: int) -> int:
        """Return the floating-point operations of one sample: 2 k² in out per grid point."""
        return 2 * self.kernel_size**2 * self.in_channels * self.out_channels * ny * nx


def draw_weights(key: PRNGKeyArray, shape: tuple[int, ...], limit: float) -> Array:
    """Return float32 weights, uniform in ±limit.

    Drawn in a row: the same numbers, but XLA takes a second to compile draws of four axes.
    """
    drawn = jax.random.uniform(key, (math.prod(shape),), minval=-limit, maxval=limit)
    return drawn.reshape(shape)


def checked_sizes(in_channels: int, out_channels: int, kernel_size: int) -> tuple[int, int, int]:
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
