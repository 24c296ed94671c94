"""Learn what a geophysical model does not resolve, prove it online, take it into your own model."""

import importlib
from typing import Any

__version__ = "0.1.0"

_FOLDERS = (
    "closures",
    "coarsening",
    "config",
    "data",
    "deploy",
    "evaluation",
    "experiment",
    "grids",
    "nn",
    "stepping",
    "systems",
    "training",
)
_NAMES = {
    "compare": "evaluation",
    "rollout": "stepping",
    "simulate": "stepping",
    "subgrid_forcing": "coarsening",
}

__all__ = ["__version__", *_FOLDERS, *_NAMES]


def __getattr__(name: str) -> Any:
    """Import a folder or a name on first use, so that `import subgrid` itself is quick."""
    if name in _FOLDERS:
        return importlib.import_module(f"subgrid.{name}")
    if name in _NAMES:
        return getattr(importlib.import_module(f"subgrid.{_NAMES[name]}"), name)
    raise AttributeError(f"module 'subgrid' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
