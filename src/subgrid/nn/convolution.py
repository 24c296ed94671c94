"""Periodic two-dimensional convolution that is fast outside and inside compiled loops.

    out[o, y, x] = b[o] + Σ_{c, i, j} w[i, j, c, o] in[c, y + i - p, x + j - p],   p = (k - 1)/2

with indices modulo the grid: a cross-correlation, as in every machine-learning library. Each tap
(i, j) is a shift of the grid and a matrix product over channels, and shifts commute with products.
So the k² taps can be written as one matrix product with shifts taken before it (gather: k shifted
copies of the input side by side) or after it (scatter: k shifted pieces of the product summed), on
each axis as one likes. XLA compiles a matrix product to the same fast code anywhere, while the
gradient of its CPU convolution falls to a few GFLOP/s inside `scan` (jax-ml/jax#12868). Gather
and scatter are each other's transposes, so differentiation gives matrix products again.

On other devices `jax.lax.conv_general_dilated` is used. Its float32 products follow the setting
`jax_default_matmul_precision`: on recent NVIDIA GPUs the default rounds the factors to TF32.
"""

import functools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from subgrid.errors import ConfigError, ShapeError


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

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, *, key: PRNGKeyArray):
        check_sizes(in_channels, out_channels, kernel_size)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = kernel_size
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
        return jnp.moveaxis(self.channels_last(jnp.moveaxis(field, 0, -1)), -1, 0)

    def channels_last(self, field: Float[Array, "y x in"]) -> Float[Array, "y x out"]:
        """Return the convolved sample with channels last in and out, the layout of the products."""
        weight, bias = self.weight.astype(field.dtype), self.bias.astype(field.dtype)
        return correlate(field, weight) + bias[None, None, :]

    def flops(self, ny: int, nx: int) -> int:
        """Return the floating-point operations of one sample: 2 k² in out per grid point."""
        return 2 * self.kernel_size**2 * self.in_channels * self.out_channels * ny * nx


def draw_weights(key: PRNGKeyArray, shape: tuple[int, ...], limit: float) -> Array:
    """Return float32 weights, uniform in ±limit.

    Drawn in a row: the same numbers, but XLA takes a second to compile draws of four axes.
    """
    drawn = jax.random.uniform(key, (math.prod(shape),), minval=-limit, maxval=limit)
    return drawn.reshape(shape)


def check_sizes(in_channels: int, out_channels: int, kernel_size: int) -> None:
    """Raise ConfigError for numbers of channels that are not positive or an even kernel size."""
    if in_channels < 1 or out_channels < 1:
        raise ConfigError(
            f"a convolution needs at least one channel in and out, got {in_channels} and "
            f"{out_channels}."
        )
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ConfigError(
            f"kernel_size = {kernel_size}: must be odd and positive (1, 3, 5, …), so that the "
            "kernel has a centre."
        )


def check_sample(field: Array, channels: int) -> None:
    """Raise ShapeError or TypeError unless `field` is [channels, y, x] in float32 or float64."""
    if field.ndim != 3 or field.shape[0] != channels:
        raise ShapeError(
            f"the network takes one sample of shape [{channels}, y, x], got {list(field.shape)}. "
            "Batches go through jax.vmap."
        )
    if field.dtype not in (jnp.float32, jnp.float64):
        raise TypeError(
            f"the network takes float32 or float64, got {field.dtype}: sums over thousands of taps "
            "lose their digits in half precision. Cast the input with .astype(jnp.float32)."
        )


@functools.partial(jax.jit, inline=True)  # one compilation, not one per operation, outside of jit
@jax.checkpoint  # keeps the input for the gradient, not its k shifted copies
def correlate(
    field: Float[Array, "y x in"], weight: Float[Array, "k k in out"]
) -> Float[Array, "y x out"]:
    """Return the periodic cross-correlation, by the faster of the two ways on the device."""
    return jax.lax.platform_dependent(
        field, weight, cpu=correlate_by_products, default=correlate_by_convolution
    )


def correlate_by_convolution(
    field: Float[Array, "y x in"], weight: Float[Array, "k k in out"]
) -> Float[Array, "y x out"]:
    """Return the periodic cross-correlation by `jax.lax.conv_general_dilated`."""
    reach = weight.shape[0] // 2
    padded = jnp.pad(field, ((reach, reach), (reach, reach), (0, 0)), mode="wrap")
    return jax.lax.conv_general_dilated(
        padded[None], weight, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )[0]


def correlate_by_products(
    field: Float[Array, "y x in"], weight: Float[Array, "k k in out"]
) -> Float[Array, "y x out"]:
    """Return the periodic cross-correlation by one matrix product over channels and taps.

    The time beyond the product itself goes into moving the shifted copies, so the order is the one
    that moves least per grid point: k² in numbers when both axes are gathered, k (in + out) when x
    is gathered and y scattered, k² out when both are scattered. The first suits the first layer of
    a network, the last its last layer, the middle one all others.
    """
    taps, _, channels, out = weight.shape
    moved = (taps * (channels + out), taps**2 * channels, taps**2 * out)
    if moved[0] == min(moved):
        matrix = weight.transpose(1, 2, 0, 3).reshape(taps * channels, taps * out)
        return _scatter(_gather(field, taps, 1) @ matrix, taps, 0)
    if moved[1] == min(moved):
        matrix = weight.reshape(taps**2 * channels, out)
        return _gather(_gather(field, taps, 1), taps, 0) @ matrix
    matrix = weight.transpose(2, 0, 1, 3).reshape(channels, taps**2 * out)
    return _scatter(_scatter(field @ matrix, taps, 0), taps, 1)


def _gather(field: Float[Array, "y x c"], taps: int, axis: int) -> Float[Array, "y x d"]:
    """Return the copies of the field shifted by each tap along the axis, side by side (d = k c)."""
    reach = taps // 2
    return jnp.concatenate([jnp.roll(field, reach - tap, axis) for tap in range(taps)], axis=-1)


def _scatter(products: Float[Array, "y x d"], taps: int, axis: int) -> Float[Array, "y x c"]:
    """Return the sum of the k parts of the channel axis, each shifted by its tap along the axis."""
    reach, channels = taps // 2, products.shape[-1] // taps
    total = jnp.zeros((*products.shape[:-1], channels), products.dtype)
    for tap in range(taps):
        part = products[..., tap * channels : (tap + 1) * channels]
        total = total + jnp.roll(part, reach - tap, axis)
    return total
