"""What a run will take: counted from its config, and timed by a few steps and updates here."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from subgrid.closures import TENDENCY
from subgrid.computing import lenient
from subgrid.config import Config, Parts, build_coarse_systems, build_system, cells_of, value_count
from subgrid.data import fits_in_memory
from subgrid.experiment.progress import duration
from subgrid.machine import usable_cpus
from subgrid.nn import parameter_count
from subgrid.randomness import random_key
from subgrid.recipes.cases import cases
from subgrid.recipes.kernels import Cost, Kernels

_FLOATS = 4  # bytes


@dataclass(frozen=True)
class StagePlan:
    """What a stage takes.

    `work`: in words; `operations`: floating-point, counted, NaN where a network of the user's does
    not say its own; `memory`, `disk`: bytes; `seconds`: operations of each kind times what one was
    measured to take on this machine.
    """

    stage: str
    work: str
    operations: float | int
    memory: float | int
    disk: float | int
    seconds: float


@lenient()
def plan_run(
    config: Config, workers: int = 1, copies: Mapping[str, Path] | None = None, trust: bool = False
) -> list[StagePlan]:
    """Return what each stage of a run takes; compiles and times its kernels, some seconds.

    `copies`: the bundles that the run took over already, by the name of the model; `trust`: see
    `run_experiment`.
    """
    system = build_system(config)
    coarse = build_coarse_systems(config, system)
    parts = Parts(config, coarse, system, copies or {}, trust)
    return [plan(parts, workers) for plan in (_simulation, _training, _evaluation)]


def _simulation(parts: Parts, workers: int) -> StagePlan:
    config, system = parts.config, parts.system
    counts, truth = config.data.trajectories, config.truth
    frames = (counts.train + counts.validation) * truth.frames + counts.test * config.test_frames
    spinups = counts.train + counts.validation + counts.test
    steps = spinups * truth.spinup_steps + frames * truth.save_every
    arrays = 4 if config.data.store_flux else 2  # state and target, perhaps two fluxes
    frame_bytes = arrays * sum(map(value_count, parts.coarse)) * _FLOATS
    # the defect of a coarse step takes as many of the truth's again, for every frame
    made = steps + (frames * config.substeps if config.coarse.target == "step" else 0)
    cost = Kernels(1).step(system, truth.dt) * made
    return StagePlan(
        "simulate",
        f"{spinups} trajectories of about {duration(cost.seconds / spinups)} each, {steps:,} steps "
        f"of {cells_of(system)} cells, {frames:,} frames",
        cost.operations,
        # two segments of frames, and the arrays of a step
        workers * (2 * config.data.segment_frames * frame_bytes + 30 * _state_bytes(system)),
        frames * frame_bytes,
        # a worker of one thread is as fast as this process with all (docs/performance.md)
        cost.seconds / _at_once(workers, spinups),
    )


def _training(parts: Parts, workers: int) -> StagePlan:
    config, coarse = parts.config, parts.coarse
    models = (*config.learned(), *config.searched(), *config.calibrated())
    alone = list(cases(config))
    kernels = Kernels(_at_once(workers, _count(models) + len(alone)))
    searched = {model.name for model in config.searched()}
    cost, updates, memory, disk = Cost(), 0, 0.0, 0.0
    for entry, network, seen, system in _networks(config, coarse):
        stages = [config.training_of(entry, stage) for stage in range(len(entry.changes()))]
        make = "search" if entry.name in searched else (_make(entry), stages[0].chunk)
        sample = (seen, *system.domain.shape)
        one = kernels.gradient(network, sample, stages[0].chunk, make)
        if TENDENCY in (getattr(entry, "features", None) or ()):
            # it is formed for each sample, which takes as much as a step
            one += kernels.step(system, config.coarse_dt, key=make) * len(stages)
        # a cascade trains one network after another: the whole is an upper bound for each
        samples = sum(stage.updates * stage.batch_size for stage in stages) // len(stages)
        cost += one * samples
        updates += sum(stage.updates for stage in stages)
        memory = max(memory, one.memory)
        # the closure, the best weights, and a checkpoint with two moments
        disk += 5 * parameter_count(network) * _FLOATS
    for adapted in config.adapted():
        more, further = _fine_tuning(config, adapted, coarse[0], kernels)
        cost, updates = cost + more, updates + further
    counts, frame = config.data.trajectories, 2 * _state_bytes(coarse[0])
    splits = [n * config.truth.frames * frame for n in (counts.train, counts.validation)]
    hold = config.training.in_memory  # splits that are not held are streamed
    held = sum(split for split in splits if (fits_in_memory(split) if hold == "auto" else hold))
    also = f" and {len(alone)} separated networks" if alone else ""
    return StagePlan(
        "train",
        f"{updates:,} updates of {len(models)} learned closures{also}",
        cost.operations,
        memory * kernels.at_once + held,
        disk,
        cost.seconds,
    )


def _networks(config: Config, coarse: Sequence[Any]) -> Iterator[tuple[Any, Any, int, Any]]:
    """Yield each network to be trained: its entry, itself, its channels, its system."""
    key = random_key(0)
    for model in (*config.learned(), *config.searched(), *config.calibrated()):
        network, seen = model.network(config, coarse[0], key), model.channels(config, coarse[0])[0]
        yield from [(model, network, seen, coarse[0])] * model.seeds
    for case in cases(config):
        system = coarse[config.coarse.sizes.index(case.high)]
        network = case.entry.build_network(case.task, system, key)
        yield case.entry, network, case.entry.channels(case.task, system)[0], system


def _fine_tuning(config: Config, adapted: Any, system: Any, kernels: Kernels) -> tuple[Cost, int]:
    """Return cost and updates of training on through the solver.

    A gradient through a step is taken as four forward steps: one more for the states that are
    formed again. Seconds are those of a step with its network, alone, times that.
    """
    tune, base = adapted.fine_tune, adapted.base(config)
    if tune is None:
        return Cost(), 0
    updates = base.seeds * tune.updates
    steps = 4 * updates * tune.batch_size * tune.frames * config.steps_per_frame
    one = kernels.step(system, config.coarse_dt) + _forward(config, base, system, kernels)
    return one * steps, updates


def _evaluation(parts: Parts, workers: int) -> StagePlan:
    config, system, settings = parts.config, parts.coarse[0], parts.config.evaluation
    searched, tried = config.searched(), config.calibrated()
    closures = sum(len(model.labels(config)) for model in config.models)
    kernels = Kernels(_at_once(workers, closures + _count((*searched, *tried))))
    cost, runs = Cost(), 0
    for model in (*config.models, *tried, *_extremes(config, searched, system)):
        count = len(model.labels(config)) * settings.members
        if model in tried and config.calibration is not None:
            count = len(model.labels(config)) * config.calibration.members
        elif model in searched:  # two stand for all
            count = settings.members * _count(searched) // min(len(searched), 2)
        else:
            count *= 1 + len(settings.variants)
        stepped, base = model.stepped(config, system), model.base(config)
        one = kernels.step(stepped.system, stepped.dt, model.make(parts))
        if base is not None:
            one += _forward(config, base, system, kernels)
        count *= settings.draws
        cost += one * (settings.steps * count * stepped.substeps)
        runs += count
    frame = _state_bytes(system)
    return StagePlan(
        "evaluate",
        f"{runs} free runs of {settings.steps:,} steps, {settings.samples} samples offline",
        cost.operations,
        kernels.at_once * settings.members * settings.draws * 80 * frame,
        runs * (settings.snapshots * frame + settings.steps // settings.save_every * 48),
        cost.seconds,
    )


def _forward(config: Config, model: Any, system: Any, kernels: Kernels) -> Cost:
    """Return what the networks of a learned model take in a step."""
    network, seen = model.network(config, system, random_key(0)), model.channels(config, system)[0]
    return kernels.forward(network, (seen, *system.domain.shape), _make(model))


def _extremes(config: Config, searched: Sequence[Any], system: Any) -> list[Any]:
    """Return the smallest and the largest model of a search, between which the others lie."""
    sizes = {
        model.name: parameter_count(model.network(config, system, random_key(0)))
        for model in searched
    }
    ranked = sorted(searched, key=lambda model: sizes[model.name])
    return [*ranked[:1], *ranked[1:][-1:]]


def _make(entry: Any) -> Any:
    """Return what networks that take equally long have in common."""
    same = {"network", "networks", "arrangement", "width", "sizes", "features"}
    return tuple((name, str(value)) for name, value in entry.model_dump(include=same).items())


def _state_bytes(system: Any) -> int:
    return value_count(system) * _FLOATS


def _count(models: Sequence[Any]) -> int:
    """Return how many closures learned models are: as many as they have seeds."""
    return sum(model.seeds for model in models)


def _at_once(workers: int, works: int) -> int:
    """Return how many of a stage's works run side by side."""
    return max(1, min(workers, works, usable_cpus()))
