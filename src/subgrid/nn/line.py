"""Periodic convolution on a line: a layer of networks for one-dimensional domains.

    out[o, x] = b[o] + Σ_{c, i} w[i, c, o] in[c, x + i - p],   p = (k - 1)/2

with indices modulo the number of cells.
"""

import math
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from subgrid.nn.convolution import check_sample, checked_sizes, draw_weights


class Conv1d(eqx.Module):
    """Convolves one sample [in, x] on a periodic line and gives [out, x].

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
        sizes = checked_sizes(in_channels, out_channels, kernel_size)
        self.in_channels, self.out_channels, self.kernel_size = sizes
        limit = 1 / math.sqrt(self.in_channels * self.kernel_size)
        weight_key, bias_key = jax.random.split(key)
        shape = (self.kernel_size, self.in_channels, self.out_channels)
        self.weight = draw_weights(weight_key, shape, limit)
        self.bias = draw_weights(bias_key, (self.out_channels,), limit)

    def __call__(self, field: Float[Array, "channel x"]) -> Float[Array, "out x"]:
        """Return the convolved sample; channels first in and out. Errors as `Conv2d`."""
        check_sample(field, self.in_channels, self.spatial_dims)
        reach, cells = self.kernel_size // 2, field.shape[-1]
        # a stencil may be wider than the domain, so indices wrap as often as they must
        taps = jnp.arange(-reach, reach + 1)[:, None] + jnp.arange(cells)[None]
        shifted = field[:, taps % cells]  # [in, k, x]
        weight, bias = (part.astype(field.dtype) for part in (self.weight, self.bias))
        return jnp.einsum("kio,ikx->ox", weight, shifted) + bias[:, None]

    def flops(self, nx: int) -> int:
        """Return the floating-point operations of one sample: 2 k in out per cell."""
        return 2 * self.kernel_size * self.in_channels * self.out_channels * nx
