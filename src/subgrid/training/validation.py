"""The validation of a training: errors over a fixed subset of the validation split."""

from collections.abc import Callable, Sized
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, Key, PyTree
from numpy.typing import NDArray

from subgrid.randomness import Stream, generator, random_key
from subgrid.training.plan import Plan

_AT_ONCE = 8  # samples evaluated together: more fall out of a CPU's cache


def validation_subset(split: Sized, plan: Plan, seed: int) -> NDArray[np.int64]:
    """Return which samples of a split are looked at, at most `plan.validation_samples`, sorted."""
    count = min(plan.validation_samples, len(split))
    random = generator(Stream.VALIDATION_SUBSET, seed)
    return np.sort(random.choice(len(split), count, replace=False))


def validation_keys(seed: int, count: int) -> Key[Array, " sample"]:
    """Return the random keys of the samples that are looked at."""
    stream = jax.random.fold_in(random_key(seed), np.uint32(Stream.VALIDATION_SUBSET))
    return jax.random.split(stream, count)


def mean_errors(
    errors: Callable[..., Float[Array, " channel"]], *given: PyTree
) -> Callable[[Any], dict[str, float]]:
    """Return module → {"loss": mean of `errors`, "loss_0": of channel 0, ...}.

    `errors(module, *sample)`: of one sample; `given`: all of them, along the first axis of every
    array.
    """
    count = len(jax.tree.leaves(given)[0])

    @eqx.filter_jit
    def of_some(module: Any, *some: PyTree) -> Array:
        return jax.vmap(lambda *sample: errors(module, *sample))(*some)

    def validate(module: Any) -> dict[str, float]:
        parts = []
        for first in range(0, count, _AT_ONCE):
            some = jax.tree.map(lambda leaf, i=first: leaf[i : i + _AT_ONCE], given)
            parts.append(np.asarray(of_some(module, *some)))
        means = np.concatenate(parts).mean(axis=0, dtype=np.float64)
        per_channel = {f"loss_{i}": float(value) for i, value in enumerate(means)}
        return {"loss": float(means.mean()), **per_channel}

    return validate
