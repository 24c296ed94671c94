"""The stage that tests every closure, offline and online: the one use of the test trajectories."""

import dataclasses
import json
import shutil
from collections.abc import Iterator, Mapping
from functools import cached_property, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from subgrid.closures import in_system
from subgrid.config import (
    VariantConfig,
    build_coarse_systems,
    build_finer_system,
    build_online_system,
    build_system,
)
from subgrid.data import Samples, open_dataset, statistics
from subgrid.evaluation import (
    CoarsenedObserver,
    Comparison,
    OnlineScore,
    QGObservables,
    Ranked,
    RunPlan,
    StepCost,
    blow_ups,
    compare_online,
    evaluate_offline,
    free_runs,
    json_number,
    ranking,
    reference_statistics,
    score_online,
    score_record,
    step_cost,
)
from subgrid.experiment.candidates import BASELINE, Candidate, candidates, multiscale_pairs, trained
from subgrid.experiment.folder import RunFolder
from subgrid.experiment.progress import Progress
from subgrid.experiment.results import (
    Results,
    is_written,
    load_results,
    online_path,
    write_dataset,
    write_text,
)
from subgrid.experiment.separated import evaluate_cases, separated_scores
from subgrid.experiment.simulate import check_online_step
from subgrid.experiment.workers import Workers, make_room
from subgrid.grids import upscale
from subgrid.provenance import write_atomic

_TIMED_TOGETHER = 8  # models that take turns, each beside the coarse model alone
_BATCH = 32  # samples per call of a closure in the offline test


def evaluate(folder: RunFolder, progress: Progress, workers: Workers) -> dict[str, Any]:
    """Write evaluation/*.zarr and scores.json.

    Each closure's offline scores and free runs are a store of their own; those already written are
    kept, and free runs that were interrupted go on from their last segment. Raises ConfigError for
    a time step above the limit, CorruptFileError for a store that was altered since it was written,
    and whatever a closure raises.
    """
    test = _TestSet(folder)
    check_online_step(folder.config, folder.split("test"))
    folder.evaluation.mkdir(exist_ok=True)
    found = candidates(folder, test.system)
    test.write_reference(progress)
    searched = [one for model in folder.config.searched() for one in trained(folder, model)]
    works: list[Any] = [partial(test.write_scores, candidate) for candidate in found]
    works += [partial(test.write_online, candidate) for candidate in searched]
    workers.do(works, progress)
    test.write_costs([*found, *searched], progress)
    evaluate_cases(folder, progress, workers)
    results = load_results(folder)
    scores = scores_of(folder, results, results.online)
    record = {
        "truth": {
            "members": results.reference.sizes["member"],
            "blow_ups": [lost._asdict() for lost in blow_ups([results.reference])],
        },
        "online": {name: score_record(score) for name, score in scores.items()},
        "offline": {
            name: [_plain(dataset) for dataset in sets] for name, sets in results.offline.items()
        },
    }
    if results.variants:
        record["variants"] = {
            variant: {
                name: score_record(score)
                for name, score in scores_of(folder, results, runs).items()
            }
            for variant, runs in results.variants.items()
        }
    if comparisons := comparisons_of(folder, results, scores):
        record["multiscale_against_single"] = [one.record() for one in comparisons]
    if results.searched:
        record["search"] = [one.record() for one in ranking_of(folder, results)]
    if folder.config.separated:
        record["separated"] = {
            f"{scores.network} {scores.task} {scores.high} {scores.low}": [
                _plain(dataset) for dataset in scores.sets
            ]
            for scores in separated_scores(folder)
        }
    write_atomic(folder.scores, json.dumps(record, indent=1) + "\n")
    shutil.rmtree(folder.evaluation / "partial", ignore_errors=True)
    return {}


def scores_of(
    folder: RunFolder, results: Results, runs: Mapping[str, Any]
) -> dict[str, OnlineScore]:
    """Return the online scores of every model; `runs`: those of `results` that are to be scored."""
    return score_online(
        runs,
        results.reference,
        results.system,
        baseline=BASELINE,
        costs=results.costs,
        **_interval_options(folder, results),
    )


def comparisons_of(
    folder: RunFolder, results: Results, scores: Mapping[str, OnlineScore]
) -> list[Comparison]:
    """Return every multiscale model compared with every learned one of a single scale."""
    return compare_online(
        multiscale_pairs(folder.config),
        scores,
        results.online,
        results.reference,
        budgets={model.name: folder.config.updates_of(model) for model in folder.config.learned()},
        **_interval_options(folder, results),
    )


def ranking_of(folder: RunFolder, results: Results) -> list[Ranked]:
    """Return the models of the search, best first."""
    runs = {BASELINE: results.online[BASELINE], **results.searched}
    scores = scores_of(folder, results, runs)
    return ranking([(model.networks, scores[model.name]) for model in folder.config.searched()])


def _interval_options(folder: RunFolder, results: Results) -> dict[str, Any]:
    """Return the cut of spectral errors and what decides their intervals."""
    settings = folder.config.evaluation
    return {
        "cut": results.cut,
        "level": settings.level,
        "samples": settings.bootstrap,
        "seed": folder.config.seed,
    }


class _TestSet:
    """The held-out trajectories and the coarse model that is run against them."""

    def __init__(self, folder: RunFolder):
        self.folder, self.config = folder, folder.config
        config = folder.config
        self.size = config.coarse.sizes[0]
        self.system = build_coarse_systems(config, build_system(config))[0]
        self.names = [variable.name for variable in self.system.variables]
        self.store = folder.split("test")
        settings = config.evaluation
        self.plan = RunPlan(
            settings.steps,
            settings.save_every,
            -1 if settings.average_from is None else settings.average_from,
            settings.snapshots,
        )

    def write_reference(self, progress: Progress) -> None:
        """Write the statistics of the truth over the steps of the free runs."""
        path = self.folder.evaluation / "reference.zarr"
        if is_written(path):
            return
        progress.note("evaluate: statistics of the truth")
        data = open_dataset(self.store, self.size)
        stride = self.config.reference_stride
        frames = slice(stride, stride * self.plan.frames + 1, stride)
        members = self._members()
        name = self.names[0]
        write_dataset(
            path,
            reference_statistics(
                self.system,
                data[name][members, frames],
                data[f"{name}_forcing"][members, frames],
                save_every=self.plan.save_every,
                dt=self.config.coarse_dt,
                average_from=self.plan.average_from,
                snapshots=self.plan.snapshots,
            ),
        )

    def write_scores(self, candidate: Candidate, progress: Progress) -> None:
        """Write all scores of a closure but its cost."""
        if candidate.closure is not None:
            self.write_offline(candidate, progress)
        for variant in (None, *self.config.evaluation.variants):
            self.write_online(candidate, progress, variant)

    def write_offline(self, candidate: Candidate, progress: Progress) -> None:
        """Write the scores of a closure's output against the true forcing."""
        path = self.folder.evaluation / "offline" / f"{candidate.label}.zarr"
        if is_written(path):
            return
        name = self.names[0]
        samples = Samples(self.store, self.size, (name, f"{name}_forcing"), in_memory=False)
        chosen = samples.spread(self.config.evaluation.samples)
        task = progress.task(f"offline {candidate.label}", len(chosen), "samples")
        unit = "train" if self.config.data.trajectories.train else "test"
        scale = statistics(self.folder.split(unit), self.size)[f"{name}_forcing"].std
        scores = evaluate_offline(
            candidate.closure,
            _batches(samples, chosen, name),
            system=self.system,
            scale=scale,
            variable=name,
            key=jax.random.key(self.config.seed),
            progress=task.update,
        )
        if masked := int(scores["masked_samples"]):
            trajectory, frame = samples.origin(int(chosen[int(scores["first_masked"])]))
            days = frame * self.config.truth.save_every * self.config.truth.dt / 86400
            scores = _with_date(scores, trajectory, days)
            progress.note(
                f"offline {candidate.label}: {masked} of {len(chosen)} samples are not finite and "
                f"left out, the first in test trajectory {trajectory}, day {days:.1f}"
            )
        write_dataset(path, scores)
        task.finish()

    def write_online(
        self, candidate: Candidate, progress: Progress, variant: VariantConfig | None = None
    ) -> None:
        """Write the statistics of a closure's free runs from the test states."""
        place = online_path(candidate.label, variant and variant.name)
        path = self.folder.evaluation / place
        if is_written(path):
            return
        label = candidate.label if variant is None else f"{candidate.label}, {variant.name}"
        setup = self._setup(candidate, variant)
        task = progress.task(f"online {label}", setup.plan.steps)
        partial = place.removeprefix("online/").removesuffix(".zarr") + ".safetensors"
        runs = free_runs(
            setup.model,
            setup.states,
            setup.plan,
            observer=setup.observer,
            key=jax.random.key(self.config.seed),
            file=self.folder.evaluation / "partial" / partial,
            progress=lambda done, total: task.update(done),
        )
        write_dataset(path, runs)
        task.finish()
        if died := blow_ups([runs]):
            progress.note(
                f"online {label}: {len(died)} of {runs.sizes['member']} members blew up, "
                f"first on day {min(blow_up.days for blow_up in died):.0f}"
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
        task = progress.task("time per step", len(setups), "models")
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
        system = build_online_system(self.config, self.system, variant)
        states, plan, grid = self._initial_states, self.plan, candidate.grid
        dt = self.config.coarse_dt
        if grid is None:
            closure = in_system(candidate.closure, system)
            return _Setup(system.model(dt, closure), states, plan)
        fine, coarsener = build_finer_system(self.config, grid, self.system, variant)
        plan = dataclasses.replace(
            plan,
            **{
                name: grid.substeps * getattr(plan, name)
                for name in ("steps", "save_every", "average_from")
            },
        )
        shape = fine.grid.shape
        return _Setup(
            fine.model(dt / grid.substeps),
            jax.tree.map(lambda field: upscale(field, *shape), states),
            plan,
            CoarsenedObserver(QGObservables(system), fine, coarsener),
        )

    def _members(self) -> list[int]:
        """Return the numbers of the test trajectories that the members start from."""
        samples = Samples(self.store, self.size, self.names, in_memory=False)
        present = dict.fromkeys(samples.origin(i)[0] for i in range(len(samples)))
        return list(present)[: self.config.evaluation.members]

    @cached_property
    def _initial_states(self) -> Any:
        data = open_dataset(self.store, self.size)
        members = self._members()
        arrays = {name: jnp.asarray(data[name][members, 0].values) for name in self.names}
        return self.system.State(**arrays)


class _Setup(NamedTuple):
    """A model with its initial states [member, ...], the length of its runs and its observer."""

    model: Any
    states: Any
    plan: RunPlan
    observer: Any = None


def _batches(samples: Samples, chosen: np.ndarray, name: str) -> Iterator[tuple[Any, Any]]:
    for first in range(0, len(chosen), _BATCH):
        batch = samples.batch(chosen[first : first + _BATCH])
        yield batch[name], batch[f"{name}_forcing"]


def _with_date(scores: Any, trajectory: int, days: float) -> Any:
    """Return offline scores that say where in the test set the first masked sample is."""
    where = {"units": "1", "long_name": "test trajectory of the first sample left out"}
    when = {"units": "days", "long_name": "time of that sample since the first frame"}
    return scores.assign(
        first_masked_trajectory=((), trajectory, where), first_masked_days=((), days, when)
    )


def _plain(scores: Any) -> dict[str, Any]:
    """Return the offline scores as numbers: means and standard deviations of those per sample."""
    plain: dict[str, Any] = {}
    for name in sorted(scores.data_vars):  # a store lists them in the order of its directory
        values = scores[name]
        if values.dims == ("sample",):
            plain[name] = {"mean": json_number(values.mean()), "std": json_number(values.std())}
        else:
            plain[name] = [json_number(value) for value in np.ravel(values.values)]
            plain[name] = plain[name] if values.ndim else plain[name][0]
    return plain
