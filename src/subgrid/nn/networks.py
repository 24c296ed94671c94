"""Plain stacks of periodic convolutions and their names in Otness, Zanna & Bruna (2025).

Mach. Learn.: Sci. Technol. 6 045072, tables 4 and 5.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float, PRNGKeyArray

from subgrid.errors import ConfigError
from subgrid.nn.convolution import Conv1d, Conv2d, SeparableConv2d
from subgrid.numbers import positive_number
from subgrid.registry import Registry

_HIDDEN_CHANNELS = (128, 64, 32, 32, 32, 32, 32)
_KERNELS = {"sm": (5, 3), "md": (9, 5), "lg": (11, 7), "psm": (3, 3), "pmd": (5, 5), "plg": (7, 7)}
_PATTERN = re.compile(r"(p?(?:sm|md|lg))([1-8])")
_EXPLICIT = re.compile(r"(?:\d+[xs]\d+-)*[xs]\d+")
_LISTED = (
    "small", "large", "sm4", "sm8", "md4", "md8", "psm4", "psm8", "pmd4", "pmd8",
)  # fmt: skip
_LAYER = re.compile(r"(\d*)([xs])(\d+)")  # channels, convolution or separable one, kernel size


class ConvNet(eqx.Module):
    """A stack of periodic convolutions with ReLU between them and nothing after the last.

    Maps one sample [in, y, x] to [out, y, x] on any grid, or [in, x] to [out, x] if `spatial_dims`
    is 1. `hidden_channels` holds the channels after each layer but the last, `kernel_sizes` the odd
    kernel size of every layer, `separable` which layers are depthwise-separable (none by default).
    A shift of the input by whole cells shifts the output by the same cells. The number of weights
    is the sum over layers of (k² in + 1) out, on a line (k in + 1) out, of a separable one
    k² in + (in + 1) out. Raises ConfigError if the lists do not fit, for separable layers on a line
    and for other numbers of dimensions.
    """

    layers: tuple[Conv1d | Conv2d | SeparableConv2d, ...]
    in_channels: int = eqx.field(static=True)
    out_channels: int = eqx.field(static=True)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden_channels: Sequence[int],
        kernel_sizes: Sequence[int],
        separable: Sequence[bool] | None = None,
        spatial_dims: int = 2,
        *,
        key: PRNGKeyArray,
    ):
        kinds = [False] * len(kernel_sizes) if separable is None else separable
        if not len(kinds) == len(kernel_sizes) == len(hidden_channels) + 1:
            raise ConfigError(
                f"{len(hidden_channels)} hidden layers need {len(hidden_channels) + 1} kernel "
                f"sizes and kinds (one for the last layer too), got {len(kernel_sizes)} and "
                f"{len(kinds)}."
            )
        if spatial_dims not in (1, 2) or (spatial_dims == 1 and any(kinds)):
            raise ConfigError(
                f"convolutions have 1 or 2 dimensions, separable ones 2, got {spatial_dims}"
            )
        convolution = Conv2d if spatial_dims == 2 else Conv1d
        widths = (in_channels, *hidden_channels, out_channels)
        keys = jax.random.split(key, len(kernel_sizes))
        self.layers = tuple(
            (SeparableConv2d if kind else convolution)(before, after, size, key=layer_key)
            for before, after, size, kind, layer_key in zip(
                widths[:-1], widths[1:], kernel_sizes, kinds, keys, strict=True
            )
        )
        self.in_channels = self.layers[0].in_channels
        self.out_channels = self.layers[-1].out_channels

    @property
    def spatial_dims(self) -> int:
        """Return the number of dimensions of the domain: 2 of a plane, 1 of a line."""
        return self.layers[0].spatial_dims

    def __call__(self, field: Float[Array, "channel *space"]) -> Float[Array, "out *space"]:
        """Return the output of the last layer.

        Raises ShapeError for another number of channels than `in_channels`, TypeError for float16.
        """
        for layer in self.layers[:-1]:
            field = jax.nn.relu(layer(field))
        return self.layers[-1](field)

    def flops(self, *shape: int) -> int:
        """Return the floating-point operations for one sample on a grid of `shape`, (ny, nx)."""
        return sum(layer.flops(*shape) for layer in self.layers)


Builder = Callable[..., ConvNet]


def named_builder(name: str) -> Builder | None:
    """Return the function that builds the stack called `name`, or None if it is no such name.

    A name is a family and a depth l from 1 to 8: "md8". The hidden channels are the first l - 1 of
    128, 64, 32, 32, 32, 32, 32. Families give the kernel sizes of the first two and of the other
    layers: sm 5 and 3, md 9 and 5, lg 11 and 7; "pure" ones use one size: psm 3, pmd 5, plg 7.
    "small" is sm8 and "large" is md8, as the paper calls them. An explicit name lists channels x
    kernel size, the last layer without channels: "64x5-32x3-x3" has two hidden layers; an s in
    place of the x makes a layer depthwise-separable: "16x3-16s3-x3".
    """
    name = {"small": "sm8", "large": "md8"}.get(name, name)
    if match := _PATTERN.fullmatch(name):
        family, depth = match[1], int(match[2])
        first, rest = _KERNELS[family]
        kernels = tuple(first if layer < 2 else rest for layer in range(depth))
        return _builder(_HIDDEN_CHANNELS[: depth - 1], kernels)
    if _EXPLICIT.fullmatch(name):
        parts = _LAYER.findall(name)
        return _builder(
            tuple(int(channels) for channels, _, _ in parts[:-1]),
            tuple(int(kernel) for _, _, kernel in parts),
            tuple(kind == "s" for _, kind, _ in parts),
        )
    return None


def _builder(
    hidden: tuple[int, ...], kernels: tuple[int, ...], separable: tuple[bool, ...] | None = None
) -> Builder:
    """Return a builder of one stack, whose documentation says which."""

    def build_stack(
        *,
        in_channels: int,
        out_channels: int,
        key: PRNGKeyArray,
        width: float = 1.0,
        spatial_dims: int = 2,
    ) -> ConvNet:
        width = positive_number("width", width)
        channels = tuple(max(1, round(width * count)) for count in hidden)
        sizes = in_channels, out_channels, channels, kernels, separable, spatial_dims
        return ConvNet(*sizes, key=key)

    build_stack.__doc__ = (
        f"{len(kernels)} layers; channels {', '.join(map(str, (*hidden, 'out')))}; "
        f"kernels {', '.join(map(str, kernels))}."
    )
    return build_stack


class NetworkRegistry(Registry):
    """Looks up builders of networks; knows every name that `named_builder` can read."""

    def get(self, name: str) -> Any:
        """Return the builder called `name`; raises UnknownNameError and ConfigError as Registry."""
        return named_builder(name) or super().get(name)


NETWORKS = NetworkRegistry("network", {name: named_builder(name) for name in _LISTED})


def build(
    name: str,
    *,
    in_channels: int,
    out_channels: int,
    key: PRNGKeyArray,
    width: float = 1.0,
    spatial_dims: int = 2,
) -> Any:
    """Return an untrained network from [in_channels, y, x] to [out_channels, y, x].

    `name` is one of `NETWORKS.names()`, another of the patterns of `named_builder` ("lg6",
    "64x5-32x3-x3"), or "module:Class" of your own, called with these same arguments. `width`
    multiplies the hidden channels (rounded, at least 1). `spatial_dims`: dimensions of the domain,
    1 for [channel, x]; a builder gets it as an argument unless it is 2. A network for other domains
    than planes says so by an attribute of this name. Raises UnknownNameError for an unknown name,
    ConfigError for a width that is not positive.
    """
    domain = {} if spatial_dims == 2 else {"spatial_dims": spatial_dims}
    builder = NETWORKS.get(name)
    return builder(
        in_channels=in_channels, out_channels=out_channels, key=key, width=width, **domain
    )


def dims_of(network: Any) -> int:
    """Return on how many dimensions a network works: what it says, else 2."""
    said = getattr(network, "spatial_dims", getattr(network, "num_spatial_dims", 2))
    return said if isinstance(said, int) else 2
