"""The stage that simulates the truth and writes the data of every split."""

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
)
from subgrid.data import Progress as TrajectoryProgress
from subgrid.data import Samples, generate, statistics
from subgrid.experiment.folder import RunFolder
from subgrid.experiment.progress import Progress, Task
from subgrid.experiment.stability import check_time_step

SPLITS = ("train", "validation", "test")


def simulate(folder: RunFolder, progress: Progress, mapped: Callable[..., Any]) -> dict[str, Any]:
    """Write the data of every split and return what the manifest keeps of them.

    Finished trajectories and saved segments of an interrupted run are kept. Raises ConfigError for
    a time step above the limit, UnstableRunError if no trajectory of a split stays healthy.
    """
    config = folder.config
    system = build_system(config)
    coarse = build_coarse_systems(config, system)
    coarseners = build_coarseners(config, system, coarse)
    (folder.path / "data").mkdir(exist_ok=True)
    notes: dict[str, Any] = {}
    for split in SPLITS:
        count = getattr(config.data.trajectories, split)
        frames = config.test_frames if split == "test" else config.truth.frames
        steps = config.truth.spinup_steps + frames * config.truth.save_every
        task = progress.task(f"simulate {split} ({count} trajectories)", count * steps)
        summary = generate(
            folder.split(split),
            system=system,
            coarse_systems=dict(zip(config.coarse.sizes, coarse, strict=True)),
            coarseners=dict(zip(config.coarse.sizes, coarseners, strict=True)),
            dt=config.truth.dt,
            trajectories=count,
            spinup_steps=config.truth.spinup_steps,
            frames=frames,
            save_every=config.truth.save_every,
            seed=config.seed,
            segment_frames=config.data.segment_frames,
            map=mapped,
            progress=_shown(task),
        )
        task.finish()
        _tell_blow_ups(progress, split, summary)
        notes[split] = {
            "content_hash": summary.content_hash,
            "seeds": [result.seeds[-1] for result in summary.results],
            "blow_ups": summary.blow_ups,
            "failed": list(summary.failed),
        }
        for size in config.coarse.sizes:
            statistics(folder.split(split), size)  # kept beside the store, which is then complete
    return {"splits": notes}


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
    key = "truth.dt" if config.evaluation.dt is None else "evaluation.dt"
    check_time_step(key, config.coarse_dt, system, states)


def _shown(task: Task) -> Callable[[TrajectoryProgress], None]:
    """Return the callback that adds up the steps of all trajectories."""
    steps: dict[int, int] = {}

    def update(now: TrajectoryProgress) -> None:
        steps[now.trajectory] = now.steps
        again = f", attempt {now.attempt}" if now.attempt > 1 else ""
        task.update(sum(steps.values()), f"trajectory {now.trajectory}: {now.phase}{again}")

    return update


def _tell_blow_ups(progress: Progress, split: str, summary: Any) -> None:
    if summary.blow_ups:
        progress.note(
            f"simulate {split}: {summary.blow_ups} attempts blew up and were repeated with new "
            f"seeds; {len(summary.failed)} of {summary.trajectories} trajectories are missing"
        )
