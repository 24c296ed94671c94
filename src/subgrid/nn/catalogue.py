"""The networks that a config can name."""

import functools
from typing import Any

from jaxtyping import PRNGKeyArray

from subgrid.nn.cnn import named_network, network_names
from subgrid.registry import Registry

NETWORKS = Registry(
    "network", {name: functools.partial(named_network, name) for name in network_names()}
)


def build(
    name: str, *, in_channels: int, out_channels: int, key: PRNGKeyArray, width: float = 1.0
) -> Any:
    """Return the untrained network called `name`, or made by "module:Class" with these arguments.

    Maps one sample [in_channels, y, x] to [out_channels, y, x]; `width` multiplies the hidden
    channels. Raises UnknownNameError for an unknown name.
    """
    maker = NETWORKS.get(name)
    return maker(in_channels=in_channels, out_channels=out_channels, key=key, width=width)
