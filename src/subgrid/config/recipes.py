"""The kinds of experiments by name."""

from subgrid.registry import Registry

RECIPES = Registry("recipe", {"closure": "subgrid.recipes.closure:ClosureRecipe"})
"""Recipes by name; a class each, see `subgrid.experiment.AbstractRecipe`."""
