"""Closures compared: truth, trainings, offline test and free runs of each, scores, report."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from subgrid.checksums import read_list
from subgrid.config import AbstractModelConfig, Config, VariantConfig, check_builds
from subgrid.data import recorded_files
from subgrid.data.records import PASSING_FILES
from subgrid.errors import ConfigError
from subgrid.evaluation import METRICS
from subgrid.experiment import AbstractRecipe, Context, RunFolder, Task
from subgrid.experiment.takeover import ORIGIN
from subgrid.files import read_json
from subgrid.recipes.evaluate import write_scores
from subgrid.recipes.fitted import fit_one
from subgrid.recipes.held_out import HeldOut
from subgrid.recipes.make_report import make_report
from subgrid.recipes.pretrained import copies, kept_copies, refuse_changed_bundles, take_over
from subgrid.recipes.results import (
    CALIBRATION,
    cost_path,
    offline_path,
    online_path,
    partial_path,
)
from subgrid.recipes.separated import Case, cases, score_case, train_case
from subgrid.recipes.simulate import SPLITS, check_online_step, simulate
from subgrid.recipes.stability import check_time_steps
from subgrid.recipes.train import adapt_one, train_one
from subgrid.recipes.training_runs import HASHES, MODEL_FILES

Tasks = dict[str, Task]

_STORE = r"(\w+/)*(zarr\.json|c(/\d+)*)"


class ClosureRecipe(AbstractRecipe):
    """Closures compared: truth, trainings, offline test and free runs, scores, report."""

    def tasks(self, config: Config) -> Iterator[Task]:
        """Yield the tasks: data, models, what is measured of each, then scores and report."""
        data = {
            split: _data(config, split)
            for split in SPLITS
            if getattr(config.data.trajectories, split)
        }
        yield from data.values()
        check = _step_check(config, data)
        yield check
        models = dict(_models(config, data, check))
        yield from models.values()
        measured = list(_measured(config, data, models))
        yield from measured
        scores = _scores(config, [*data.values(), *models.values(), *measured])
        yield scores
        yield _report(config, scores)

    def check(
        self,
        config: Config,
        stages: Sequence[str],
        folder: RunFolder | None = None,
        force: bool = False,
        trust: bool = False,
    ) -> None:
        """Raise ConfigError for what cannot be built, or a time step that cannot work.

        RunFolderError for a bundle that changed while the training was not finished.
        """
        keeps_models = folder is not None and not (force and stages[0] in ("simulate", "train"))
        check_builds(config, copies(folder) if folder and keeps_models else {}, trust)
        try:
            check_time_steps(config, stages)
        except ConfigError:  # stages that are done need no step; asked last, as all is hashed
            if folder is None or force:
                raise
            check_time_steps(config, [stage for stage in stages if not folder.is_done(stage)])
        if folder and keeps_models:
            refuse_changed_bundles(folder)

    def notes(self, folder: RunFolder) -> list[str]:
        """Return a sentence per bundle that was changed after the run took it over."""
        return kept_copies(folder)


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
            **({"coarse_dt": config.coarse_dt} if config.coarse.target == "step" else {}),
        },
        run=partial(simulate, split=split),
        outputs=tuple(f"{place}{end}" for end in (".zarr", ".records", ".statistics.json", ORIGIN)),
        files=rf"{place}(\.(zarr/{_STORE}|records/\d+\.json|statistics\.json)|{re.escape(ORIGIN)})",
        passing=rf"{place}\.records/(lock|call|{PASSING_FILES.pattern})"
        rf"|{place}\.zarr/(.+/)?\w+\.[0-9a-f]+\.partial",
        recorded=partial(_recorded_data, split=split),
        lasting=partial(_lasting_data, split=split),
        where="here",
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


def _step_check(config: Config, data: Tasks) -> Task:
    """Return the check of the coarse time step, before time is spent on trainings for it."""
    return Task(
        name="check/coarse step",
        stage="train",
        settings={"dt": config.coarse_dt, "constants": config.evaluation.constants},
        run=_check_step,
        inputs=(data["test"],),
        outputs=(),
    )


def _check_step(context: Context) -> None:
    check_online_step(context.folder.config, context.folder.split("test"))


def _models(config: Config, data: Tasks, check: Task) -> Iterator[tuple[str, Task]]:
    """Yield (name/number, task) for every network that is trained, adapted or taken over."""
    splits = tuple(data[split] for split in ("train", "validation") if split in data)
    shared: dict[str, Any] = {"inputs": splits, "after": (check,)}
    found: Tasks = {}
    for model in (*config.learned(), *config.searched(), *config.calibrated()):
        training = [
            config.training_of(model, stage).model_dump(mode="json", exclude={"in_memory"})
            for stage in range(len(config.updates_of(model)))
        ]
        apart = {"seeds", "calibrated_as", "training", "stage_training", "coupling"}
        entry = model.model_dump(mode="json", exclude=apart)
        for number in range(model.seeds):
            settings = {"seed": config.seed, "model": entry, "training": training}
            run = partial(train_one, model=model, number=number)
            found[f"{model.name}/{number}"] = _model(model.name, number, settings, run, shared)
    for model in config.fitted():
        settings = {"model": model.model_dump(mode="json"), "dt": config.coarse_dt}
        run = partial(fit_one, model=model)
        found[model.name] = _model(model.name, None, settings, run, {"inputs": splits})
    for model in config.pretrained():
        settings = {"bundle": model.bundle}
        found[model.name] = _model(model.name, None, settings, partial(take_over, model=model), {})
    for model in config.adapted():
        settings = {
            "seed": config.seed,
            "model": model.model_dump(mode="json"),
            "coupling": model.coupling_in(config),
            "dt": config.coarse_dt,
            "constants": config.evaluation.constants,
        }
        for number in range(len(model.labels(config))):
            run = partial(adapt_one, model=model, number=number)
            inputs = (*splits, found[f"{model.of}/{number}"])
            found[f"{model.name}/{number}"] = _model(
                model.name, number, settings, run, {**shared, "inputs": inputs}
            )
    for case in cases(config):
        training = config.training_of(case.entry).model_dump(mode="json", exclude={"in_memory"})
        entry = case.entry.model_dump(mode="json", exclude={"seeds", "training"})
        settings = {"seed": config.seed, "entry": entry, "training": training, "task": case.task}
        settings["sizes"] = [case.high, case.low]
        run = partial(train_case, case=case)
        key = f"{case.label}/{case.number}"
        found[key] = _model(case.label, case.number, settings, run, shared)
    yield from found.items()


def _model(
    name: str, number: int | None, settings: Mapping[str, Any], run: Any, shared: Mapping[str, Any]
) -> Task:
    """Return the task that makes a folder of models/; of several networks that of one."""
    place = f"models/{name}" if number is None else f"models/{name}/seed_{number}"
    here = re.escape(place)
    return Task(
        name=place,
        stage="train",
        settings={**settings, "name": name, "number": number},
        run=run,
        files=rf"{here}/({MODEL_FILES.pattern}|{re.escape(HASHES)})",
        passing=rf"{here}/(stage_\d+/)?checkpoints/\d+\.safetensors"
        rf"|{here}/\.(model\.json|weights\.safetensors)\.new",
        recorded=partial(_recorded_model, place=place),
        **shared,
    )


def _recorded_model(run: Path, place: str) -> Mapping[Path, str]:
    return read_list(run / place / HASHES)


def _measured(config: Config, data: Tasks, models: Tasks) -> Iterator[Task]:
    """Yield what is measured: on the test trajectories, and for a calibration on the others."""
    scale = data.get("train", data["test"])  # whose forcing is the unit of errors
    yield _reference(config, data, "test")
    every = [*config.models, *config.searched()]
    for model in config.models:
        for number in range(len(model.labels(config))):
            if model.closes:
                yield _offline(config, data["test"], scale, models, model, number)
            for variant in (None, *config.evaluation.variants):
                yield _online(config, data["test"], models, model, number, variant)
    for model in config.searched():
        for number in range(model.seeds):
            yield _online(config, data["test"], models, model, number)
    if config.calibration is not None:
        yield _reference(config, data, "validation")
        yield _online(config, data["validation"], models, config.baseline, 0)
        for model in config.calibrated():
            for number in range(model.seeds):
                yield _offline(config, data["validation"], scale, models, model, number)
                yield _online(config, data["validation"], models, model, number)
    for model in every:
        yield _cost(config, data, models, model)
    for case in cases(config):
        yield _case_scores(config, data, models, case)


def _split_of(data: Task) -> str:
    return data.name.removeprefix("data/")


def _place(split: str) -> str:
    return "evaluation" if split == "test" else f"evaluation/{CALIBRATION}"


def held_out(folder: RunFolder, split: str) -> HeldOut:
    """Return the trajectories of a split and where what is measured against them goes."""
    return HeldOut(folder, split, folder.path / _place(split))


def _free_runs(config: Config, split: str) -> dict[str, Any]:
    """Return the settings that all free runs against a split share."""
    settings = config.evaluation
    calibrates = split == "validation" and config.calibration is not None
    return {
        "seed": config.seed,
        "dt": config.coarse_dt,
        "members": config.calibration.members if calibrates else settings.members,  # type: ignore
        "starts": "random" if calibrates else settings.starts,
        **{
            name: getattr(settings, name)
            for name in ("steps", "save_every", "average_from", "snapshots")
        },
    }


def _result(name: str, settings: Mapping[str, Any], run: Any, **others: Any) -> Task:
    """Return a task of the evaluation that writes one result."""
    passing = others.pop("passing", ())
    return Task(
        name=name,
        stage="evaluate",
        settings=settings,
        run=run,
        outputs=(name, *passing),
        files=rf"{re.escape(name)}(/{_STORE})?",
        passing="|".join(map(re.escape, passing)) or r"(?!)",
        **others,
    )


def _reference(config: Config, data: Tasks, split: str) -> Task:
    return _result(
        f"{_place(split)}/reference.zarr",
        _free_runs(config, split),
        partial(_write_reference, split=split),
        inputs=(data[split],),
    )


def _write_reference(context: Context, split: str) -> None:
    held_out(context.folder, split).write_reference(context.progress)


def _closure(
    config: Config, models: Tasks, model: AbstractModelConfig, number: int
) -> dict[str, Any]:
    """Return settings and inputs that decide what a closure is."""
    if model.stored:
        key = model.name if model.base(config) is None else f"{model.name}/{number}"
        return {"settings": {}, "inputs": (models[key],)}
    entry = model.model_dump(mode="json", exclude={"name", "coupling"})
    return {"settings": {"closure": entry}, "inputs": ()}


def _label(config: Config, model: AbstractModelConfig, number: int) -> str:
    """Return what one of the closures of a model is called in files."""
    return model.shown if model.base(config) is None else model.labels(config)[number]


def _offline(
    config: Config, data: Task, scale: Task, models: Tasks, model: AbstractModelConfig, number: int
) -> Task:
    split, what = _split_of(data), _closure(config, models, model, number)
    return _result(
        f"{_place(split)}/{offline_path(_label(config, model, number))}",
        {"seed": config.seed, "samples": config.evaluation.samples, **what["settings"]},
        partial(_write_offline, split=split, model=model, number=number),
        inputs=tuple(dict.fromkeys((data, scale, *what["inputs"]))),
    )


def _write_offline(context: Context, split: str, model: AbstractModelConfig, number: int) -> None:
    against = held_out(context.folder, split)
    one = model.candidate(context.folder.config, against.system, context.folder, number)
    against.write_offline(one, context.progress)


def _online(
    config: Config,
    data: Task,
    models: Tasks,
    model: AbstractModelConfig,
    number: int,
    variant: VariantConfig | None = None,
) -> Task:
    split, what = _split_of(data), _closure(config, models, model, number)
    path = online_path(_label(config, model, number), variant and variant.name)
    constants = config.evaluation.constants | ({} if variant is None else variant.constants)
    kept = partial_path(path, CALIBRATION if split == "validation" else "")
    return _result(
        f"{_place(split)}/{path}",
        {
            **_free_runs(config, split),
            **what["settings"],
            "constants": constants,
            "coupling": model.coupling_in(config),
        },
        partial(_write_online, split=split, model=model, number=number, variant=variant),
        inputs=(data, *what["inputs"]),
        passing=tuple(f"evaluation/{kept}{end}" for end in (".safetensors", ".frames")),
    )


def _write_online(
    context: Context,
    split: str,
    model: AbstractModelConfig,
    number: int,
    variant: VariantConfig | None,
) -> None:
    against = held_out(context.folder, split)
    one = model.candidate(context.folder.config, against.system, context.folder, number)
    against.write_online(one, context.progress, variant)


def _cost(config: Config, data: Tasks, models: Tasks, model: AbstractModelConfig) -> Task:
    """Return the measurement of the time per step; one network stands for all of a model."""
    what = _closure(config, models, model, 0)
    return _result(
        f"evaluation/{cost_path(model.shown)}",
        {
            **_free_runs(config, "test"),
            **what["settings"],
            "constants": config.evaluation.constants,
            "coupling": model.coupling_in(config),
        },
        partial(_write_cost, model=model),
        inputs=(data["test"], *what["inputs"]),
        where="alone",
    )


def _write_cost(context: Context, model: AbstractModelConfig) -> None:
    against = held_out(context.folder, "test")
    one = model.candidate(context.folder.config, against.system, context.folder, 0)
    against.write_cost(one, context.progress)


def _case_scores(config: Config, data: Tasks, models: Tasks, case: Case) -> Task:
    return _result(
        f"evaluation/separated/{case.label}-seed{case.number}.zarr",
        {"samples": config.evaluation.samples},
        partial(score_case, case=case),
        inputs=(data["test"], models[f"{case.label}/{case.number}"]),
    )


def _scores(config: Config, inputs: Sequence[Task]) -> Task:
    tables = config.to_dict()
    names = ("seed", "models", "evaluation", "search", "calibration", "separated")
    return Task(
        name="scores.json",
        stage="evaluate",
        settings={
            **{name: tables.get(name) for name in names},
            "metrics": METRICS.names(),
        },
        run=write_scores,
        inputs=tuple(inputs),
        where="here",
    )


def _report(config: Config, scores: Task) -> Task:
    return Task(
        name="report.html",
        stage="report",
        settings={"config": config.to_dict()},
        run=make_report,
        inputs=(scores,),
        where="here",
    )
