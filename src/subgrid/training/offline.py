"""Offline training: a closure's increment against the subgrid forcing, sample by sample."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, SupportsIndex

from jaxtyping import Array

from subgrid.closures import (
    AbstractClosure,
    LearnedClosure,
    channels_to_state,
    spatial_dims,
    state_to_channels,
)
from subgrid.nn import dims_of
from subgrid.randomness import require_seed
from subgrid.systems import AbstractSystem, state_shapes
from subgrid.training.plan import Plan
from subgrid.training.run import FitResult
from subgrid.training.scaling import (
    SampleSource,
    Standardisation,
    described,
    frame_shape,
    scaled,
    standardisation,
    target_unit,
)
from subgrid.training.tasks import Sample, Sources, Task, forward_gflop, train_task
from subgrid.training.trackers import Callback


@dataclass(frozen=True)
class OfflineResult:
    """A trained closure and what it took.

    `closure`: with the best weights and the scalers of the training data. `fits`: one result per
    network trained on its own. `gflop_per_sample`: floating-point operations of one training sample
    [1e9] per fit, three times the forward pass of its network (nan if that does not say its cost);
    `gflop_per_second`: achieved, per fit (nan if the run was already finished).
    """

    closure: Any
    fits: tuple[FitResult, ...]
    gflop_per_sample: tuple[float, ...]

    @property
    def samples(self) -> int:
        """Return the number of samples seen, over all networks."""
        return sum(result.samples for result in self.fits)

    @property
    def updates(self) -> int:
        """Return the number of updates made, over all networks."""
        return sum(result.updates for result in self.fits)

    @property
    def gflop_per_second(self) -> tuple[float, ...]:
        """Return the rate of computation reached while training, per network [1e9/s]."""
        return tuple(
            work * result.samples / result.updates / result.update_seconds
            for work, result in zip(self.gflop_per_sample, self.fits, strict=True)
        )


def train_offline(
    closure: AbstractClosure,
    samples_train: SampleSource,
    samples_validation: SampleSource,
    plan: Plan,
    *,
    folder: str | Path,
    seed: SupportsIndex,
    system: AbstractSystem | None = None,
    callbacks: Sequence[Callback] = (),
    label: str = "",
) -> OfflineResult:
    """Return a closure trained on samples of state and subgrid forcing.

        loss = mean over batch, channels and pixels of ((M(x + σ_x β ξ) - S)/σ_S)²

    M is the closure as it runs online; x, S = state and forcing, σ their standard deviations over
    the training split; β = level of `plan.noise`, ξ ~ N(0, 1) per pixel. Of the constraints of a
    `LearnedClosure` M has those that are no limits of runs, and where these leave only a part of S
    to learn (a cut of scales), S is that part and errors are divided by the size of it on top;
    validation losses stay in units of σ_S. Scalers that a `LearnedClosure` has not are measured.

    Any closure is trained, in all its floating-point arrays that are not `Fixed` (see
    `subgrid.nn.trainable`): the weights of a network, the coefficients of a formula. One with
    memory or random numbers starts each sample with what its `init` returns for a key of its own.
    `system`: whose states those of the samples are, if the closure holds none and is no
    `LearnedClosure`. What has the lowest loss, without noise, on a fixed subset of the validation
    split is kept. Resumes in `folder`. Raises TypeError without a system where one is needed; else
    errors are those of `fit`.
    """
    seed = require_seed(seed)
    if isinstance(closure, LearnedClosure):
        prepared = _of_network(closure, samples_train, samples_validation, seed)
    else:
        prepared = _of_formula(closure, samples_train, samples_validation, system)
    result = train_task(
        prepared.closure,
        prepared.task,
        prepared.sources,
        plan,
        folder=folder,
        seed=seed,
        settings=prepared.settings,
        callbacks=callbacks,
        label=label,
    )
    work = 3 * forward_gflop(
        prepared.network, *frame_shape(samples_train, prepared.sources.scales.dims)
    )
    return OfflineResult(result.network, (result,), (work,))


class _Prepared(NamedTuple):
    """What is trained, on what, and the settings that its checkpoints keep.

    `network`: the part whose operations are counted.
    """

    closure: AbstractClosure
    network: Any
    task: Task
    sources: Sources
    settings: dict[str, Any]


def _of_network(
    closure: LearnedClosure, training: SampleSource, validation: SampleSource, seed: int
) -> _Prepared:
    """Return a learned closure ready to train, the scalers that it lacks measured."""
    scales = standardisation(training, dims_of(closure.network))
    unit = target_unit(training, scales, seed, closure.output)
    closure = scaled(closure, scales, training, seed, unit)
    sources = Sources(training, validation, scales, seen_channels(closure))
    task = closure_task(scales, closure, unit)
    return _Prepared(closure, closure.network, task, sources, described(closure))


def _of_formula(
    closure: AbstractClosure,
    training: SampleSource,
    validation: SampleSource,
    system: AbstractSystem | None,
) -> _Prepared:
    """Return any other closure ready to train; raises TypeError without a system."""
    known = closure.own_system or system
    if known is None:
        raise TypeError(
            f"{type(closure).__name__} holds no system: say by `system` which states it takes"
        )
    scales = standardisation(training, spatial_dims(known))
    sources = Sources(training, validation, scales)
    return _Prepared(closure, closure, state_task(scales, known), sources, {})


def closure_task(scales: Standardisation, closure: LearnedClosure, unit: float = 1.0) -> Task:
    """Return the task of a learned closure: its increment against what it can reach of S."""

    def target(forcing: Array) -> Array:
        return scales.reachable(forcing, closure.output)

    def predict(closure: LearnedClosure, sample: Sample, key: Array | None) -> Array:
        memory = closure.first_memory(sample.fields, key)
        outside = sample.outside(closure.system)
        increment, _ = closure.predict(sample.fields, memory, outside, noise=sample.noise)
        return scales.targets.normalise(increment)

    return Task(predict, target, unit)


def state_task(scales: Standardisation, system: AbstractSystem) -> Task:
    """Return the task of any closure of a system: its increment, as it runs online, against S."""
    like = state_shapes(system)

    def predict(closure: AbstractClosure, sample: Sample, key: Array | None) -> Array:
        state = channels_to_state(sample.fields, like)
        increment, _ = closure(state, closure.init(state, key=key), sample.outside(system))
        return scales.targets.normalise(state_to_channels(increment, scales.dims))

    return Task(predict, scales.targets.normalise)


def seen_channels(closure: LearnedClosure) -> int | None:
    """Return the number of channels that a network sees, None for the state's own."""
    if closure.features.names is None or closure.system is None:
        return None
    return closure.features.count(closure.system)
