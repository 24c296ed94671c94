"""The tasks that measure closures against held-out trajectories: offline, in free runs, in time."""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from subgrid.config import AbstractModelConfig, VariantConfig
from subgrid.experiment import Context, Task
from subgrid.recipes import plan
from subgrid.recipes.held_out import HeldOut, Members, scored_members
from subgrid.recipes.model_tasks import STORE, TaskSet
from subgrid.recipes.results import cost_path, offline_path, online_path, partial_path


def tests_of(tasks: TaskSet, model: AbstractModelConfig) -> Iterator[Task]:
    """Yield all tests of a model on the test trajectories."""
    members = scored_members(tasks.config)
    for number in range(len(model.labels(tasks.config))):
        if model.closes:
            yield offline(tasks, members, model, number)
        for variant in (None, *tasks.config.evaluation.variants):
            yield online(tasks, members, model, number, variant)
    yield cost(tasks, model)


def result_task(name: str, settings: Mapping[str, Any], run: Any, **others: Any) -> Task:
    """Return a task of the evaluation that writes one result; `passing`: files while it does."""
    passing = others.pop("passing", ())
    return Task(
        name=name,
        stage="evaluate",
        settings=settings,
        run=run,
        outputs=(name, *passing),
        files=rf"{re.escape(name)}(/{STORE})?",
        passing="|".join(map(re.escape, passing)) or r"(?!)",
        **others,
    )


def reference(tasks: TaskSet, members: Members) -> Task:
    """Return the statistics of the truth over the steps of the free runs."""
    return result_task(
        f"{members.folder}/reference.zarr",
        _free_runs(tasks, members),
        partial(_measure, write=HeldOut.write_reference, members=members),
        inputs=(tasks.data[members.split],),
    )


def offline(tasks: TaskSet, members: Members, model: AbstractModelConfig, number: int) -> Task:
    """Return the test of a closure's output against the true forcing."""
    settings, inputs = _closure(tasks, model, number)
    scale = tasks.data.get("train", tasks.data["test"])  # whose forcing is the unit of errors
    samples = tasks.config.evaluation.samples
    return result_task(
        f"{members.folder}/{offline_path(model.labels(tasks.config)[number])}",
        {"seed": tasks.config.seed, "samples": samples, **settings},
        partial(_measure, write=HeldOut.write_offline, members=members, model=model, number=number),
        inputs=tuple(dict.fromkeys((tasks.data[members.split], scale, *inputs))),
    )


def online(
    tasks: TaskSet,
    members: Members,
    model: AbstractModelConfig,
    number: int,
    variant: VariantConfig | None = None,
) -> Task:
    """Return the free runs of a closure from held-out states."""
    settings, inputs = _closure(tasks, model, number)
    path = online_path(model.labels(tasks.config)[number], variant and variant.name)
    kept = partial_path(path, members.place)
    return result_task(
        f"{members.folder}/{path}",
        {**_stepping(tasks, members, model, variant), **settings},
        partial(
            _measure,
            write=HeldOut.write_online,
            members=members,
            model=model,
            number=number,
            variant=variant,
        ),
        inputs=(tasks.data[members.split], *inputs),
        passing=tuple(f"evaluation/{kept}{end}" for end in (".safetensors", ".frames")),
        estimate=partial(plan.of_free_runs, members=members, model=model, variant=variant),
    )


def cost(tasks: TaskSet, model: AbstractModelConfig) -> Task:
    """Return the measurement of the time per step; one network stands for all of a model."""
    settings, inputs = _closure(tasks, model, 0)
    members = scored_members(tasks.config)
    return result_task(
        f"evaluation/{cost_path(model.shown)}",
        {**_stepping(tasks, members, model), **settings},
        partial(_measure, write=HeldOut.write_cost, members=members, model=model),
        inputs=(tasks.data["test"], *inputs),
        where="alone",
    )


def _closure(
    tasks: TaskSet, model: AbstractModelConfig, number: int
) -> tuple[dict[str, Any], tuple[Task, ...]]:
    """Return the settings and the inputs that decide what a closure is."""
    if model.stored:
        return {}, (tasks.models[f"{model.name}/{number}"],)
    return {"closure": model.model_dump(mode="json", exclude={"name", "coupling"})}, ()


def _free_runs(tasks: TaskSet, members: Members) -> dict[str, Any]:
    """Return the settings that all free runs of these members share."""
    config = tasks.config
    names = ("draws", "steps", "save_every", "average_from", "snapshots")
    plan = {name: getattr(config.evaluation, name) for name in names}
    chosen = {"seed": config.seed, "dt": config.coarse_dt}
    chosen |= {"members": members.count, "starts": members.starts}
    return chosen | plan


def _stepping(
    tasks: TaskSet,
    members: Members,
    model: AbstractModelConfig,
    variant: VariantConfig | None = None,
) -> dict[str, Any]:
    """Return the settings of the free runs of a model, besides what its closure is."""
    changed = {} if variant is None else variant.constants
    return {
        **_free_runs(tasks, members),
        "constants": tasks.config.evaluation.constants | changed,
        "coupling": model.coupling_in(tasks.config),
    }


def _measure(context: Context, write: Callable[..., None], members: Members, **what: Any) -> None:
    """Do what a method of `HeldOut` does."""
    write(HeldOut(context.folder, members), context.progress, **what)
