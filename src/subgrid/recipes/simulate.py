"""Simulates the truth and writes the data of a split."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp

from subgrid.config import (
    Config,
    build_coarse_systems,
    build_coarseners,
    build_online_system,
    build_system,
    build_target,
)
from subgrid.data import Progress as TrajectoryProgress
from subgrid.data import Samples, Split, describe_left_out, generate_all
from subgrid.experiment.progress import COMPILING, Progress, Work
from subgrid.experiment.takeover import read_origin
from subgrid.experiment.task import Context
from subgrid.recipes.making import samples_of
from subgrid.recipes.stability import check_time_step, online_key
from subgrid.systems import rounded_down

SPLITS = ("train", "validation", "test")


def simulate(context: Context, split: str) -> dict[str, Any]:
    """Write the data of a split and return what the manifest keeps of them.

    Finished trajectories and saved segments of an interrupted run are kept. Raises ConfigError for
    a time step above the limit, UnstableRunError if no trajectory of the split stays healthy.
    """
    folder, progress = context.folder, context.progress
    wanted = _split(folder.config, folder.split(split), split)
    steps = wanted.trajectories * wanted.job().steps
    work = progress.task(f"simulate {split}", steps, first=COMPILING)
    steps_done = dict.fromkeys(range(wanted.trajectories), 0)
    wanted = dataclasses.replace(wanted, progress=_shown(work, steps_done))
    (summary,) = generate_all([wanted], context.map)
    _tell_blow_ups(progress, split, summary, wanted.system.time_units)
    notes: dict[str, Any] = {
        "content_hash": summary.content_hash,
        "seeds": [result.seeds[-1] for result in summary.results],
        "blow_ups": summary.blow_ups,
        "failed": list(summary.failed),
    }
    for system in wanted.coarse_systems.values():
        # makes the statistics too, which are kept beside the store
        if missing := describe_left_out(samples_of(folder, split, system, in_memory=False)):
            notes.setdefault("not_finite", []).append(missing)
            progress.note(f"simulate: {missing}")
    work.finish()
    origin = read_origin(folder.split(split))
    return {"splits": {split: notes}, **({} if origin is None else {"data_from": origin})}


def _split(config: Config, path: Path, name: str) -> Split:
    """Return what has to be simulated for a split."""
    system = build_system(config)
    coarse = build_coarse_systems(config, system)
    coarseners = build_coarseners(config, system, coarse)
    return Split(
        path=path,
        system=system,
        coarse_systems=dict(zip(config.coarse.sizes, coarse, strict=True)),
        coarseners=dict(zip(config.coarse.sizes, coarseners, strict=True)),
        dt=config.truth.dt,
        trajectories=getattr(config.data.trajectories, name),
        spinup_steps=config.truth.spinup_steps,
        frames=config.test_frames if name == "test" else config.truth.frames,
        save_every=config.truth.save_every,
        seed=config.seed,
        segment_frames=config.data.segment_frames,
        store_flux=config.data.store_flux,
        target=build_target(config),
    )


def check_online_step(config: Config, test: Path) -> None:
    """Raise ConfigError if the coarse model's step is above the limit in the states it starts from.

    Checked before the training, so that its time is not spent for free runs that cannot work.
    """
    coarse = build_coarse_systems(config, build_system(config))[0]
    system = build_online_system(config, coarse)
    names = [variable.name for variable in system.variables]
    samples = Samples(test, config.coarse.sizes[0], names, in_memory=False)
    first = [i for i in range(len(samples)) if samples.origin(i)[1] == 0]
    batch = samples.batch(first)
    states = system.State(**{name: jnp.asarray(batch[name]) for name in names})
    check_time_step(online_key(config), config.coarse_dt, system, states)


def _shown(task: Work, steps_done: dict[int, int]) -> Callable[[TrajectoryProgress], None]:
    """Return the callback of a split; `steps_done` are the steps of all trajectories so far."""

    def update(now: TrajectoryProgress) -> None:
        steps_done[now.trajectory] = now.steps
        again = f", attempt {now.attempt}" if now.attempt > 1 else ""
        task.update(sum(steps_done.values()), f"trajectory {now.trajectory}: {now.phase}{again}")

    return update


def _tell_blow_ups(progress: Progress, split: str, summary: Any, units: str) -> None:
    if summary.blow_ups:
        safe = summary.safe_dt
        unit = " s" if units == "s" else ""
        advice = "" if safe is None else f"; the largest safe dt is {rounded_down(safe):g}{unit}"
        progress.note(
            f"simulate {split}: {summary.blow_ups} attempts blew up and were repeated with new "
            f"seeds; {len(summary.failed)} of {summary.trajectories} trajectories are "
            f"missing{advice}"
        )
