"""Offline training: a closure's increment against the subgrid forcing, sample by sample."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import SupportsIndex

from jaxtyping import Array

from subgrid.closures import Inputs, LearnedClosure
from subgrid.grids import PeriodicGrid
from subgrid.randomness import require_seed
from subgrid.training.plan import Plan
from subgrid.training.run import FitResult
from subgrid.training.scaling import (
    SampleSource,
    Standardisation,
    frame_shape,
    standardisation,
    target_unit,
    untrained_closure,
)
from subgrid.training.tasks import Sources, Task, forward_gflop, train_task
from subgrid.training.trackers import Callback


@dataclass(frozen=True)
class OfflineResult:
    """A trained closure and what it took.

    `closure`: with the best weights and the scalers of the training data. `fits`: one result per
    network trained on its own. `gflop_per_sample`: floating-point operations of one training sample
    [1e9] per fit, three times the forward pass of its network (nan if that does not say its cost);
    `gflop_per_second`: achieved, per fit (nan if the run was already finished).
    """

    closure: LearnedClosure
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
    network: Callable[[Array], Array],
    samples_train: SampleSource,
    samples_validation: SampleSource,
    plan: Plan,
    *,
    folder: str | Path,
    seed: SupportsIndex,
    zero_mean: bool = False,
    flux_form: bool = False,
    grid: PeriodicGrid | None = None,
    inputs: Inputs | None = None,
    target_cut: float | None = None,
    divergence_free: bool = False,
    callbacks: Sequence[Callback] = (),
    label: str = "",
) -> OfflineResult:
    """Return a closure with `network` trained on samples of state and subgrid forcing.

        loss = mean over batch, channels and pixels of ((M(x + σ_x β ξ) - S)/σ_S)²

    M is the `LearnedClosure` that runs online, with its scalers, `inputs` and its `zero_mean`,
    `flux_form` or `divergence_free` (see there; `grid` is needed for the last two); x, S = state
    and forcing, σ their standard deviations over the training split; β = level of `plan.noise`,
    ξ ~ N(0, 1) per pixel.
    With `target_cut` S is without its scales beyond that share of the Nyquist wavenumber, as M is
    (see `LearnedClosure`), and errors are divided by the size of what is left of S/σ_S on top;
    validation losses stay in units of σ_S.
    Only the network's weights are trained (see `subgrid.nn.trainable`), and those with the lowest
    loss, without noise, on a fixed subset of the validation split are kept. Resumes in `folder`;
    errors are those of `fit`.
    """
    seed = require_seed(seed)
    scales = standardisation(samples_train)
    unit = target_unit(samples_train, scales, seed, target_cut)
    form = zero_mean, flux_form, grid, inputs, target_cut, unit, divergence_free
    closure, settings = untrained_closure(network, scales, samples_train, seed, *form)
    result = train_task(
        closure,
        closure_task(scales, target_cut, unit),
        Sources(samples_train, samples_validation, scales, inputs and inputs.count),
        plan,
        where=lambda closure: closure.network,
        folder=folder,
        seed=seed,
        settings=settings,
        callbacks=callbacks,
        label=label,
    )
    work = 3 * forward_gflop(network, *frame_shape(samples_train))
    return OfflineResult(result.network, (result,), (work,))


def closure_task(
    scales: Standardisation, target_cut: float | None = None, unit: float = 1.0
) -> Task:
    """Return the task of a whole closure: its increment, as it runs online, against the forcing."""

    def target(forcing: Array) -> Array:
        return scales.wanted(forcing, target_cut)

    def predict(
        closure: LearnedClosure, fields: Array, forcing: Array, noise: Array | None
    ) -> Array:
        increment = closure.predict(fields, noise=noise)
        return scales.targets.normalise(increment)

    return Task(predict, target, unit)
