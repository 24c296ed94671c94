"""The cases of the separated experiments: a network for a task between scales, trained, scored."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from subgrid.config import Config, SeparatedConfig, build_coarse_systems, build_system
from subgrid.evaluation import join_sums, offline_scores, sample_sums
from subgrid.experiment.folder import RunFolder
from subgrid.experiment.progress import COMPILING
from subgrid.experiment.task import Context
from subgrid.nn import SeparatedNetwork
from subgrid.randomness import random_key
from subgrid.recipes.results import read_dataset, write_dataset
from subgrid.recipes.separated_scores import SeparatedScores
from subgrid.recipes.training_runs import Watch, samples_of, train_once
from subgrid.training import channels, train_separated

_BATCH = 32  # samples per call of a network in the test
_COARSE_TASKS = ("coarsened", "across")


@dataclass(frozen=True)
class Case:
    """One separated experiment: a network for `task` between the sizes `high` and `low`."""

    entry: SeparatedConfig
    task: str
    high: int
    low: int
    number: int

    @property
    def label(self) -> str:
        """The name in messages and files, without the number of the initialisation."""
        sizes = f"{self.high}" if self.task == "direct" else f"{self.high}-{self.low}"
        return f"{self.entry.name}-{self.task}-{sizes}"


def cases(config: Config) -> Iterator[Case]:
    """Yield every case: three tasks per pair of sizes, "direct" per size that is not the last."""
    sizes = config.coarse.sizes
    for entry in config.separated:
        for place, high in enumerate(sizes[:-1]):
            wanted = [("direct", high, high)]
            wanted += [
                (task, high, low)
                for low in sizes[place + 1 :]
                for task in ("coarsened", "across", "buildup")
            ]
            for task, big, small in wanted:
                for number in range(entry.seeds):
                    yield Case(entry, task, big, small, number)


def train_case(context: Context, case: Case) -> dict[str, Any]:
    """Write models/LABEL/seed_K, weights with the best validation loss, and return its notes."""
    folder, config = context.folder, context.folder.config

    def fit(target: Path, seed: int, watch: Watch) -> SeparatedNetwork:
        coarse = _systems(config)[case.high]
        key = random_key(seed)
        in_memory = config.training_of(case.entry).in_memory
        return train_separated(
            case.entry.build_network(case.task, coarse, key),
            samples_of(folder, "train", coarse, in_memory),
            samples_of(folder, "validation", coarse, in_memory),
            config.training_of(case.entry).plan(),
            task=case.task,
            low=case.low,
            folder=target,
            seed=seed,
            callbacks=(watch,),
        ).network

    return train_once(folder, case.label, case.number, context.progress, fit)


def score_case(context: Context, case: Case) -> None:
    """Write evaluation/separated/LABEL-seedK.zarr: the offline scores of a case."""
    folder, progress = context.folder, context.progress
    systems = _systems(folder.config)
    path = _scores_path(folder, case)
    coarse = systems[case.high]
    separated = folder.load_model(case.label, case.number)
    samples = samples_of(folder, "test", coarse)
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


def separated_scores(folder: RunFolder) -> list[SeparatedScores]:
    """Return the scores of every network and task, all initialisations together."""
    found: dict[str, SeparatedScores] = {}
    for case in cases(folder.config):
        entry = case.entry
        data = read_dataset(_scores_path(folder, case))
        before = found.get(case.label)
        sets = (data,) if before is None else (*before.sets, data)
        found[case.label] = SeparatedScores(
            entry.name, entry.network, case.task, case.high, case.low, sets
        )
    return list(found.values())


@eqx.filter_jit
def _apply(separated: Any, states: jax.Array, forcings: jax.Array) -> tuple[jax.Array, jax.Array]:
    return jax.vmap(separated.predict)(states, forcings), jax.vmap(separated.truth)(forcings)


def _systems(config: Config) -> dict[int, Any]:
    coarse = build_coarse_systems(config, build_system(config))
    return dict(zip(config.coarse.sizes, coarse, strict=True))


def _scores_path(folder: RunFolder, case: Case) -> Path:
    return folder.evaluation / "separated" / f"{case.label}-seed{case.number}.zarr"
