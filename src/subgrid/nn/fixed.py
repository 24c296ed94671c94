"""Which numbers of a module are weights, and which no training changes."""

from typing import Any, Generic, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from subgrid.systems import AbstractSystem

Held = TypeVar("Held")
_WRITTEN_AS = "subgrid_fixed"  # metadata of a field: the name of the property that reads it


class Fixed(eqx.Module, Generic[Held]):
    """Holds a value, a PyTree, whose numbers no training changes; `value` gives it back.

    Floating-point arrays are kept as integers of the same bits. So what looks for weights
    (`eqx.partition(module, eqx.is_inexact_array)`, `eqx.filter_grad`) finds none here: no gradient
    flows in, and no weight decay acts. Compiled programs still take the numbers as arguments, so
    other values need no compilation. NumPy arrays come back as JAX arrays.

    For a closure of your own that holds a system or a scale: `self.held = Fixed(system)`, and
    `self.held.value` where it is used. What is to be fitted stays a plain array.
    """

    _leaves: tuple[Any, ...]
    _dtypes: tuple[str | None, ...] = eqx.field(static=True)  # None: kept as it is
    _structure: Any = eqx.field(static=True)

    def __init__(self, value: Held):
        leaves, self._structure = jax.tree.flatten(value)
        self._dtypes = tuple(
            jnp.asarray(leaf).dtype.name if eqx.is_inexact_array(leaf) else None for leaf in leaves
        )
        self._leaves = tuple(
            leaf if dtype is None else _to_words(jnp.asarray(leaf))
            for leaf, dtype in zip(leaves, self._dtypes, strict=True)
        )

    @property
    def value(self) -> Held:
        """The value, with the same bits in every array; None where a filter left an array out.

        Raises TypeError if a cast of every leaf made something else of the bits.
        """
        leaves = [
            leaf if dtype is None or leaf is None else _from_words(leaf, dtype)
            for leaf, dtype in zip(self._leaves, self._dtypes, strict=True)
        ]
        return jax.tree.unflatten(self._structure, leaves)


def fixed_as(name: str) -> dict[str, str]:
    """Return the metadata of a field with a `Fixed` that the property `name` reads.

    Files hold the value under that name, as if it were no `Fixed`.
    """
    return {_WRITTEN_AS: name}


def written_name(field: Any) -> str | None:
    """Return the name in files of a field with the metadata `fixed_as`, None of another field."""
    return field.metadata.get(_WRITTEN_AS)


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


def _to_words(array: Array) -> Array:
    if jnp.iscomplexobj(array):
        array = jnp.stack([array.real, array.imag])  # no integer is as wide as a complex number
    words = jnp.dtype(f"uint{8 * array.dtype.itemsize}")
    return jax.lax.bitcast_convert_type(array, words)


def _from_words(words: Array, dtype: str) -> Array:
    if not jnp.issubdtype(words.dtype, jnp.integer):
        raise TypeError(
            f"numbers that are fixed were cast to {words.dtype}; change only the leaves of a "
            "module that eqx.is_inexact_array finds."
        )
    if jnp.issubdtype(dtype, jnp.complexfloating):
        real, imag = jax.lax.bitcast_convert_type(words, jnp.finfo(dtype).dtype)
        return jax.lax.complex(real, imag)
    return jax.lax.bitcast_convert_type(words, jnp.dtype(dtype))
