"""The separated experiments: what a network gains from scales, each task trained and scored."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from pydantic import Strict

from subgrid.closures import channel_count
from subgrid.config import Config, Making, Parts, check
from subgrid.config.kinds import MULTISCALE
from subgrid.config.networks import require_trainable, require_trusted, traced
from subgrid.config.section import keyed, naming
from subgrid.config.training import Trained
from subgrid.errors import ShapeError
from subgrid.evaluation import Part, join_sums, offline_record, offline_scores, sample_sums
from subgrid.experiment import Context, RunFolder, Task
from subgrid.experiment.progress import COMPILING
from subgrid.experiment.task import Estimate
from subgrid.nn import SeparatedNetwork, build, named_builder
from subgrid.randomness import random_key
from subgrid.recipes.comparison import AbstractComparison
from subgrid.recipes.curves import remarks_of_network
from subgrid.recipes.kernels import Kernels
from subgrid.recipes.making import Bench
from subgrid.recipes.measuring_tasks import result_task
from subgrid.recipes.model_tasks import TaskSet, model_task
from subgrid.recipes.plan import of_network
from subgrid.recipes.results import read_dataset, write_dataset
from subgrid.recipes.separated_scores import SeparatedScores, separated_part
from subgrid.systems import AbstractSystem
from subgrid.training import channels, train_separated

_BATCH = 32  # samples per call of a network in the test
_COARSE_TASKS = ("coarsened", "across")


@dataclass(frozen=True)
class Case:
    """One separated experiment: a network for `task` between the sizes `high` and `low`."""

    entry: "SeparatedConfig"
    task: str
    high: int
    low: int
    number: int

    @property
    def name(self) -> str:
        """The name in messages and files, without the number of the initialisation."""
        sizes = f"{self.high}" if self.task == "direct" else f"{self.high}-{self.low}"
        return f"{self.entry.name}-{self.task}-{sizes}"

    def making(self, config: Config) -> Making:
        """Return how it is trained."""
        stage = config.training_of(self.entry)
        settings = {
            "entry": self.entry.model_dump(mode="json", exclude={"seeds", "training"}),
            "training": stage.model_dump(mode="json", exclude={"in_memory"}),
            "task": self.task,
            "sizes": [self.high, self.low],
        }
        return Making(settings, self.number, stages=(stage,))

    def train(self, bench: Bench) -> SeparatedNetwork:
        """Return the network with the best validation loss."""
        coarse, training = bench.systems[self.high], bench.config.training_of(self.entry)
        return train_separated(
            self.entry.build_network(self.task, coarse, random_key(bench.seed)),
            bench.samples("train", training.in_memory, self.high),
            bench.samples("validation", training.in_memory, self.high),
            training.plan(),
            task=self.task,
            low=self.low,
            folder=bench.place,
            seed=bench.seed,
            callbacks=(bench.watch,),
        ).network

    def stored_closure(self, folder: RunFolder, number: int | None) -> Any:
        """Return the trained network."""
        return folder.load_model(self.name, number)


class SeparatedConfig(Trained):
    """A network for the separated experiments of Otness, Zanna & Bruna 2025.

    It is trained anew for every task (see `subgrid.nn.SEPARATED_TASKS`) and every pair of coarse
    sizes, each time `seeds` times, and scored offline. `training` changes single settings of
    [training].
    """

    named: ClassVar[Mapping[str, str]] = {"network": "network"}
    cited: ClassVar[tuple[str, ...]] = MULTISCALE

    network: str

    def channels(self, task: str, coarse: AbstractSystem) -> tuple[int, int]:
        """Return how many channels its network sees and returns: "buildup" sees forcings too."""
        channels = channel_count(coarse)
        return 2 * channels if task == "buildup" else channels, channels

    def build_network(self, task: str, coarse: AbstractSystem, key: Any) -> Any:
        """Return the untrained network of a task."""
        seen, out = self.channels(task, coarse)
        return build(self.network, in_channels=seen, out_channels=out, key=key, width=self.width)

    def cases(self, config: Config) -> Iterator["Case"]:
        """Yield its cases: three tasks per pair of sizes, "direct" per size but the last."""
        sizes = config.coarse.sizes
        for place, high in enumerate(sizes[:-1]):
            wanted = [("direct", high, high)]
            wanted += [
                (task, high, low)
                for low in sizes[place + 1 :]
                for task in ("coarsened", "across", "buildup")
            ]
            for task, big, small in wanted:
                for number in range(self.seeds):
                    yield Case(self, task, big, small, number)

    def trained(self, config: Config) -> list[tuple[str, int]]:
        """Return its cases."""
        names = dict.fromkeys(case.name for case in self.cases(config))
        return [(name, self.seeds) for name in names]

    @check
    def _fits(self, config: Config, key: str) -> Iterator[str]:
        times = [one.name for one in (*config.models, *_entries(config))].count(self.name)
        if times > 1:
            yield (
                f"separated: the name {self.name!r} is used {times} times; every model and every "
                "separated network needs its own"
            )
        if len(config.coarse.sizes) < 2:
            yield (
                f"coarse.sizes: got {list(config.coarse.sizes)}; the separated experiments compare "
                "scales: at least two are needed"
            )

    def build(self, parts: Parts, key: str) -> None:
        """Trace the network."""
        with naming(key):
            traced(partial(self.build_network, "buildup", parts.coarse[0]))

    def trace(self, parts: Parts, key: str) -> None:
        """Raise unless a network that is not ours maps the channels that it is asked to."""
        super().trace(parts, key)
        if named_builder(self.network):
            return
        coarse = parts.coarse[0]
        for task in ("direct", "buildup"):
            (seen, out), shape = self.channels(task, coarse), coarse.domain.shape
            make = partial(self.build_network, task, coarse)
            with keyed(f"{key}.network"):
                sample = jax.ShapeDtypeStruct((seen, *shape), "float32")
                _check_channels(sample.shape, (out, *shape), require_trainable(make, _call, sample))
            require_trusted(make, self.name, parts)

    def facts(self, config: Config) -> dict[str, str]:
        """Return what is trained."""
        plan = config.training_of(self)
        return {
            self.name: f"separated experiments: {self.network}, width {self.width:g}, "
            f"{plan.updates} updates, learning rate {plan.learning_rate:g}, {self.seeds} "
            "initialisation(s) per task"
        }


def _call(network: Any, fields: Any) -> Any:
    return network(fields)


def _check_channels(seen: tuple[int, ...], wanted: tuple[int, ...], found: Any) -> None:
    if found.shape != wanted:
        raise ShapeError(f"the network must map {seen} to {wanted}, but returned {found.shape}")
    if found.dtype.kind != "f":
        raise TypeError(f"the network must return real numbers, but returned {found.dtype}")


def score_case(context: Context, case: Case) -> None:
    """Write evaluation/separated/LABEL-seedK.zarr: the offline scores of a case."""
    folder, progress = context.folder, context.progress
    bench = Bench(folder, progress, case.name, case.number)
    path, systems = _scores_path(folder, case), bench.systems
    coarse = systems[case.high]
    separated = folder.load_model(case.name, case.number)
    samples = bench.samples("test", size=case.high)
    chosen = samples.spread(folder.config.evaluation.samples)
    names = [variable.name for variable in coarse.variables]
    task = progress.task(f"offline {path.stem}", len(chosen), "samples", COMPILING)
    domain = systems[case.low if case.task in _COARSE_TASKS else case.high].domain
    parts = []
    for first in range(0, len(chosen), _BATCH):
        batch = samples.batch(chosen[first : first + _BATCH])
        states, forcings = (
            jnp.asarray(channels(batch, [name + end for name in names])) for end in ("", "_forcing")
        )
        predicted, truth = _apply(separated, states, forcings)
        parts.append(sample_sums(np.asarray(predicted), np.asarray(truth), domain))
        task.update(min(first + _BATCH, len(chosen)))
    write_dataset(path, offline_scores(join_sums(parts)))
    task.finish()


@eqx.filter_jit
def _apply(separated: Any, states: jax.Array, forcings: jax.Array) -> tuple[jax.Array, jax.Array]:
    return jax.vmap(separated.predict)(states, forcings), jax.vmap(separated.truth)(forcings)


def _scores_path(folder: RunFolder, case: Case) -> Path:
    return folder.evaluation / "separated" / f"{case.name}-seed{case.number}.zarr"


@final
class SeparatedRecipe(AbstractComparison):
    """Trains every network of [[separated]] for tasks between scales, and scores it offline."""

    sections: ClassVar = {"separated": (Annotated[tuple[SeparatedConfig, ...], Strict(False)], ())}

    def more_models(self, tasks: TaskSet) -> Iterator[tuple[str, Task]]:
        """Yield the training of every case."""
        for case in cases(tasks.config):
            making = case.making(tasks.config)
            task = model_task(tasks, case, making, partial(_takes, case=case, making=making))
            yield f"{case.name}/{case.number}", task

    def more_measured(self, tasks: TaskSet) -> Iterator[Task]:
        """Yield the offline scores of every case."""
        for case in cases(tasks.config):
            yield result_task(
                f"evaluation/separated/{case.name}-seed{case.number}.zarr",
                {"samples": tasks.config.evaluation.samples},
                partial(score_case, case=case),
                inputs=(tasks.data["test"], tasks.models[f"{case.name}/{case.number}"]),
            )

    def record(self, folder: RunFolder, tables: Mapping[str, Any]) -> dict[str, Any]:
        """Return the scores of every network and task."""
        if not (found := _measured(folder)):
            return {}
        return {
            "separated": {
                f"{one.network} {one.task} {one.high} {one.low}": [
                    offline_record(data) for data in one.sets
                ]
                for one in found
            }
        }

    def parts(self, folder: RunFolder) -> Iterator[Part]:
        """Yield the scores beside the published ones."""
        if found := _measured(folder):
            yield separated_part(found)

    def warnings(self, folder: RunFolder) -> list[str]:
        """Return a sentence per training of which something is to say."""
        return [
            f"{case.name}, seed {case.number}: {remark}."
            for case in cases(folder.config)
            for remark in remarks_of_network(folder, case.name, case.number)
        ]


def _takes(kernels: Kernels, case: Case, making: Making) -> Estimate:
    """Return what the training of a case takes."""
    entry, coarse = case.entry, kernels.parts.coarse
    system = coarse[kernels.parts.config.coarse.sizes.index(case.high)]
    seen, _ = entry.channels(case.task, system)
    network = entry.build_network(case.task, system, random_key(0))
    make = entry.network, entry.width
    return of_network(kernels, making.stages, network, (seen, *system.domain.shape), make)


def cases(config: Config) -> list[Case]:
    """Return the cases of all entries."""
    return [case for entry in _entries(config) for case in entry.cases(config)]


def _entries(config: Config) -> tuple[SeparatedConfig, ...]:
    """Return [[separated]]; configs of other recipes have none."""
    return getattr(config, "separated", ())


def _measured(folder: RunFolder) -> list[SeparatedScores]:
    """Return the scores of every network and task, all initialisations together."""
    found: dict[str, SeparatedScores] = {}
    for case in cases(folder.config):
        entry = case.entry
        data = read_dataset(_scores_path(folder, case))
        before = found.get(case.name)
        sets = (data,) if before is None else (*before.sets, data)
        found[case.name] = SeparatedScores(
            entry.name, entry.network, case.task, case.high, case.low, sets
        )
    return list(found.values())
