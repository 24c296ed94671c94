"""Networks by name."""

from typing import Any

from jaxtyping import PRNGKeyArray

from subgrid.nn.cnn import named_builder
from subgrid.registry import Registry

_LISTED = (
    "small", "large", "sm4", "sm8", "md4", "md8", "psm4", "psm8", "pmd4", "pmd8",
)  # fmt: skip


class NetworkRegistry(Registry):
    """Looks up builders of networks; knows every name that `named_builder` can read."""

    def get(self, name: str) -> Any:
        """Return the builder called `name`; raises UnknownNameError and ConfigError as Registry."""
        return named_builder(name) or super().get(name)


NETWORKS = NetworkRegistry("network", {name: named_builder(name) for name in _LISTED})


def build(
    name: str, *, in_channels: int, out_channels: int, key: PRNGKeyArray, width: float = 1.0
) -> Any:
    """Return an untrained network from [in_channels, y, x] to [out_channels, y, x].

    `name` is one of `NETWORKS.names()`, another of the patterns of `named_builder` ("lg6",
    "64x5-32x3-x3"), or "module:Class" of your own, called with these same arguments. `width`
    multiplies the hidden channels (rounded, at least 1). Raises UnknownNameError for an unknown
    name, ConfigError for a width that is not positive.
    """
    builder = NETWORKS.get(name)
    return builder(in_channels=in_channels, out_channels=out_channels, key=key, width=width)
