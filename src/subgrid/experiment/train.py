"""The stage that trains the learned closures."""

from collections.abc import Callable
from typing import Any

from subgrid.experiment.folder import RunFolder
from subgrid.experiment.progress import Progress


def train(folder: RunFolder, progress: Progress, mapped: Callable[..., Any]) -> dict[str, Any]:
    """Train."""
    if folder.config.learned():
        raise NotImplementedError
    return {}
