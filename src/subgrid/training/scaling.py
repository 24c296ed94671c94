"""Standardisation by the training split: the scalers of a learned closure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from subgrid.closures import Features, LearnedClosure, Output
from subgrid.data import TIME, VariableStatistics
from subgrid.errors import ConfigError
from subgrid.nn import Scaler
from subgrid.randomness import Stream, generator

_SCALE_SAMPLES = 256  # enough for a standard deviation to three digits
FORCING = "_forcing"  # the name of a variable's subgrid forcing ends so


@runtime_checkable
class SampleSource(Protocol):
    """What training needs of `subgrid.data.Samples`."""

    # properties, since a plain attribute of a protocol would have to be writable
    @property
    def path(self) -> Path:
        """Return the store."""
        ...

    @property
    def scale(self) -> int:
        """Return the coarse size, in points along x."""
        ...

    @property
    def content_hash(self) -> str:
        """Return a hash of the store's data, the same for the same bits."""
        ...

    @property
    def variables(self) -> Sequence[str]:
        """Return the names of the arrays in a batch."""
        ...

    def __len__(self) -> int: ...

    def batch(self, indices: Any) -> Mapping[str, np.ndarray]:
        """Return these samples."""
        ...

    def batches(self, seed: int, batch_size: int) -> Callable[[int], Mapping[str, np.ndarray]]:
        """Return the function from the number of an update to its batch."""
        ...

    def statistics(self) -> Mapping[str, VariableStatistics]:
        """Return mean and variance of each variable per channel, over all samples."""
        ...


@dataclass(frozen=True)
class Standardisation:
    """Mean and standard deviation of the state's channels and of its forcing's, as scalers.

    The states of a batch are their channels in the order of `variables`; the last `dims` axes of
    an array are those of the domain.
    """

    variables: tuple[str, ...]
    inputs: Scaler
    targets: Scaler
    dims: int = 2

    def fields(self, batch: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the states of a batch as channels [sample, C, y, x]."""
        return channels(batch, self.variables, self.dims)

    def forcing(self, batch: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the forcings of a batch as channels [sample, C, y, x]."""
        return channels(batch, [name + FORCING for name in self.variables], self.dims)

    def reachable(self, forcing: Array, output: Output) -> Array:
        """Return the part of the standardised forcing that a closure's output can be."""
        return output.reachable(self.targets.normalise(forcing))


def standardisation(samples: SampleSource, dims: int = 2) -> Standardisation:
    """Return the scalers of a training split: mean and standard deviation per channel.

    Of the variables that have a forcing; others, such as what drives a system, are left alone.
    Raises ConfigError if there are none or a channel does not vary.
    """
    variables = tuple(name for name in samples.variables if name + FORCING in samples.variables)
    if not variables:
        raise ConfigError(
            f"training needs each variable with its forcing; {samples.path} gives "
            f"{list(samples.variables)}. Ask Samples for all of them."
        )
    found = samples.statistics()
    inputs = _scaler(found, variables, samples.path)
    targets = _scaler(found, tuple(name + FORCING for name in variables), samples.path)
    return Standardisation(variables, inputs, targets, dims)


def scaled(
    closure: LearnedClosure,
    scales: Standardisation,
    samples: SampleSource,
    seed: int,
    unit: float = 1.0,
) -> LearnedClosure:
    """Return a closure with the scalers, and other numbers, that it takes of its training data.

    Scalers that it has already stay. `unit`: the size of what it learns in units of σ_S, by which
    outputs are scaled on top.
    """
    features, output = closure.features, closure.output.fitted(samples)
    if features.scaler is None:
        scaler = _scaler_of_features(closure, scales, samples, seed)
        features = Features(features.names, scaler)
    return closure.changed(features=features, output=output.scaled(scales.targets, unit))


def described(closure: LearnedClosure) -> dict[str, Any]:
    """Return what the checkpoints of a training say that it sees and predicts."""
    return {"features": closure.features.names or "state", "output": closure.output.in_words}


def target_unit(samples: SampleSource, scales: Standardisation, seed: int, output: Output) -> float:
    """Return the root-mean-square of the part of the standardised forcing that can be learned.

    Over samples of the training split drawn by `seed` (see `typical_size`); 1 where that is all.
    """
    if output.reaches_all:
        return 1.0
    forcing = scales.forcing(scaling_batch(samples, seed, Stream.STAGE_SCALE))

    @jax.jit
    def square(one: Array) -> Array:
        return jnp.mean(jnp.square(scales.reachable(one, output)))

    return typical_size([float(square(one)) for one in forcing])


def typical_size(mean_squares: Sequence[float]) -> float:
    """Return the root of the mean of samples' mean squares.

    Rounded to three digits, so that a resumed run finds the same number on a machine whose last
    bits differ; at the rare border between two numbers its checkpoint is refused.
    """
    return float(f"{np.sqrt(np.mean(mean_squares)):.3g}")


def scaling_batch(samples: SampleSource, seed: int, stream: Stream) -> Mapping[str, np.ndarray]:
    """Return the samples by which scales are measured: up to 256, drawn by `seed`."""
    count = min(_SCALE_SAMPLES, len(samples))
    random = generator(stream, seed)
    return samples.batch(np.sort(random.choice(len(samples), count, replace=False)))


def channels(batch: Mapping[str, np.ndarray], names: Sequence[str], dims: int = 2) -> np.ndarray:
    """Return variables [sample, level, y, x] or [sample, y, x] as channels [sample, C, y, x].

    The last `dims` axes are those of the domain.
    """
    # counted, for -1 in a reshape is not known of an empty array
    parts = [
        values.reshape(len(values), int(np.prod(values.shape[1:-dims])), *values.shape[-dims:])
        for values in (batch[name] for name in names)
    ]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def times_of(batch: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the time of each sample; 0 where a source of the user's knows none."""
    count = len(next(iter(batch.values())))
    return batch[TIME] if TIME in batch else np.zeros(count, np.float32)


def frame_shape(samples: SampleSource, dims: int = 2) -> tuple[int, ...]:
    """Return the cells of the samples, (ny, nx)."""
    return next(iter(samples.batch([0]).values())).shape[-dims:]


def _scaler_of_features(
    closure: LearnedClosure, scales: Standardisation, samples: SampleSource, seed: int
) -> Scaler:
    """Return the scaler of a closure's features: that of the state's channels if they are these.

    Mean and standard deviation over samples of the training split drawn by `seed`, rounded to a
    thousandth of the latter, so that a resumed run finds the same numbers on a machine whose last
    bits differ. Raises ConfigError for other variables than those of the closure's system, and for
    a channel that does not vary.
    """
    names, system = closure.features.names, closure.system
    if names is None or system is None:
        return scales.inputs
    wanted = tuple(variable.name for variable in system.variables)
    if scales.variables != wanted:
        raise ConfigError(
            f"{samples.path} gives {list(scales.variables)}, but the features are formed by a "
            f"system of {list(wanted)}; ask Samples for these, in this order."
        )
    batch = scaling_batch(samples, seed, Stream.INPUT_SCALE)
    fields, times = scales.fields(batch), times_of(batch)

    def form(sample: tuple[Array, Array]) -> Array:
        return closure.features.form(sample[0], system, forcing=system.forcing_at(sample[1]))

    seen = np.asarray(jax.jit(partial(jax.lax.map, form))((fields, times)), np.float64)
    axes = (0, *range(2, seen.ndim))
    mean, scale = seen.mean(axis=axes), seen.std(axis=axes)
    if not np.all(np.isfinite(scale) & (scale > 0)):
        raise ConfigError(
            f"{samples.path}: the standard deviations of the features {list(names)} are "
            f"{scale.tolist()}; a channel that does not vary cannot be standardised."
        )
    scale = np.array([float(f"{value:.3g}") for value in scale])
    mean = np.round(mean / (1e-3 * scale)) * (1e-3 * scale)
    return Scaler(jnp.asarray(mean, jnp.float32), jnp.asarray(scale, jnp.float32))


def _scaler(found: Mapping[str, VariableStatistics], names: Sequence[str], path: Path) -> Scaler:
    mean = np.concatenate([np.ravel(found[name].mean) for name in names])
    scale = np.concatenate([np.ravel(found[name].std) for name in names])
    if not np.all(np.isfinite(scale) & (scale > 0)):
        raise ConfigError(
            f"{path}: the standard deviations of {list(names)} are {scale.tolist()}; a channel "
            "that does not vary cannot be standardised. Look at the data or add trajectories."
        )
    return Scaler(jnp.asarray(mean, jnp.float32), jnp.asarray(scale, jnp.float32))
