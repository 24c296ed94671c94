"""Training of a multiscale cascade: one network after the other, on what the earlier ones leave."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, SupportsIndex

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from subgrid.closures import LearnedClosure
from subgrid.errors import ConfigError
from subgrid.grids import downscale, upscale
from subgrid.nn import Cascade
from subgrid.randomness import Stream, require_seed
from subgrid.training.offline import OfflineResult, seen_channels
from subgrid.training.plan import Plan
from subgrid.training.scaling import (
    SampleSource,
    Standardisation,
    described,
    frame_shape,
    scaled,
    scaling_batch,
    standardisation,
    typical_size,
)
from subgrid.training.tasks import Sample, Sources, Task, forward_gflop, sample_arrays, train_task
from subgrid.training.trackers import Callback


def train_cascade(
    closure: LearnedClosure,
    samples_train: SampleSource,
    samples_validation: SampleSource,
    plan: Plan | Sequence[Plan],
    *,
    folder: str | Path,
    seed: SupportsIndex,
    scale_stages: bool = True,
    callbacks: Sequence[Callback] = (),
    label: str = "",
) -> OfflineResult:
    """Return a closure whose network, a `Cascade`, was trained stage by stage, the coarsest first.

        loss of stage j = mean of ((P S̃_j(x) - D_j S)/s_j)²

    S̃_j = the cascade's prediction at the size of stage j (see `subgrid.nn.Cascade`), made of net_j
    and the earlier networks, which stay fixed; P = what the output of the closure makes of it; S =
    standardised forcing. Since S̃_j = D†S̃_{j-1} + s_j net_j, this is net_j against the residual that
    the earlier networks leave on the training data (Otness, Zanna & Bruna 2025), divided by s_j:
    its standard deviation to three digits if `scale_stages`, else 1, the published form. Validation
    losses are in units of the standardised forcing at that size: the last is the closure's own.
    Scales that the output cuts off are missing in S and P S̃_j. Scalers as in `train_offline`.

    `plan`: one for all stages or one per stage. Stage j trains in `folder`/stage_j and reports as
    "`label` stage_j". A single-scale baseline gets the same budget with `updates` of the result.
    Raises ConfigError for plans or samples that do not fit; see also `fit`.
    """
    seed = require_seed(seed)
    cascade = _cascade(closure)
    plans = _plans(plan, cascade, samples_train)
    scales = standardisation(samples_train)
    closure = scaled(closure, scales, samples_train, seed)
    sources = Sources(samples_train, samples_validation, scales, seen_channels(closure))
    settings = described(closure)
    settings |= {"sizes": list(cascade.sizes), "scale_stages": scale_stages}
    fits = []
    for stage, stage_plan in enumerate(plans):
        unit = _residual_size(closure, stage, sources, seed) if scale_stages else 1.0
        closure = eqx.tree_at(_cascade, closure, _cascade(closure).with_scale(stage, unit))
        result = train_task(
            closure,
            stage_task(scales, closure, stage, unit),
            sources,
            stage_plan,
            where=_network(stage),
            folder=Path(folder) / f"stage_{stage}",
            seed=seed,
            settings={"stage": stage, **settings},
            callbacks=callbacks,
            label=f"{label} stage_{stage}".strip(),
        )
        fits.append(result)
        closure = result.network
    return OfflineResult(closure, tuple(fits), _gflop_per_sample(cascade, samples_train))


def stage_task(scales: Standardisation, closure: LearnedClosure, stage: int, unit: float) -> Task:
    """Return the task of one stage: the increment at its size against D S, as `closure` has them.

    The fixed networks run inside the loss: they see each sample's noise, the same in every stage.
    Of scales that the output cuts off the increment has none; the prediction it is made of may,
    where its size holds any, and later networks see them.
    """
    size, output = _cascade(closure).stage_size(stage), closure.output

    def predict(closure: LearnedClosure, sample: Sample, key: Any) -> Array:
        outside = sample.outside(closure.system)
        seen = closure.seen(sample.fields, noise=sample.noise, forcing=outside)
        said = _cascade(closure).predict(seen, stage)
        return scales.targets.normalise(closure.output(said, sample.fields))

    def target(forcing: Array) -> Array:
        return downscale(scales.reachable(forcing, output), _rows(forcing.shape, size), size)

    return Task(predict, target, unit)


def _residual_size(closure: LearnedClosure, stage: int, sources: Sources, seed: int) -> float:
    """Return the standard deviation of what the earlier stages leave to this one."""
    scales = sources.scales
    batch = scaling_batch(sources.train, seed, Stream.STAGE_SCALE)
    task = stage_task(scales, closure, stage, 1.0)

    @eqx.filter_jit
    def square(closure: LearnedClosure, sample: Sample) -> Array:
        residual = task.target(sample.forcing)
        if stage > 0:
            earlier = stage_task(scales, closure, stage - 1, 1.0)
            predicted = earlier.predict(closure, sample, None)
            ny, nx = residual.shape[-2:]
            residual = residual - upscale(predicted, ny, nx)
        return jnp.mean(jnp.square(residual))

    samples = zip(*sample_arrays(batch, scales).values(), strict=True)
    return typical_size([float(square(closure, Sample(*one))) for one in samples])


def _gflop_per_sample(cascade: Cascade, samples: SampleSource) -> tuple[float, ...]:
    """Return, per stage, three forward passes of its network and one of each earlier one [1e9]."""
    shape = frame_shape(samples)
    sizes = [cascade.sizes[0], *cascade.sizes[-2::-1]]  # network 0 works at the finest size
    forward = [
        forward_gflop(network, _rows(shape, size), size)
        for network, size in zip(cascade.networks, sizes, strict=True)
    ]
    return tuple(sum(forward[:stage]) + 3 * work for stage, work in enumerate(forward))


def _rows(shape: Sequence[int], size: int) -> int:
    """Return the rows of a level with `size` points along x, with the aspect of `shape`."""
    return shape[-2] * size // shape[-1]


def _cascade(closure: LearnedClosure) -> Any:
    return closure.network


def _network(stage: int) -> Callable[[LearnedClosure], Any]:
    return lambda closure: _cascade(closure).networks[stage]


def _plans(plan: Plan | Sequence[Plan], cascade: Cascade, samples: SampleSource) -> list[Plan]:
    stages = len(cascade.networks)
    plans = [plan] * stages if isinstance(plan, Plan) else list(plan)
    if len(plans) != stages:
        raise ConfigError(f"{len(plans)} plans for {stages} stages; give one for all or one each.")
    if samples.scale != cascade.sizes[0]:
        raise ConfigError(
            f"the samples of {samples.path} are of size {samples.scale}, but the cascade's finest "
            f"size is {cascade.sizes[0]}; open them with Samples(path, {cascade.sizes[0]})."
        )
    return plans
