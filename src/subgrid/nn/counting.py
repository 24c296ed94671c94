"""Which arrays of a network are weights, and how many numbers they hold."""

from typing import Any

import equinox as eqx
import jax
from jaxtyping import PyTree

from subgrid.nn.cascade import Cascade
from subgrid.nn.scaling import Scaler
from subgrid.systems import AbstractSystem


def trainable(network: PyTree) -> PyTree:
    """Return a tree like `network`, True at its weights and False elsewhere.

    Weights are the floating-point arrays, except the constants: those of a Scaler and of a system
    that a closure holds, and the stage scales of a Cascade. Made for `eqx.partition(network,
    trainable(network))`.
    """

    def mark(part: Any) -> PyTree:
        if isinstance(part, Scaler | AbstractSystem):
            return jax.tree.map(lambda _: False, part)
        if isinstance(part, Cascade):
            marks = (tuple(trainable(network) for network in part.networks), False)
            return eqx.tree_at(lambda cascade: (cascade.networks, cascade.scales), part, marks)
        return eqx.is_inexact_array(part)

    special = Scaler | AbstractSystem | Cascade
    return jax.tree.map(mark, network, is_leaf=lambda part: isinstance(part, special))


def parameter_count(network: PyTree) -> int:
    """Return the number of weights, biases included, constants not."""
    weights = eqx.filter(network, trainable(network))
    return sum(leaf.size for leaf in jax.tree.leaves(weights))
