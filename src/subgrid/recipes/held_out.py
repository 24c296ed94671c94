"""Trajectories that nothing is trained on, and what the evaluation measures against them."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from subgrid.closures import in_system
from subgrid.config import (
    BASELINE,
    AbstractModelConfig,
    Candidate,
    Config,
    VariantConfig,
    build_coarse_systems,
    build_model,
    build_online_system,
    build_system,
    build_target,
)
from subgrid.data import TIME, Following, Samples, Starts, choose_starts, statistics
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
from subgrid.provenance import write_atomic
from subgrid.randomness import random_key
from subgrid.recipes.results import (
    cost_path,
    offline_path,
    online_path,
    partial_path,
    write_dataset,
)
from subgrid.systems import state_shapes
from subgrid.training import channels

_BATCH = 32  # samples per call of a closure in the offline test


@dataclass(frozen=True)
class Members:
    """Where free runs start: in `count` states of the trajectories of a `split`.

    `starts`: the first state of each trajectory, or random ones. `place`: where, in its folder, the
    evaluation keeps what is measured against them.
    """

    split: str
    count: int
    starts: Literal["first", "random"]
    place: str = ""

    @property
    def folder(self) -> str:
        """That place in a run folder."""
        return f"evaluation/{self.place}".rstrip("/")


def scored_members(config: Config) -> Members:
    """Return the members that a run is scored by."""
    return Members("test", config.evaluation.members, config.evaluation.starts)


class HeldOut:
    """Trajectories that nothing is trained on and the coarse model that is run against them."""

    def __init__(self, folder: RunFolder, members: Members):
        self.folder, self.config = folder, folder.config
        config = folder.config
        self.members, self.split = members, members.split
        self.place = folder.path / members.folder
        self.size = config.coarse.sizes[0]
        self.system = build_coarse_systems(config, build_system(config))[0]
        self.names = [variable.name for variable in self.system.variables]
        self.store = folder.split(self.split)
        settings = config.evaluation
        self.plan = RunPlan(
            settings.steps,
            settings.save_every,
            -1 if settings.average_from is None else settings.average_from,
            settings.snapshots,
        )

    def _candidate(self, model: AbstractModelConfig, number: int = 0) -> Candidate:
        return model.candidate(self.config, self.system, self.folder, number)

    def write_reference(self, progress: Progress) -> None:
        """Write the statistics of the truth over the steps of the free runs."""
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
        write_dataset(self.place / "reference.zarr", found.assign_coords(starts))

    def write_offline(self, progress: Progress, model: AbstractModelConfig, number: int) -> None:
        """Write the scores of a closure's output against the true forcing."""
        candidate = self._candidate(model, number)
        forcings = [f"{name}_forcing" for name in self.names]
        samples = Samples(self.store, self.size, (*self.names, *forcings), in_memory=False)
        chosen = samples.spread(self.config.evaluation.samples)
        task = progress.task(f"offline {candidate.label}", len(chosen), "samples", COMPILING)
        measured = "train" if self.config.data.trajectories.train else "test"
        known = statistics(self.folder.split(measured), self.size)
        scores = evaluate_offline(
            candidate.closure,
            _batches(samples, chosen, (self.names, forcings), len(self.system.domain.dims)),
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
        write_dataset(self.place / offline_path(candidate.label), scores)
        task.finish()

    def write_online(
        self,
        progress: Progress,
        model: AbstractModelConfig,
        number: int,
        variant: VariantConfig | None = None,
    ) -> None:
        """Write the statistics of a closure's free runs from the held-out states."""
        candidate = self._candidate(model, number)
        place = online_path(candidate.label, variant and variant.name)
        label = candidate.label if variant is None else f"{candidate.label}, {variant.name}"
        setup = self._setup(candidate, variant)
        task = progress.task(f"online {label}", setup.plan.steps, first=COMPILING)
        truth, evaluation = self._following(self.names), self.folder.evaluation
        kept = partial_path(place, self.members.place)
        runs = free_runs(
            setup.model,
            setup.states,
            setup.plan,
            observer=setup.observer,
            truth=truth if self.system.follows_truth else None,
            key=random_key(self.config.seed),
            draws=self.config.evaluation.draws,
            start=truth.times,
            file=evaluation / f"{kept}.safetensors",
            progress=lambda done, total: task.update(done),
        )
        write_dataset(self.place / place, runs)
        task.finish()
        if died := blow_ups([runs]):
            progress.note(
                f"online {label}: {len(died)} of {runs.sizes['member']} members blew up, "
                f"first {first_date(died)}"
            )

    def write_cost(self, progress: Progress, model: AbstractModelConfig) -> None:
        """Write the time per step of a model, which is never the same twice.

        It takes turns with the coarse model alone, so that both have the same load.
        """
        alone, candidate = self._candidate(self.config.baseline), self._candidate(model)
        both = {one.model: self._setup(one) for one in (alone, candidate)}
        work = progress.task(f"time per step {candidate.model}", 1, "models", COMPILING)
        timed = step_cost(
            {name: setup.model for name, setup in both.items()},
            {name: jax.tree.map(lambda a: a[0], setup.states) for name, setup in both.items()},
            baseline=BASELINE,
        )
        substeps = both[candidate.model].plan.steps // self.plan.steps  # in one of the coarse model
        cost = StepCost(*(substeps * value for value in timed[candidate.model]))
        write_atomic(self.place / cost_path(candidate.model), json.dumps(cost._asdict()))
        work.finish()

    def _setup(self, candidate: Candidate, variant: VariantConfig | None = None) -> "_Setup":
        """Return what is stepped for a candidate, from where, how long, and how it is observed."""
        stepped = candidate.entry.stepped(self.config, self.system, variant)
        states, plan, system = self._initial_states, self.plan, stepped.system
        closure = in_system(candidate.closure, system)
        model = build_model(system, stepped.dt, closure, candidate.coupling)
        if stepped.coarsener is None:
            return _Setup(model, states, plan)
        lengths = ("steps", "save_every", "average_from")
        plan = replace(plan, **{name: stepped.substeps * getattr(plan, name) for name in lengths})
        coarse = build_online_system(self.config, self.system, variant)
        forcing = build_target(self.config, stepped.dt)
        observer = CoarsenedObserver(coarse, system, stepped.coarsener, forcing)
        return _Setup(model, stepped.coarsener.refine(states), plan, observer)

    @cached_property
    def starts(self) -> Starts:
        """Where the members start."""
        length = self.config.reference_stride * self.plan.frames
        count, how = self.members.count, self.members.starts
        return choose_starts(self.store, self.size, count, length, how, self.config.seed)

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
    samples: Samples, chosen: np.ndarray, names: tuple[Sequence[str], Sequence[str]], dims: int
) -> Iterator[tuple[Any, ...]]:
    for first in range(0, len(chosen), _BATCH):
        batch = samples.batch(chosen[first : first + _BATCH])
        states, forcings = (channels(batch, which, dims) for which in names)
        yield states, forcings, batch[TIME]


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
