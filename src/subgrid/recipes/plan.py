"""What a run will take: each task estimates it, by a few steps and updates that are timed here."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from subgrid.closures import TENDENCY
from subgrid.computing import lenient
from subgrid.config import (
    AbstractModelConfig,
    Config,
    Parts,
    VariantConfig,
    build_coarse_systems,
    build_system,
    build_target,
    value_count,
)
from subgrid.config.learned import TrainedHere
from subgrid.config.training import Optimisation
from subgrid.data import fits_in_memory
from subgrid.experiment.task import Estimate, graph, recipe_of
from subgrid.machine import usable_cpus
from subgrid.nn import parameter_count
from subgrid.recipes.held_out import Members
from subgrid.recipes.kernels import Cost, Kernels

_FLOATS = 4  # bytes


@dataclass(frozen=True)
class StagePlan:
    """What a stage takes: the sum over its tasks, of which `at_once` run side by side."""

    stage: str
    total: Estimate
    at_once: int

    @property
    def work(self) -> str:
        """What it does, in words."""
        return ", ".join(f"{what} {count:,}" for what, count in self.total.amounts.items())


@lenient()
def plan_run(
    config: Config, workers: int = 1, copies: Mapping[str, Path] | None = None, trust: bool = False
) -> list[StagePlan]:
    """Return what each stage of a run takes; compiles and times its kernels, some seconds.

    `copies`: the bundles that the run took over already, by the name of the model; `trust`: see
    `run_experiment`. A stage of which no task says what it takes is left out.
    """
    system = build_system(config)
    parts = Parts(config, build_coarse_systems(config, system), system, copies or {}, trust)
    stages: dict[str, list[Any]] = {}
    for task in graph(recipe_of(config).tasks(config)).values():
        if task.estimate is not None:
            stages.setdefault(task.stage, []).append(task)
    plans = []
    for stage, tasks in stages.items():
        works = sum(task.parts for task in tasks)
        kernels = Kernels(parts, max(1, min(workers, works, usable_cpus())))
        found = [task.estimate(kernels) for task in tasks]
        plans.append(StagePlan(stage, _sum(found, kernels.at_once), kernels.at_once))
    return plans


def _sum(estimates: list[Estimate], at_once: int) -> Estimate:
    amounts: Counter[str] = Counter()
    for one in estimates:
        amounts.update(one.amounts)
    return Estimate(
        amounts=amounts,
        operations=sum(one.operations for one in estimates),
        memory=at_once * max(one.memory for one in estimates),
        disk=sum(one.disk for one in estimates),
        seconds=sum(one.seconds for one in estimates),
    )


def of_simulation(kernels: Kernels, split: str) -> Estimate:
    """Return what the trajectories of a split take, and their coarse frames with their targets."""
    config, parts = kernels.parts.config, kernels.parts
    truth, trajectories = config.truth, getattr(config.data.trajectories, split)
    frames = trajectories * (config.test_frames if split == "test" else truth.frames)
    steps = trajectories * truth.spinup_steps + frames * truth.save_every
    arrays = 4 if config.data.store_flux else 2  # state and target, perhaps two fluxes
    frame = arrays * sum(map(value_count, parts.coarse)) * _FLOATS
    made = steps + frames * build_target(config).fine_steps
    # a worker of one thread is as fast as this process with all (docs/performance.md)
    cost = kernels.alone.step(parts.system, truth.dt) * made
    return Estimate(
        amounts={"trajectories": trajectories, "steps": steps, "frames": frames},
        operations=cost.operations,
        # two segments of frames, and the arrays of a step
        memory=2 * config.data.segment_frames * frame + 30 * _state_bytes(parts.system),
        disk=frames * frame,
        seconds=cost.seconds / kernels.at_once,
    )


def of_training(kernels: Kernels, model: TrainedHere, stages: Sequence[Optimisation]) -> Estimate:
    """Return what the training of an initialisation of a model takes."""
    config, coarse = kernels.parts.config, kernels.parts.coarse[0]
    if stages[0].steps(config):
        return _through_solver(kernels, model, stages)
    base = model.base(config)
    network, seen = kernels.network(base)
    make = (kernels.make(base), stages[0].chunk)
    # a tendency among the features is formed for each sample, which takes as much as a step
    further = Cost()
    if TENDENCY in (base.features or ()):
        further = kernels.step(coarse, config.coarse_dt) * len(stages)
    return of_network(kernels, stages, network, (seen, *coarse.domain.shape), make, further)


def of_network(
    kernels: Kernels,
    stages: Sequence[Optimisation],
    network: Any,
    sample: tuple[int, ...],
    make: Any,
    further: Cost | None = None,
) -> Estimate:
    """Return what the training of a network takes; `further`: besides its gradient, for a sample.

    `make`: see `Kernels.gradient`. A cascade trains one network after another: the whole is an
    upper bound for each.
    """
    one = kernels.gradient(network, sample, stages[0].chunk, make) + (further or Cost())
    cost = one * (sum(stage.updates * stage.batch_size for stage in stages) // len(stages))
    return Estimate(
        amounts={"trainings": 1, "updates": sum(stage.updates for stage in stages)},
        operations=cost.operations,
        memory=one.memory + _held(kernels.parts),
        # the closure, the best weights, and a checkpoint with two moments
        disk=5 * parameter_count(network) * _FLOATS,
        seconds=cost.seconds,
    )


def _held(parts: Parts) -> int:
    """Return the bytes of the splits that a training holds; those that it does not are streamed."""
    counts, frame = parts.config.data.trajectories, 2 * _state_bytes(parts.coarse[0])
    splits = [n * parts.config.truth.frames * frame for n in (counts.train, counts.validation)]
    hold = parts.config.training.in_memory
    return sum(split for split in splits if (fits_in_memory(split) if hold == "auto" else hold))


def _through_solver(
    kernels: Kernels, model: AbstractModelConfig, stages: Sequence[Optimisation]
) -> Estimate:
    """Return what training through the solver takes.

    A gradient through a step is taken as four forward steps: one more for the states that are
    formed again. Seconds are those of a step with its network, alone, times that.
    """
    config = kernels.parts.config
    steps = sum(one.updates * one.batch_size * one.steps(config) for one in stages)
    step = kernels.step(kernels.parts.coarse[0], config.coarse_dt)
    cost = (step + _forward(kernels, model)) * (4 * steps)
    return Estimate(
        amounts={"trainings": 1, "updates": sum(one.updates for one in stages)},
        operations=cost.operations,
        seconds=cost.seconds,
    )


def of_free_runs(
    kernels: Kernels, members: Members, model: AbstractModelConfig, variant: VariantConfig | None
) -> Estimate:
    """Return what the free runs of a closure take."""
    parts, settings = kernels.parts, kernels.parts.config.evaluation
    stepped = model.stepped(parts.config, parts.coarse[0], variant)
    closure = model.make(parts)
    named = None if closure is None else model.shown
    one = kernels.step(stepped.system, stepped.dt, closure, named) + _forward(kernels, model)
    runs, frame = members.count * settings.draws, _state_bytes(parts.coarse[0])
    cost = one * (settings.steps * runs * stepped.substeps)
    return Estimate(
        amounts={"free runs": runs, "steps": settings.steps * runs * stepped.substeps},
        operations=cost.operations,
        memory=runs * 80 * frame,
        disk=runs * (settings.snapshots * frame + settings.steps // settings.save_every * 48),
        seconds=cost.seconds,
    )


def _forward(kernels: Kernels, model: AbstractModelConfig) -> Cost:
    """Return what the networks of a model take in a step; nothing if it has none of this run."""
    if (base := model.base(kernels.parts.config)) is None:
        return Cost()
    network, seen = kernels.network(base)
    sample = (seen, *kernels.parts.coarse[0].domain.shape)
    return kernels.forward(network, sample, kernels.make(base))


def _state_bytes(system: Any) -> int:
    return value_count(system) * _FLOATS
