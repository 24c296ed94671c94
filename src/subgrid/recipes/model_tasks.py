"""The tasks that make what closures are compared with: the data, and the models."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from subgrid.checksums import read_list
from subgrid.config import (
    AbstractModelConfig,
    AdaptedConfig,
    Config,
    FittedConfig,
    LearnedConfig,
    PretrainedConfig,
)
from subgrid.data import recorded_files
from subgrid.data.records import PASSING_FILES
from subgrid.experiment import Context, Task
from subgrid.experiment.takeover import ORIGIN
from subgrid.experiment.task import Estimate
from subgrid.files import read_json
from subgrid.recipes import plan
from subgrid.recipes.fitted import fit_one
from subgrid.recipes.pretrained import take_over
from subgrid.recipes.simulate import SPLITS, check_online_step, simulate
from subgrid.recipes.train import adapt_one, train_one
from subgrid.recipes.training_runs import HASHES, MODEL_FILES

STORE = r"(\w+/)*(zarr\.json|c(/\d+)*)"  # the files of a Zarr store
_NO_NUMBERS = {"in_memory"}  # settings of a training that change no bit of its result
_NO_TRAINING = {"seeds", "calibrated_as", "training", "stage_training", "coupling"}


@dataclass(frozen=True)
class TaskSet:
    """The tasks of a config so far: of the data by split, of the models by "NAME/NUMBER".

    `check`: that of the coarse time step, before time is spent on trainings for it.
    """

    config: Config
    data: dict[str, Task]
    check: Task
    models: dict[str, Task] = field(default_factory=dict)

    @property
    def training_data(self) -> tuple[Task, ...]:
        """The data that trainings see."""
        return tuple(self.data[split] for split in SPLITS[:2] if split in self.data)

    def all(self) -> list[Task]:
        """Return all tasks, each after those that it needs."""
        return [*self.data.values(), self.check, *self.models.values()]


def data_tasks(config: Config) -> TaskSet:
    """Return the tasks of the data, and the check of the coarse time step on them."""
    counts = config.data.trajectories
    data = {split: _data(config, split) for split in SPLITS if getattr(counts, split)}
    check = Task(
        name="check/coarse step",
        stage="train",
        settings={"dt": config.coarse_dt, "constants": config.evaluation.constants},
        run=_check_step,
        inputs=(data["test"],),
        outputs=(),
    )
    return TaskSet(config, data, check)


def _data(config: Config, split: str) -> Task:
    place = rf"data/{split}"
    settings = config.data.model_dump(mode="json", exclude={"trajectories", "test_frames"})
    settings["trajectories"] = getattr(config.data.trajectories, split)
    if split == "test":
        settings["test_frames"] = config.test_frames
    tables = config.to_dict()
    return Task(
        name=place,
        stage="simulate",
        settings={
            "seed": config.seed,
            "truth": tables["truth"],
            "coarse": tables["coarse"],
            "data": settings,
            **({"coarse_dt": config.coarse_dt} if config.coarse.target != "tendency" else {}),
        },
        run=partial(simulate, split=split),
        outputs=tuple(f"{place}{end}" for end in (".zarr", ".records", ".statistics.json", ORIGIN)),
        files=rf"{place}(\.(zarr/{STORE}|records/\d+\.json|statistics\.json)|{re.escape(ORIGIN)})",
        passing=rf"{place}\.records/(lock|call|{PASSING_FILES.pattern})"
        rf"|{place}\.zarr/(.+/)?\w+\.[0-9a-f]+\.partial",
        recorded=partial(_recorded_data, split=split),
        lasting=partial(_lasting_data, split=split),
        where="here",
        parts=settings["trajectories"],
        estimate=partial(plan.of_simulation, split=split),
    )


def _recorded_data(run: Path, split: str) -> Mapping[Path, str]:
    return recorded_files(run / "data" / f"{split}.zarr")


def _lasting_data(run: Path, split: str) -> bool:
    """Return whether a trajectory is finished; a damaged record may be of one."""
    return any(map(_lasted, (run / "data" / f"{split}.records").glob("[0-9]*.json")))


def _lasted(record: Path) -> bool:
    try:
        return read_json(record)["failed"] is not True
    except (ValueError, KeyError, TypeError):
        return True


def _check_step(context: Context) -> None:
    check_online_step(context.folder.config, context.folder.split("test"))


def _train(tasks: TaskSet, model: LearnedConfig) -> Iterator[tuple[str, Task]]:
    """Yield the trainings of a model, one for each initialisation."""
    settings = {
        "model": model.model_dump(mode="json", exclude=_NO_TRAINING),
        "training": [
            tasks.config.training_of(model, stage).model_dump(mode="json", exclude=_NO_NUMBERS)
            for stage in range(len(tasks.config.updates_of(model)))
        ],
    }
    for number in range(model.seeds):
        run = partial(train_one, model=model, number=number)
        yield (
            f"{model.name}/{number}",
            training_task(
                tasks,
                model.name,
                number,
                settings,
                run,
                estimate=partial(plan.of_training, model=model),
            ),
        )


def _adapt(tasks: TaskSet, model: AdaptedConfig) -> Iterator[tuple[str, Task]]:
    """Yield the adaptations of the networks of a learned model."""
    settings = {
        "model": model.model_dump(mode="json"),
        "coupling": model.coupling_in(tasks.config),
        "dt": tasks.config.coarse_dt,
        "constants": tasks.config.evaluation.constants,
    }
    for number in range(len(model.labels(tasks.config))):
        run = partial(adapt_one, model=model, number=number)
        base = tasks.models[f"{model.of}/{number}"]
        task = training_task(
            tasks,
            model.name,
            number,
            settings,
            run,
            base,
            estimate=partial(plan.of_fine_tuning, model=model),
        )
        yield f"{model.name}/{number}", task


def training_task(
    tasks: TaskSet,
    name: str,
    number: int,
    settings: Mapping[str, Any],
    run: Any,
    *inputs: Task,
    estimate: Callable[[Any], Estimate],
) -> Task:
    """Return a task that writes models/NAME/seed_NUMBER from the training data and `inputs`."""
    return _model(
        f"models/{name}/seed_{number}",
        {"seed": tasks.config.seed, "name": name, "number": number, **settings},
        run,
        inputs=(*tasks.training_data, *inputs),
        after=(tasks.check,),
        estimate=estimate,
    )


def _fit(tasks: TaskSet, model: FittedConfig) -> Iterator[tuple[str, Task]]:
    """Yield the fit of a closure to the training data."""
    settings = {"model": model.model_dump(mode="json"), "dt": tasks.config.coarse_dt}
    run = partial(fit_one, model=model)
    task = _model(f"models/{model.name}", settings, run, inputs=tasks.training_data)
    yield model.name, task


def _copy(tasks: TaskSet, model: PretrainedConfig) -> Iterator[tuple[str, Task]]:
    """Yield the copy of a bundle."""
    settings = {"name": model.name, "bundle": model.bundle}
    run = partial(take_over, model=model)
    # here, for its path is one from where the command was given
    yield model.name, _model(f"models/{model.name}", settings, run, where="here")


_MAKERS: dict[type, Callable[..., Iterator[tuple[str, Task]]]] = {
    LearnedConfig: _train,
    FittedConfig: _fit,
    PretrainedConfig: _copy,
    AdaptedConfig: _adapt,
}


def model_tasks(tasks: TaskSet, model: AbstractModelConfig) -> Iterator[tuple[str, Task]]:
    """Yield what makes a model, by "NAME" or "NAME/NUMBER"; nothing for most kinds."""
    if model.stored:
        yield from _MAKERS[type(model)](tasks, model)


def _model(place: str, settings: Mapping[str, Any], run: Any, **others: Any) -> Task:
    here = re.escape(place)
    return Task(
        name=place,
        stage="train",
        settings=settings,
        run=run,
        files=rf"{here}/({MODEL_FILES.pattern}|{re.escape(HASHES)})",
        passing=rf"{here}/(stage_\d+/)?checkpoints/\d+\.safetensors"
        rf"|{here}/\.(model\.json|weights\.safetensors)\.new",
        recorded=partial(_recorded_model, place=place),
        **others,
    )


def _recorded_model(run: Path, place: str) -> Mapping[Path, str]:
    return read_list(run / place / HASHES)
