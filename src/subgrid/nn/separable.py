"""Depthwise-separable convolution: each channel by its own kernel, then channels by a matrix.

    out[o, y, x] = b[o] + Σ_c m[c, o] Σ_{i, j} d[i, j, c] in[c, y + i - p, x + j - p]

with p = (k - 1)/2 and indices modulo the grid. It takes (k² + out) products per input channel and
grid point where a convolution takes k² out (Howard et al. 2017, arXiv:1704.04861).
"""

import functools
import math
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from subgrid.nn.convolution import check_sample, checked_sizes, draw_weights


class SeparableConv2d(eqx.Module):
    """Convolves one sample [in, y, x] on a doubly periodic grid and gives [out, y, x].

    `depthwise[i, j, in]`, `pointwise[in, out]`, `bias[out]`: the first starts uniform in ±1/k, the
    others in ±1/√in. Precision and errors as `Conv2d`.
    """

    depthwise: Float[Array, "k k in"]
    pointwise: Float[Array, "in out"]
    bias: Float[Array, " out"]
    in_channels: int = eqx.field(static=True)
    out_channels: int = eqx.field(static=True)
    kernel_size: int = eqx.field(static=True)
    spatial_dims: ClassVar[int] = 2

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, *, key: PRNGKeyArray):
        sizes = checked_sizes(in_channels, out_channels, kernel_size)
        in_channels, out_channels, kernel_size = sizes
        self.in_channels, self.out_channels, self.kernel_size = sizes
        keys, limit = jax.random.split(key, 3), 1 / math.sqrt(in_channels)
        taps = (kernel_size, kernel_size, in_channels)
        self.depthwise = draw_weights(keys[0], taps, 1 / kernel_size)
        self.pointwise = draw_weights(keys[1], (in_channels, out_channels), limit)
        self.bias = draw_weights(keys[2], (out_channels,), limit)

    def __call__(self, field: Float[Array, "channel y x"]) -> Float[Array, "out y x"]:
        """Return the convolved sample; channels first in and out. Errors as `Conv2d`."""
        check_sample(field, self.in_channels)
        mixed = correlate_each(field, self.depthwise.astype(field.dtype))
        matrix, bias = (part.astype(field.dtype) for part in (self.pointwise, self.bias))
        return jnp.tensordot(matrix.T, mixed, 1) + bias[:, None, None]

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
    return jax.lax.conv_general_dilated(
        padded[None],
        weight[:, :, None, :],
        (1, 1),
        "VALID",
        dimension_numbers=("NCHW", "HWIO", "NCHW"),
        feature_group_count=weight.shape[-1],
    )[0]
