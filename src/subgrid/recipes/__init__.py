"""Recipes: kinds of experiments, which say what tasks a config means, and what those do."""

from typing import TYPE_CHECKING

from subgrid.registry import on_first_use

if TYPE_CHECKING:  # for type checkers and editors, which do not run __getattr__
    from subgrid.recipes.citations import citations as citations
    from subgrid.recipes.export import export_model as export_model
    from subgrid.recipes.markdown import make_markdown as make_markdown
    from subgrid.recipes.noise import with_chosen_noise as with_chosen_noise
    from subgrid.recipes.plan import plan_run as plan_run

# the command line shows its help without JAX
__getattr__ = on_first_use(
    __name__,
    citations="citations",
    export="export_model",
    markdown="make_markdown",
    noise="with_chosen_noise",
    plan="plan_run",
)
