"""The kinds of experiments by name."""

from subgrid.registry import Registry

RECIPES = Registry(
    "recipe",
    {
        "closure": "subgrid.recipes.closure:ClosureRecipe",
        "separated": "subgrid.recipes.separated:SeparatedRecipe",
        "architectures": "subgrid.recipes.architectures:ArchitecturesRecipe",
        "noise": "subgrid.recipes.noise:NoiseRecipe",
    },
)
"""Recipes by name; a class each, see `subgrid.experiment.AbstractRecipe`."""
