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

from subgrid.closures import Inputs, LearnedClosure
from subgrid.data import VariableStatistics, statistics
from subgrid.errors import ConfigError
from subgrid.grids import PeriodicGrid, low_pass
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


@dataclass(frozen=True)
class Standardisation:
    """Mean and standard deviation of the state's channels and of its forcing's, as scalers.

    The states of a batch are their channels [C, y, x] in the order of `variables`.
    """

    variables: tuple[str, ...]
    inputs: Scaler
    targets: Scaler

    def wanted(self, forcing: Array, target_cut: float | None) -> Array:
        """Return the standardised forcing, up to `target_cut` of the Nyquist wavenumber."""
        normalised = self.targets.normalise(forcing)
        return normalised if target_cut is None else low_pass(normalised, target_cut)


def standardisation(samples: SampleSource) -> Standardisation:
    """Return the scalers of a training split: mean and standard deviation per channel.

    Raises ConfigError if a forcing is missing or a channel does not vary.
    """
    variables = tuple(name for name in samples.variables if not name.endswith(FORCING))
    missing = [name for name in variables if name + FORCING not in samples.variables]
    if missing or not variables:
        raise ConfigError(
            f"training needs each variable with its forcing; {samples.path} gives "
            f"{list(samples.variables)}. Ask Samples for all of them."
        )
    found = statistics(samples.path, samples.scale)
    return Standardisation(
        variables,
        _scaler(found, variables, samples.path),
        _scaler(found, tuple(name + FORCING for name in variables), samples.path),
    )


def make_closure(
    network: Callable[[Array], Array],
    scales: Standardisation,
    *,
    zero_mean: bool = False,
    flux_form: bool = False,
    grid: PeriodicGrid | None = None,
    inputs: Inputs | None = None,
    input_scaler: Scaler | None = None,
    target_cut: float | None = None,
    unit: float = 1.0,
    divergence_free: bool = False,
) -> LearnedClosure:
    """Return a network as a closure with the scalers of its training data.

    `inputs` come with their own `input_scaler` (see `scaler_of_inputs`). Fluxes are scaled by
    σ_S dx, so that fluxes of order one that vary over a few cells make a forcing of order one; so
    is the streamfunction of `divergence_free`, with the root-mean-square of both components' σ_S.
    `unit`: size of a typical target in units of σ_S, by which outputs are scaled on top.

    Raises ConfigError for either without `grid`, for `divergence_free` of other variables than u
    and v, and ValueError for both at once.
    """
    outputs = Scaler(scales.targets.mean, unit * scales.targets.scale)
    if flux_form:
        if grid is None:
            raise ConfigError("flux_form needs `grid`, on which the divergence is taken.")
        scale = jnp.tile(outputs.scale * jnp.float32(grid.dx), 2)
        outputs = Scaler(jnp.zeros_like(scale), scale)
    elif divergence_free:
        outputs = _scaler_of_streamfunction(scales, outputs, grid)
    scaler = scales.inputs if input_scaler is None else input_scaler
    form = zero_mean, flux_form, grid, inputs, target_cut, divergence_free
    return LearnedClosure(network, scaler, outputs, *form)


def untrained_closure(
    network: Callable[[Array], Array],
    scales: Standardisation,
    samples: SampleSource,
    seed: int,
    zero_mean: bool,
    flux_form: bool,
    grid: PeriodicGrid | None,
    inputs: Inputs | None,
    target_cut: float | None = None,
    unit: float = 1.0,
    divergence_free: bool = False,
) -> tuple[LearnedClosure, dict[str, Any]]:
    """Return the closure that a training begins with, and what its checkpoints are made with."""
    form: dict[str, Any] = {"zero_mean": zero_mean, "flux_form": flux_form}
    if target_cut is not None:
        form["target_cut"] = target_cut
    if divergence_free:
        form["divergence_free"] = True
    scaler = scaler_of_inputs(inputs, samples, scales, seed)
    closure = make_closure(
        network, scales, grid=grid, inputs=inputs, input_scaler=scaler, unit=unit, **form
    )
    return closure, form if inputs is None else {**form, "inputs": list(inputs.names)}


def target_unit(
    samples: SampleSource, scales: Standardisation, seed: int, target_cut: float | None
) -> float:
    """Return the root-mean-square of the standardised forcing's scales up to `target_cut`, or 1.

    Over samples of the training split drawn by `seed` (see `typical_size`).
    """
    if target_cut is None:
        return 1.0
    batch = scaling_batch(samples, seed, Stream.STAGE_SCALE)
    forcing = channels(batch, [name + FORCING for name in scales.variables])

    @jax.jit
    def square(one: Array) -> Array:
        return jnp.mean(jnp.square(scales.wanted(one, target_cut)))

    return typical_size([float(square(one)) for one in forcing])


def typical_size(mean_squares: Sequence[float]) -> float:
    """Return the root of the mean of samples' mean squares.

    Rounded to three digits, so that a resumed run finds the same number on a machine whose last
    bits differ; at the rare border between two numbers its checkpoint is refused.
    """
    return float(f"{np.sqrt(np.mean(mean_squares)):.3g}")


def scaler_of_inputs(
    inputs: Inputs | None, samples: SampleSource, scales: Standardisation, seed: int
) -> Scaler:
    """Return the scaler of a closure's inputs: that of the state's channels if there are none.

    Mean and standard deviation over samples of the training split drawn by `seed`, rounded to a
    thousandth of the latter, so that a resumed run finds the same numbers on a machine whose last
    bits differ. Raises ConfigError for other variables than those of the inputs' system, and for a
    channel that does not vary.
    """
    if inputs is None:
        return scales.inputs
    wanted = tuple(variable.name for variable in inputs.system.variables)
    if scales.variables != wanted:
        raise ConfigError(
            f"{samples.path} gives {list(scales.variables)}, but the inputs are formed by a system "
            f"of {list(wanted)}; ask Samples for these, in this order."
        )
    fields = channels(scaling_batch(samples, seed, Stream.INPUT_SCALE), scales.variables)
    seen = np.asarray(jax.jit(partial(jax.lax.map, inputs))(fields), np.float64)
    mean, scale = seen.mean(axis=(0, 2, 3)), seen.std(axis=(0, 2, 3))
    if not np.all(np.isfinite(scale) & (scale > 0)):
        raise ConfigError(
            f"{samples.path}: the standard deviations of the inputs {list(inputs.names)} are "
            f"{scale.tolist()}; a channel that does not vary cannot be standardised."
        )
    scale = np.array([float(f"{value:.3g}") for value in scale])
    mean = np.round(mean / (1e-3 * scale)) * (1e-3 * scale)
    return Scaler(jnp.asarray(mean, jnp.float32), jnp.asarray(scale, jnp.float32))


def scaling_batch(samples: SampleSource, seed: int, stream: Stream) -> Mapping[str, np.ndarray]:
    """Return the samples by which scales are measured: up to 256, drawn by `seed`."""
    count = min(_SCALE_SAMPLES, len(samples))
    random = generator(stream, seed)
    return samples.batch(np.sort(random.choice(len(samples), count, replace=False)))


def channels(batch: Mapping[str, np.ndarray], names: Sequence[str]) -> np.ndarray:
    """Return variables [sample, level, y, x] or [sample, y, x] as channels [sample, C, y, x]."""
    parts = [batch[name].reshape(len(batch[name]), -1, *batch[name].shape[-2:]) for name in names]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def frame_shape(samples: SampleSource) -> tuple[int, int]:
    """Return (ny, nx) of the samples."""
    ny, nx = next(iter(samples.batch([0]).values())).shape[-2:]
    return ny, nx


def _scaler_of_streamfunction(
    scales: Standardisation, targets: Scaler, grid: PeriodicGrid | None
) -> Scaler:
    if grid is None:
        raise ConfigError("divergence_free needs `grid`, on which ψ is differentiated.")
    if scales.variables != ("u", "v") or targets.scale.shape != (2,):
        raise ConfigError(
            "divergence_free is for the velocities ['u', 'v'], in this order and without levels; "
            f"the samples give {list(scales.variables)} in {targets.scale.shape[0]} channels."
        )
    scale = jnp.sqrt(jnp.mean(jnp.square(targets.scale), keepdims=True)) * jnp.float32(grid.dx)
    return Scaler(jnp.zeros_like(scale), scale)


def _scaler(found: Mapping[str, VariableStatistics], names: Sequence[str], path: Path) -> Scaler:
    mean = np.concatenate([np.ravel(found[name].mean) for name in names])
    scale = np.concatenate([np.ravel(found[name].std) for name in names])
    if not np.all(np.isfinite(scale) & (scale > 0)):
        raise ConfigError(
            f"{path}: the standard deviations of {list(names)} are {scale.tolist()}; a channel "
            "that does not vary cannot be standardised. Look at the data or add trajectories."
        )
    return Scaler(jnp.asarray(mean, jnp.float32), jnp.asarray(scale, jnp.float32))
