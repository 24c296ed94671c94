"""Recipes: kinds of experiments, which say what tasks a config means, and what those do."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for type checkers and editors, which do not run __getattr__
    from subgrid.recipes.citations import citations
    from subgrid.recipes.export import export_model
    from subgrid.recipes.markdown import make_markdown
    from subgrid.recipes.noise import with_chosen_noise
    from subgrid.recipes.plan import plan_run

# imported on first use: the command line shows its help without JAX
_NAMES = {
    "citations": "citations",
    "export_model": "export",
    "make_markdown": "markdown",
    "plan_run": "plan",
    "with_chosen_noise": "noise",
}

__all__ = ["citations", "export_model", "make_markdown", "plan_run", "with_chosen_noise"]


def __getattr__(name: str) -> Any:
    """Import a public name from its module on first use."""
    if name in _NAMES:
        return getattr(importlib.import_module(f"subgrid.recipes.{_NAMES[name]}"), name)
    raise AttributeError(f"module 'subgrid.recipes' has no attribute {name!r}")
