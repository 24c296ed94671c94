"""What a run will take: counted from its config, and timed by a few steps and updates here."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from subgrid.closures import TENDENCY
from subgrid.computing import lenient
from subgrid.config import (
    AdaptedConfig,
    Config,
    Parts,
    build_coarse_systems,
    build_system,
    cells_of,
    value_count,
)
from subgrid.data import fits_in_memory
from subgrid.experiment.progress import duration
from subgrid.experiment.separated import cases
from subgrid.machine import usable_cpus
from subgrid.nn import flops, parameter_count
from subgrid.randomness import random_key
from subgrid.stepping import advance_segment

_TIMED_STEPS = 20
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
    config: Config,
    workers: int = 1,
    copies: Mapping[str, Path] | None = None,
    trust: bool = False,
) -> list[StagePlan]:
    """Return what each stage of a run takes; compiles and times its kernels, some seconds.

    `copies`: the bundles that the run took over already, by the name of the model; `trust`: see
    `run_experiment`.
    """
    system = build_system(config)
    coarse = build_coarse_systems(config, system)
    return [
        _plan_simulation(config, system, coarse, workers),
        _plan_training(config, coarse, workers),
        _plan_evaluation(Parts(config, coarse, system, copies or {}, trust), workers),
    ]


def step_operations(system: Any) -> float:
    """Return the floating-point operations of a step: 2.5 n log₂ n per real transform of n cells.

    Spectral: five transforms per level (u, v, q back; u q, v q forth) and some 60 operations per
    value. Kolmogorov flow: three transforms, and some 150 operations per cell for the limiter.
    """
    values, cells = value_count(system), system.domain.size
    transform = 2.5 * cells * math.log2(cells)
    if not system.evolves_spectra:
        return 3 * transform + 150 * cells
    return values // cells * (5 * transform + 60 * cells)


def _plan_simulation(config: Config, system: Any, coarse: Sequence[Any], workers: int) -> StagePlan:
    counts, truth = config.data.trajectories, config.truth
    frames = (counts.train + counts.validation) * truth.frames + counts.test * config.test_frames
    spinups = counts.train + counts.validation + counts.test
    steps = spinups * truth.spinup_steps + frames * truth.save_every
    values = sum(map(value_count, coarse))
    arrays = 4 if config.data.store_flux else 2  # state and forcing, perhaps two fluxes
    frame_bytes = arrays * values * _FLOATS
    # the defect of a coarse step takes as many of the truth's again, for every frame
    made = steps + (frames * config.substeps if config.coarse.target == "step" else 0)
    seconds = made * _seconds_per_step(system, config.truth.dt, None)
    return StagePlan(
        "simulate",
        f"{spinups} trajectories of about {duration(seconds / spinups)} each, {steps:,} steps of "
        f"{cells_of(system)} cells, {frames:,} frames",
        made * step_operations(system),
        # two segments of frames, and the arrays of a step
        workers * (2 * config.data.segment_frames * frame_bytes + 60 * system.grid.size * _FLOATS),
        frames * frame_bytes,
        # a worker of one thread is as fast as this process with all (docs/performance.md)
        seconds / _at_once(workers, spinups),
    )


def _plan_training(config: Config, systems: Sequence[Any], workers: int) -> StagePlan:
    operations, seconds, updates, memory, disk = 0.0, 0.0, 0, 0.0, 0.0
    known: dict[Any, tuple[float, float, float, float]] = {}
    searched = {model.name for model in config.searched()}
    separated = sum(1 for _ in cases(config))
    trained = (config.learned(), config.searched(), config.calibrated())
    at_once = _at_once(workers, _count(*trained) + separated)
    for network, seen, system, entry, rounds in _networks(config, systems):
        shape = system.grid.shape
        stages = [config.training_of(entry, stage) for stage in range(rounds)]
        training = stages[0]
        samples = sum(stage.updates * stage.batch_size for stage in stages) // rounds
        work = _operations(network, shape)
        formed = step_operations(system) if _sees_tendency(entry) else 0.0  # as much as a step
        operations += samples * (3 * work + rounds * formed)
        # one network of each make is timed; the others take as much per operation
        kind = "search" if entry.name in searched else (_make(entry), training.chunk)
        if kind not in known:
            per_sample, needed = _gradient_cost(network, (seen, *shape), training.chunk, at_once)
            forming = 0.0
            if _sees_tendency(entry):
                forming = _seconds_per_step(system, config.coarse_dt, None, at_once)
            known[kind] = per_sample, work, needed, forming
        per_sample, timed_work, needed, forming = known[kind]
        seconds += samples * (per_sample * _share(work, timed_work) + rounds * forming)
        updates += sum(stage.updates for stage in stages)
        memory = max(memory, needed)
        # the closure, the best weights, and a checkpoint with two moments
        disk += 5 * parameter_count(network) * _FLOATS
    counts = config.data.trajectories
    frame_bytes = 2 * 2 * systems[0].grid.size * _FLOATS  # state and forcing, two layers
    splits = [n * config.truth.frames * frame_bytes for n in (counts.train, counts.validation)]
    memory *= at_once
    hold = config.training.in_memory
    # others are streamed
    memory += sum(split for split in splits if (fits_in_memory(split) if hold == "auto" else hold))
    also = f" and {separated} separated networks" if separated else ""
    for adapted in config.adapted():
        took = _fine_tuning(config, adapted, systems[0], at_once)
        operations, seconds, updates = (
            total + more for total, more in zip((operations, seconds, updates), took, strict=True)
        )
    models = sum(map(len, trained))
    what = f"{updates:,} updates of {models} learned closures{also}"
    return StagePlan("train", what, operations, memory, disk, seconds)


def _fine_tuning(
    config: Config, adapted: AdaptedConfig, system: Any, at_once: int
) -> tuple[float, float, int]:
    """Return operations, seconds and updates of training on through the solver.

    A gradient through a step is taken as four forward steps: one more for the states that are
    formed again. Seconds are those of a step with its network, alone, times that.
    """
    tune, base = adapted.fine_tune, adapted.base(config)
    if tune is None:
        return 0.0, 0.0, 0
    network = base.network(config, system, random_key(0))
    one = step_operations(system) + _operations(network, system.grid.shape)
    per_step = _seconds_per_step(system, config.coarse_dt, None, at_once)
    seen = base.channels(system)[0]
    per_step += _seconds_per_forward(network, (seen, *system.grid.shape), at_once)
    updates = base.seeds * tune.updates
    steps = 4 * updates * tune.batch_size * tune.frames * config.steps_per_frame
    return steps * one, steps * per_step, updates


def _networks(config: Config, systems: Sequence[Any]) -> Iterator[tuple[Any, int, Any, Any, int]]:
    """Yield each network to be trained, and its channels, system, entry and number of trainings."""
    key = random_key(0)
    for model in (*config.learned(), *config.searched(), *config.calibrated()):
        network = model.network(config, systems[0], key)
        # a cascade trains one network after another: the whole is an upper bound for each
        rounds = len(config.updates_of(model))
        seen = model.channels(systems[0])[0]
        yield from [(network, seen, systems[0], model, rounds)] * model.seeds
    for case in cases(config):
        system = systems[config.coarse.sizes.index(case.high)]
        network = case.entry.build_network(case.task, system, key)
        yield network, case.entry.channels(case.task, system)[0], system, case.entry, 1


def _operations(network: Any, shape: tuple[int, int]) -> float:
    """Return the operations of a forward pass, NaN if a part of a network does not say its own."""
    try:
        return float(flops(network, *shape))
    except (TypeError, AttributeError):  # the latter where a part is asked directly
        return math.nan


def _share(work: float, of: float) -> float:
    """Return the quotient of two counts of operations, 1 where one is not known."""
    return work / of if work > 0 and of > 0 else 1.0


def _plan_evaluation(parts: Parts, workers: int) -> StagePlan:
    config, system = parts.config, parts.coarse[0]
    settings = config.evaluation
    operations, seconds, runs = 0.0, 0.0, 0
    closures = sum(len(model.labels(config)) for model in config.models)
    at_once = _at_once(workers, closures + _count(config.searched(), config.calibrated()))
    tried, forwards = config.calibrated(), {}
    for model in (*config.models, *tried):
        networks = len(model.labels(config))
        members = settings.members
        if model in tried:
            members = config.calibration.members  # type: ignore[union-attr]
        else:
            networks *= 1 + len(settings.variants)
        steps = settings.steps * members * networks
        base, closure, stepped = (
            model.base(config),
            model.make(parts),
            model.stepped(config, system),
        )
        steps *= stepped.substeps
        operations += steps * step_operations(stepped.system)
        seconds += steps * _seconds_per_step(stepped.system, stepped.dt, closure, at_once)
        if base is not None:
            network = base.network(config, system, random_key(0))
            operations += steps * _operations(network, system.grid.shape)
            make, seen = _make(base), base.channels(system)[0]
            if make not in forwards:
                sample = (seen, *system.grid.shape)
                forwards[make] = _seconds_per_forward(network, sample, at_once)
            seconds += steps * forwards[make]
        runs += members * networks
    added = _plan_search(config, system, at_once)
    operations, seconds, runs = map(sum, zip((operations, seconds, runs), added, strict=True))
    frame = system.grid.size * 2 * _FLOATS
    return StagePlan(
        "evaluate",
        f"{runs} free runs of {settings.steps:,} steps, {settings.samples} samples offline",
        operations,
        at_once * settings.members * 80 * frame,
        runs * (settings.snapshots * frame + settings.steps // settings.save_every * 48),
        seconds,
    )


def _plan_search(config: Config, system: Any, at_once: int) -> tuple[float, float, int]:
    """Return operations, seconds and number of the free runs of a search."""
    searched, settings, shape = config.searched(), config.evaluation, system.grid.shape
    if not searched:
        return 0.0, 0.0, 0
    networks = [model.network(config, system, random_key(0)) for model in searched]
    samples = [(model.channels(system)[0], *shape) for model in searched]
    works = [_operations(network, shape) for network in networks]
    # two are timed, for a small network takes more per operation; the others lie between
    extremes = {works.index(extreme(works)) for extreme in (min, max)}
    times = [(_seconds_per_forward(networks[i], samples[i], at_once), works[i]) for i in extremes]
    per_pass = [
        sum(seconds * _share(work, timed) for seconds, timed in times) / len(times)
        for work in works
    ]
    alone = _seconds_per_step(system, config.coarse_dt, None, at_once)
    runs = [settings.members * model.seeds for model in searched]
    steps = [settings.steps * count for count in runs]
    operations = sum(
        n * (step_operations(system) + work) for n, work in zip(steps, works, strict=True)
    )
    seconds = sum(n * (alone + one) for n, one in zip(steps, per_pass, strict=True))
    return operations, seconds, sum(runs)


def _make(entry: Any) -> Any:
    """Return what learned models that take equally long have in common; of others the name."""
    if not hasattr(entry, "arrangement"):
        return entry.name
    return entry.networks, entry.arrangement, entry.width, entry.sizes, entry.inputs


def _sees_tendency(model: Any) -> bool:
    return TENDENCY in (getattr(model, "inputs", None) or ())


def _some_state(system: Any) -> Any:
    return system.initial_state(key=random_key(0))


def _seconds_per_step(system: Any, dt: float, closure: Any, at_once: int = 1) -> float:
    model = system.model(dt, closure)
    carry = model.init(_some_state(system), key=random_key(0))
    seconds = timed(lambda: advance_segment(model, carry, 1, _TIMED_STEPS, _nothing), at_once)
    return seconds / _TIMED_STEPS


def _gradient_cost(
    network: Any, sample: tuple[int, ...], chunk: int, at_once: int
) -> tuple[float, float]:
    """Return seconds per sample of a gradient over `chunk` samples, and its working memory."""
    batch = jnp.ones((chunk, *sample), jnp.float32)
    weights, rest = eqx.partition(network, eqx.is_inexact_array)

    @jax.grad
    def gradient(weights: Any, batch: Any) -> Any:
        return jnp.mean(jax.vmap(eqx.combine(weights, rest))(batch) ** 2)

    compiled = jax.jit(gradient).lower(weights, batch).compile()
    analysis = compiled.memory_analysis()
    memory = 0.0 if analysis is None else float(analysis.temp_size_in_bytes)
    return timed(lambda: compiled(weights, batch), at_once) / chunk, memory


def _seconds_per_forward(network: Any, sample: tuple[int, ...], at_once: int) -> float:
    field = jnp.ones(sample, jnp.float32)
    apply = eqx.filter_jit(network)
    return timed(lambda: apply(field), at_once)


def _count(*groups: Sequence[Any]) -> int:
    """Return how many closures models are: a learned one as many as it has seeds."""
    return sum(getattr(model, "seeds", 1) for models in groups for model in models)


def _at_once(workers: int, works: int) -> int:
    """Return how many of a stage's works run side by side."""
    return max(1, min(workers, works, usable_cpus()))


def timed(call: Callable[[], Any], at_once: int = 1) -> float:
    """Return the seconds per call where `at_once` threads call, after a call that compiles.

    The best of three rounds.
    """
    jax.block_until_ready(call())
    times = []
    with ThreadPoolExecutor(at_once) as pool:
        for _ in range(3):
            start = time.perf_counter()
            list(pool.map(lambda _: jax.block_until_ready(call()), range(at_once)))
            times.append(time.perf_counter() - start)
    return min(times) / at_once


def _nothing(state: Any, time: Any) -> None:
    """Observe nothing, so that only the steps are timed."""
