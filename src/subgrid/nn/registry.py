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
