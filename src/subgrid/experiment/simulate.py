"""The stage that simulates the truth and writes the data of every split."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp

from subgrid.checksums import unsigned
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
from subgrid.experiment.folder import RunFolder
from subgrid.experiment.progress import COMPILING, Progress, Task
from subgrid.experiment.stability import check_time_step, online_key
from subgrid.experiment.training_runs import pairs
from subgrid.experiment.workers import Workers
from subgrid.files import read_json
from subgrid.systems import rounded_down

SPLITS = ("train", "validation", "test")
DATA_FROM = "data_from.json"  # beside data that were copied from another run: which one


def simulate(folder: RunFolder, progress: Progress, workers: Workers) -> dict[str, Any]:
    """Write the data of every split and return what the manifest keeps of them.

    Finished trajectories and saved segments of an interrupted run are kept. Raises ConfigError for
    a time step above the limit, UnstableRunError if no trajectory of a split stays healthy.
    """
    (folder.path / "data").mkdir(exist_ok=True)
    wanted = _splits(folder)
    steps = sum(split.trajectories * split.job().steps for split in wanted.values())
    count = sum(split.trajectories for split in wanted.values())
    task = progress.task(f"simulate {count} trajectories", steps, first=COMPILING)
    told = {  # all keys now: the splits tell from threads of their own
        (name, index): 0 for name, split in wanted.items() for index in range(split.trajectories)
    }
    shown = [
        dataclasses.replace(split, progress=_shown(task, name, told))
        for name, split in wanted.items()
    ]
    notes: dict[str, Any] = {}
    for name, summary in zip(wanted, generate_all(shown, workers.map), strict=True):
        _tell_blow_ups(progress, name, summary, wanted[name].system.time_units)
        notes[name] = {
            "content_hash": summary.content_hash,
            "seeds": [result.seeds[-1] for result in summary.results],
            "blow_ups": summary.blow_ups,
            "failed": list(summary.failed),
        }
        for system in wanted[name].coarse_systems.values():
            # makes the statistics too, which are kept beside the store
            if told_of := describe_left_out(pairs(folder, name, system, in_memory=False)):
                notes[name].setdefault("not_finite", []).append(told_of)
                progress.note(f"simulate: {told_of}")
    task.finish()
    origin = folder.path / "data" / DATA_FROM
    if not origin.exists():
        return {"splits": notes}
    return {"splits": notes, "data_from": unsigned(read_json(origin), origin)}


def _splits(folder: RunFolder) -> dict[str, Split]:
    """Return what has to be simulated, in the order of SPLITS, without splits of no trajectory."""
    config = folder.config
    system = build_system(config)
    coarse = build_coarse_systems(config, system)
    coarseners = build_coarseners(config, system, coarse)
    return {
        name: Split(
            path=folder.split(name),
            system=system,
            coarse_systems=dict(zip(config.coarse.sizes, coarse, strict=True)),
            coarseners=dict(zip(config.coarse.sizes, coarseners, strict=True)),
            dt=config.truth.dt,
            trajectories=count,
            spinup_steps=config.truth.spinup_steps,
            frames=config.test_frames if name == "test" else config.truth.frames,
            save_every=config.truth.save_every,
            seed=config.seed,
            segment_frames=config.data.segment_frames,
            store_flux=config.data.store_flux,
            target=build_target(config),
        )
        for name in SPLITS
        if (count := getattr(config.data.trajectories, name))
    }


def check_online_step(config: Config, test: Path) -> None:
    """Raise ConfigError if the coarse model's step is above the limit in the states it starts from.

    Checked before the training, so that its time is not spent for free runs that cannot work.
    """
    coarse = build_coarse_systems(config, build_system(config))[0]
    system = build_online_system(config, coarse)
    names = [variable.name for variable in system.variables]
    samples = Samples(test, config.coarse.sizes[0], names, in_memory=False)
    first = [i for i in range(len(samples)) if samples.origin(i)[1] == 0]
    states = system.State(**{n: jnp.asarray(v) for n, v in samples.batch(first).items()})
    check_time_step(online_key(config), config.coarse_dt, system, states)


def _shown(
    task: Task, split: str, told: dict[tuple[str, int], int]
) -> Callable[[TrajectoryProgress], None]:
    """Return the callback of a split; `told` are the steps of all trajectories so far."""

    def update(now: TrajectoryProgress) -> None:
        told[split, now.trajectory] = now.steps
        again = f", attempt {now.attempt}" if now.attempt > 1 else ""
        task.update(sum(told.values()), f"{split} {now.trajectory}: {now.phase}{again}")

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
