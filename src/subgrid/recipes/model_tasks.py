"""The tasks that make what closures are compared with: the data, and the models."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from subgrid.checksums import read_list
from subgrid.config import AbstractModelConfig, Config, Making
from subgrid.data import recorded_files
from subgrid.data.records import PASSING_FILES
from subgrid.experiment import Context, Task
from subgrid.experiment.takeover import ORIGIN
from subgrid.experiment.task import Estimate
from subgrid.files import read_json
from subgrid.recipes import plan
from subgrid.recipes.making import HASHES, MODEL_FILES, make_model
from subgrid.recipes.simulate import SPLITS, check_online_step, simulate

if TYPE_CHECKING:
    from subgrid.config.learned import TrainedHere

STORE = r"(\w+/)*(zarr\.json|c(/\d+)*)"  # the files of a Zarr store


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


def model_tasks(tasks: TaskSet, model: AbstractModelConfig) -> Iterator[tuple[str, Task]]:
    """Yield what makes a model, by "NAME/NUMBER"; nothing for most kinds."""
    for making in model.makings(tasks.config):
        trained = cast("TrainedHere", model)  # no other kind has stages
        estimate = partial(plan.of_training, model=trained, stages=making.stages)
        task = model_task(tasks, model, making, estimate if making.stages else None)
        yield f"{model.name}/{making.number or 0}", task


def model_task(
    tasks: TaskSet, model: Any, making: Making, estimate: Callable[[Any], Estimate] | None
) -> Task:
    """Return the task that writes a closure of a model; see `make_model`."""
    number, place, own = making.number, f"models/{model.name}", {}
    if number is not None:
        place = f"{place}/seed_{number}"
        own = {"seed": tasks.config.seed, "name": model.name, "number": number}
    base = () if making.of is None else (tasks.models[f"{making.of}/{number}"],)
    here = re.escape(place)
    return Task(
        name=place,
        stage="train",
        settings={**own, **making.settings},
        run=partial(make_model, model=model, number=number),
        inputs=(*(tasks.training_data if making.learns else ()), *base),
        after=(tasks.check,) if making.learns else (),
        files=rf"{here}/({MODEL_FILES.pattern}|{re.escape(HASHES)})",
        passing=rf"{here}/(stage_\d+/)?checkpoints/\d+\.safetensors"
        rf"|{here}/\.(model\.json|weights\.safetensors)\.new",
        recorded=partial(_recorded_model, place=place),
        where=making.where,
        estimate=estimate,
    )


def _recorded_model(run: Path, place: str) -> Mapping[Path, str]:
    return read_list(run / place / HASHES)
