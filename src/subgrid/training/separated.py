"""Training of a network for one of the separated experiments."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, SupportsIndex

from jaxtyping import Array

from subgrid.nn import SeparatedNetwork
from subgrid.randomness import require_seed
from subgrid.training.plan import Plan
from subgrid.training.run import FitResult
from subgrid.training.scaling import SampleSource, standardisation
from subgrid.training.tasks import Sample, Sources, Task, train_task
from subgrid.training.trackers import Callback


def train_separated(
    network: Any,
    samples_train: SampleSource,
    samples_validation: SampleSource,
    plan: Plan,
    *,
    task: str,
    low: int,
    folder: str | Path,
    seed: SupportsIndex,
    callbacks: Sequence[Callback] = (),
    label: str = "",
) -> FitResult:
    """Return the fit whose `network` is a trained `subgrid.nn.SeparatedNetwork`.

        loss = mean over batch, channels and pixels of (prediction - truth)²

    both of `task` with the coarser grid of `low` points along x, in units of the standardised
    forcing at the size of the samples. `network` maps the state's channels, for "buildup" and the
    forcing's, to those of the forcing. Resumes in `folder`; errors are those of `fit`.
    """
    seed = require_seed(seed)
    scales = standardisation(samples_train)
    whole = SeparatedNetwork(network, scales.inputs, scales.targets, task, low)

    def predict(separated: SeparatedNetwork, sample: Sample, key: Array | None) -> Array:
        del key  # nothing draws; the noise is on the fields
        return separated.predict(sample.fields, sample.forcing)

    return train_task(
        whole,
        Task(predict, whole.truth),
        Sources(samples_train, samples_validation, scales),
        plan,
        where=lambda separated: separated.network,
        folder=folder,
        seed=seed,
        settings={"task": task, "low": low},
        callbacks=callbacks,
        label=label,
    )
