"""Trajectories that nothing is trained on, and what the evaluation measures against them."""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from subgrid.closures import in_system
from subgrid.config import (
    BASELINE,
    Candidate,
    VariantConfig,
    build_coarse_systems,
    build_model,
    build_online_system,
    build_system,
    build_target,
)
from subgrid.data import Following, Samples, Starts, choose_starts, statistics
from subgrid.errors import RunFolderError
from subgrid.evaluation import (
    START_FRAME,
    START_TRAJECTORY,
    CoarsenedObserver,
    RunPlan,
    StepCost,
    blow_ups,
    date,
    evaluate_offline,
    first_date,
    free_runs,
    reference_statistics,
    state_of,
    step_cost,
    time_unit,
)
from subgrid.experiment.folder import RunFolder
from subgrid.experiment.progress import COMPILING, Progress
from subgrid.experiment.results import (
    is_written,
    offline_path,
    online_path,
    read_dataset,
    write_dataset,
    write_text,
)
from subgrid.experiment.workers import make_room
from subgrid.randomness import random_key
from subgrid.systems import state_shapes
from subgrid.training import channels

_TIMED_TOGETHER = 8  # models that take turns, each beside the coarse model alone
_BATCH = 32  # samples per call of a closure in the offline test


class HeldOut:
    """Trajectories that nothing is trained on and the coarse model that is run against them.

    Of the test split, or of the validation split for what is chosen by it; scores go to `place`.
    """

    def __init__(self, folder: RunFolder, split: str, place: Path):
        self.folder, self.config = folder, folder.config
        config = folder.config
        self.split, self.place = split, place
        self.size = config.coarse.sizes[0]
        self.system = build_coarse_systems(config, build_system(config))[0]
        self.names = [variable.name for variable in self.system.variables]
        self.store = folder.split(split)
        settings = config.evaluation
        self.plan = RunPlan(
            settings.steps,
            settings.save_every,
            -1 if settings.average_from is None else settings.average_from,
            settings.snapshots,
        )

    def write_reference(self, progress: Progress) -> None:
        """Write the statistics of the truth over the steps of the free runs.

        Raises RunFolderError if there are some of other states: free runs go on beside them.
        """
        path = self.place / "reference.zarr"
        if is_written(path):
            self.check_starts(read_dataset(path))
            return
        progress.note("evaluate: statistics of the truth")
        found = reference_statistics(
            self.system,
            self._following(self.names),
            self._following([f"{name}_forcing" for name in self.names]),
            save_every=self.plan.save_every,
            dt=self.config.coarse_dt,
            average_from=self.plan.average_from,
            snapshots=self.plan.snapshots,
        )
        starts = {
            name: ("member", list(values), {"units": "1", "long_name": f"{what} of the start"})
            for name, values, what in (
                (START_TRAJECTORY, self.starts.trajectories, f"{self.split} trajectory"),
                (START_FRAME, self.starts.frames, "frame"),
            )
        }
        write_dataset(path, found.assign_coords(starts))

    def check_starts(self, reference: Any) -> None:
        """Raise RunFolderError unless statistics of the truth are of the states of this plan.

        Earlier versions drew random states otherwise, and did not keep which.
        """
        kept = [
            tuple(reference[name].values.tolist()) if name in reference.coords else None
            for name in (START_TRAJECTORY, START_FRAME)
        ]
        unknown = kept == [None, None] and self._members_and_how[1] == "first"
        if not unknown and kept != [self.starts.trajectories, self.starts.frames]:
            raise RunFolderError(
                f"{self.place / 'reference.zarr'} is of other initial states than this version of "
                f"subgrid draws: evaluate again with `subgrid evaluate {self.folder.path} --force`"
            )

    def write_scores(self, candidate: Candidate, progress: Progress) -> None:
        """Write all scores of a closure but its cost."""
        if candidate.closure is not None:
            self.write_offline(candidate, progress)
        variants = self.config.evaluation.variants if self.split == "test" else ()
        for variant in (None, *variants):
            self.write_online(candidate, progress, variant)

    def write_offline(self, candidate: Candidate, progress: Progress) -> None:
        """Write the scores of a closure's output against the true forcing."""
        path = self.place / offline_path(candidate.label)
        if is_written(path):
            return
        forcings = [f"{name}_forcing" for name in self.names]
        samples = Samples(self.store, self.size, (*self.names, *forcings), in_memory=False)
        chosen = samples.spread(self.config.evaluation.samples)
        task = progress.task(f"offline {candidate.label}", len(chosen), "samples", COMPILING)
        measured = "train" if self.config.data.trajectories.train else "test"
        known = statistics(self.folder.split(measured), self.size)
        scores = evaluate_offline(
            candidate.closure,
            _batches(samples, chosen, self.names, forcings),
            system=self.system,
            scale=np.concatenate([np.ravel(known[name].std) for name in forcings]),
            key=random_key(self.config.seed),
            progress=task.update,
        )
        if masked := int(scores["masked_samples"]):
            trajectory, frame = samples.origin(int(chosen[int(scores["first_masked"])]))
            unit = time_unit(self.system.time_units)
            time = frame * self.config.truth.save_every * self.config.truth.dt / unit.length
            scores = _with_date(scores, trajectory, time, unit.name)
            progress.note(
                f"offline {candidate.label}: {masked} of {len(chosen)} samples are not finite and "
                f"left out, the first in {self.split} trajectory {trajectory}, "
                f"{date(time, unit.name)}"
            )
        write_dataset(path, scores)
        task.finish()

    def write_online(
        self, candidate: Candidate, progress: Progress, variant: VariantConfig | None = None
    ) -> None:
        """Write the statistics of a closure's free runs from the held-out states."""
        place = online_path(candidate.label, variant and variant.name)
        path = self.place / place
        if is_written(path):
            return
        label = candidate.label if variant is None else f"{candidate.label}, {variant.name}"
        setup = self._setup(candidate, variant)
        task = progress.task(f"online {label}", setup.plan.steps, first=COMPILING)
        kept = self.place.relative_to(self.folder.evaluation)
        follows = self.system.follows_truth
        partial = place.removeprefix("online/").removesuffix(".zarr") + ".safetensors"
        runs = free_runs(
            setup.model,
            setup.states,
            setup.plan,
            observer=setup.observer,
            truth=self._following(self.names) if follows else None,
            key=random_key(self.config.seed),
            start=self._following(self.names).times,
            file=self.folder.evaluation / "partial" / kept / partial,
            progress=lambda done, total: task.update(done),
        )
        write_dataset(path, runs)
        task.finish()
        if died := blow_ups([runs]):
            progress.note(
                f"online {label}: {len(died)} of {runs.sizes['member']} members blew up, "
                f"first {first_date(died)}"
            )

    def write_costs(self, found: list[Candidate], progress: Progress) -> None:
        """Write the time per step of each model; kept, since it is never the same twice."""
        path = self.folder.evaluation / "costs.json"
        if is_written(path):
            return
        first = {c.model: c for c in reversed(found)}  # one network stands for all of its size
        setups = {name: self._setup(candidate) for name, candidate in first.items()}
        costs: dict[str, StepCost] = {}
        others = [name for name in setups if name != BASELINE]
        task = progress.task("time per step", len(setups), "models", COMPILING)
        for begin in range(0, max(len(others), 1), _TIMED_TOGETHER):
            group = [BASELINE, *others[begin : begin + _TIMED_TOGETHER]]
            timed = step_cost(
                {name: setups[name].model for name in group},
                {name: jax.tree.map(lambda a: a[0], setups[name].states) for name in group},
                baseline=BASELINE,
            )
            costs = timed | costs  # of the coarse model alone the first
            task.update(len(costs))
            make_room()
        task.finish()
        for name, setup in setups.items():  # per step of the coarse model
            substeps = setup.plan.steps // self.plan.steps
            costs[name] = StepCost(*(substeps * value for value in costs[name]))
        write_text(path, json.dumps({name: cost._asdict() for name, cost in costs.items()}))

    def _setup(self, candidate: Candidate, variant: VariantConfig | None = None) -> "_Setup":
        """Return what is stepped for a candidate, from where, how long, and how it is observed."""
        stepped = candidate.entry.stepped(self.config, self.system, variant)
        states, plan, system = self._initial_states, self.plan, stepped.system
        closure = in_system(candidate.closure, system)
        model = build_model(system, stepped.dt, closure, candidate.coupling)
        if stepped.coarsener is None:
            return _Setup(model, states, plan)
        lengths = ("steps", "save_every", "average_from")
        plan = dataclasses.replace(
            plan, **{name: stepped.substeps * getattr(plan, name) for name in lengths}
        )
        coarse = build_online_system(self.config, self.system, variant)
        forcing = build_target(self.config, stepped.substeps)
        observer = CoarsenedObserver(coarse, system, stepped.coarsener, forcing)
        return _Setup(model, stepped.coarsener.refine(states), plan, observer)

    @cached_property
    def starts(self) -> Starts:
        """Where the members start."""
        members, how = self._members_and_how
        length = self.config.reference_stride * self.plan.frames
        return choose_starts(self.store, self.size, members, length, how, self.config.seed)

    @property
    def _members_and_how(self) -> tuple[int, Literal["first", "random"]]:
        """How many members there are, and how it is chosen where they start."""
        settings, calibration = self.config.evaluation, self.config.calibration
        if self.split == "validation" and calibration is not None:
            return calibration.members, "random"
        return settings.members, settings.starts

    def _following(self, names: Sequence[str]) -> Following:
        """Return variables of the truth at the frames of the free runs."""
        return Following(
            self.store,
            self.size,
            names,
            self.starts,
            self.plan.frames,
            self.config.reference_stride,
        )

    @cached_property
    def _initial_states(self) -> Any:
        first = Following(self.store, self.size, self.names, self.starts, 1, first=0)[:, :]
        arrays = {name: jnp.asarray(values[:, 0]) for name, values in first.items()}
        return state_of(arrays, state_shapes(self.system))


class _Setup(NamedTuple):
    """A model with its initial states [member, ...], the length of its runs and its observer."""

    model: Any
    states: Any
    plan: RunPlan
    observer: Any = None


def _batches(
    samples: Samples, chosen: np.ndarray, names: Sequence[str], forcings: Sequence[str]
) -> Iterator[tuple[Any, Any]]:
    for first in range(0, len(chosen), _BATCH):
        batch = samples.batch(chosen[first : first + _BATCH])
        yield channels(batch, names), channels(batch, forcings)


def _with_date(scores: Any, trajectory: int, time: float, units: str) -> Any:
    """Return offline scores that say where in the test set the first masked sample is."""
    where = {"units": "1", "long_name": "test trajectory of the first sample left out"}
    when = {
        "units": units if units == "days" else "1",
        "long_name": "time of that sample since the first frame",
    }
    return scores.assign(
        first_masked_trajectory=((), trajectory, where), first_masked_time=((), time, when)
    )
