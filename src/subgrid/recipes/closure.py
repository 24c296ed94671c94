"""Closures compared: a truth, trainings, offline tests and free runs of each, scores, report."""

from typing import final

from subgrid.recipes.comparison import AbstractComparison


@final
class ClosureRecipe(AbstractComparison):
    """Compares closures: a truth, trainings, offline tests and free runs, scores, report."""
