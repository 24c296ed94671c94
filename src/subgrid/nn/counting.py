"""Which arrays of a network are weights, and how many numbers they hold."""

from typing import Any

import equinox as eqx
import jax
from jaxtyping import PyTree

from subgrid.systems import AbstractSystem


def trainable(network: PyTree) -> PyTree:
    """Return a tree like `network`, True at its weights and False elsewhere.

    Weights are the floating-point arrays, as `eqx.is_inexact_array` finds them (what is `Fixed` is
    none), without those of a system that a closure of a user's holds as it is. Made for
    `eqx.partition(network, trainable(network))`.
    """

    def mark(part: Any) -> PyTree:
        if isinstance(part, AbstractSystem):
            return jax.tree.map(lambda _: False, part)
        return eqx.is_inexact_array(part)

    return jax.tree.map(mark, network, is_leaf=lambda part: isinstance(part, AbstractSystem))


def parameter_count(network: PyTree) -> int:
    """Return the number of weights, biases included, constants not."""
    weights = eqx.filter(network, trainable(network))
    return sum(leaf.size for leaf in jax.tree.leaves(weights))
