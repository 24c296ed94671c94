"""Tasks: predict this of a state's channels, compared with that of its forcing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from subgrid.nn import flops
from subgrid.systems import AbstractSystem
from subgrid.training.loop import fit
from subgrid.training.plan import Plan
from subgrid.training.run import FitResult
from subgrid.training.scaling import SampleSource, Standardisation, times_of
from subgrid.training.trackers import Callback
from subgrid.training.update import Loss
from subgrid.training.validation import mean_errors, validation_keys, validation_subset


@dataclass(frozen=True)
class Task:
    """What is asked of one sample, standardised and on one grid.

    `predict(trained, sample, key)`: the prediction; the key is for what draws. `target(forcing)`:
    the truth. `unit`: the size of a typical target, by which errors are divided in the loss (not in
    the validation), so that rates and clipping mean the same for a small residual as for the whole.
    """

    predict: Callable[[Any, "Sample", Array | None], Array]
    target: Callable[[Array], Array]
    unit: float = 1.0


class Sample(NamedTuple):
    """What a task may see of a sample: the channels of its state and of its target [C, y, x].

    The target's are for networks that are given a part of the truth. `noise`: of the standardised
    features; `time`: when it is, which decides what drives its system; 0 unless given.
    """

    fields: Array
    forcing: Array
    time: Array | None = None
    noise: Array | None = None

    def outside(self, system: AbstractSystem | None) -> Any:
        """Return what drives a system at the sample's time; None for no system."""
        if system is None:
            return None
        return system.forcing_at(jnp.zeros(()) if self.time is None else self.time)


@dataclass(frozen=True)
class Sources:
    """The training and the validation split, and the scalers of the former.

    `features`: number of channels that the network sees, where these are not the state's own.
    """

    train: SampleSource
    validation: SampleSource
    scales: Standardisation
    features: int | None = None


def train_task(
    trained: Any,
    task: Task,
    sources: Sources,
    plan: Plan,
    *,
    where: Callable[[Any], Any] | None = None,
    folder: str | Path,
    seed: int,
    settings: Mapping[str, Any],
    callbacks: Sequence[Callback],
    label: str,
) -> FitResult:
    """Return the result of `fit` for a task."""
    return fit(
        trained,
        plan,
        loss=make_loss(task),
        batches=make_batches(sources, plan, seed),
        validate=make_validation(task, sources, plan, seed),
        folder=folder,
        seed=seed,
        where=where,
        settings={
            **settings,
            "scale": sources.train.scale,
            "variables": list(sources.scales.variables),
            "training_data": sources.train.content_hash,
            "validation_data": sources.validation.content_hash,
        },
        callbacks=callbacks,
        label=label,
    )


def make_batches(sources: Sources, plan: Plan, seed: int) -> Callable[[int], dict[str, np.ndarray]]:
    """Return update → batch: "fields" and "forcing", [sample, C, y, x] each, and "time" [sample].

    The noise is on the fields, or, where the network sees other channels than theirs, for these, as
    "noise": each has its own, as Otness, Zanna & Bruna 2025 have it of velocities and vorticity.
    """
    load, scales = sources.train.batches(seed, plan.batch_size), sources.scales
    scale = np.asarray(scales.inputs.scale, np.float32).reshape(-1, *[1] * scales.dims)

    def batches(update: int) -> dict[str, np.ndarray]:
        batch = load(update)
        found = sample_arrays(batch, scales)
        if plan.noise.level == 0:
            return found
        samples, count, *space = found["fields"].shape
        shape = (samples, sources.features or count, *space)
        noise = plan.noise.draw(shape, seed=seed, update=update)
        if sources.features is not None:
            # before the first noisy update zeros: the same shapes, so that nothing compiles again
            found["noise"] = np.zeros(shape, np.float32) if noise is None else noise
        elif noise is not None:
            found["fields"] = found["fields"] + scale * noise
        return found

    return batches


def make_loss(task: Task) -> Loss:
    """Return the mean squared error of a task over batch, channels and pixels, in its unit².

    Where that is not 1, the same in the units of the validation is recorded too, as "mse".
    """

    def loss(trained: Any, batch: Mapping[str, Any], keys: Any) -> Any:
        def one(sample: Sample, key: Array) -> Array:
            predicted = task.predict(trained, sample, key)
            return jnp.mean(jnp.square((predicted - task.target(sample.forcing)) / task.unit))

        mean = jnp.mean(jax.vmap(one)(Sample(**batch), keys))
        return mean if task.unit == 1 else (mean, {"mse": task.unit**2 * mean})

    return loss


def make_validation(
    task: Task, sources: Sources, plan: Plan, seed: int
) -> Callable[[Any], dict[str, float]]:
    """Return what is trained → {"loss": mean squared error, "loss_0": of channel 0, ...}.

    Without noise, over a fixed subset of the validation split, drawn by `seed`, as are the keys of
    what draws; in units of the standardised forcing.
    """
    chosen = validation_subset(sources.validation, plan, seed)
    samples = Sample(**sample_arrays(sources.validation.batch(chosen), sources.scales))

    def errors(trained: Any, sample: Sample, key: Array) -> Array:
        error = task.predict(trained, sample, key) - task.target(sample.forcing)
        return jnp.mean(jnp.square(error), axis=tuple(range(1, error.ndim)))

    return mean_errors(errors, samples, validation_keys(seed, len(chosen)))


def sample_arrays(batch: Mapping[str, np.ndarray], scales: Standardisation) -> dict[str, Any]:
    """Return what a `Sample` has of a batch."""
    fields, forcing = scales.fields(batch), scales.forcing(batch)
    return {"fields": fields, "forcing": forcing, "time": times_of(batch)}


def forward_gflop(network: Any, *shape: int) -> float:
    """Return the operations of a forward pass of one sample [1e9]; nan if a network does not say.

    Loss and gradient of a network cost about three times as much (see `subgrid.nn.flops`).
    """
    try:
        return flops(network, *shape) / 1e9
    except (TypeError, AttributeError):  # the latter where a part of it does not say
        return float("nan")
