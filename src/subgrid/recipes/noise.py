"""Which noise to train with: every level tried on validation trajectories; and taking it over."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, final

import numpy as np
from pydantic import Field, Strict

from subgrid.config import (
    BASELINE,
    Config,
    LearnedConfig,
    Parts,
    Section,
    check,
    config_from_dict,
    own_packages,
)
from subgrid.config.kinds import MULTISCALE
from subgrid.config.values import Count, PositiveOrZero
from subgrid.errors import ConfigError, RunFolderError
from subgrid.evaluation import Part, compare
from subgrid.experiment import Task
from subgrid.experiment.folder import RunFolder
from subgrid.experiment.takeover import differing_settings
from subgrid.experiment.task import may_build
from subgrid.files import read_json
from subgrid.provenance import config_hash
from subgrid.recipes.calibration import Level, calibration_part, calibration_record
from subgrid.recipes.comparison import AbstractComparison
from subgrid.recipes.curves import remarks
from subgrid.recipes.evaluate import read_scores
from subgrid.recipes.measuring_tasks import Members, offline, online, reference
from subgrid.recipes.model_tasks import TaskSet
from subgrid.recipes.results import Results, offline_path, online_path, read_dataset

if TYPE_CHECKING:
    import xarray as xr


CALIBRATION = "calibration"  # where the evaluation's folder and scores.zarr keep what chooses


class CalibrationConfig(Section):
    """Which noise to train with: every one of `models` trained with every one of `levels`.

    `levels`: standard deviations of the noise on the standardised inputs, see [training]. Each is
    tested in `members` free runs, as long as those of [evaluation], from random states of the
    validation trajectories; the run chooses by itself and records it. With --noise-from another run
    trains its models of the same names with the levels chosen here. `skip`: models that are left
    out, for a smaller profile.
    """

    cited: ClassVar[tuple[str, ...]] = MULTISCALE

    levels: Annotated[tuple[PositiveOrZero, ...], Strict(False), Field(min_length=1)]
    models: Annotated[tuple[LearnedConfig, ...], Strict(False), Field(min_length=1)]
    members: Count = 8
    skip: Annotated[tuple[str, ...], Strict(False)] = ()

    def kept(self) -> tuple[LearnedConfig, ...]:
        """Return the models that are tried, without those that are skipped."""
        return tuple(model for model in self.models if model.name not in self.skip)

    def tried(self) -> tuple[tuple[LearnedConfig, float, LearnedConfig], ...]:
        """Return every model, level, and the model trained with it: "NAME-noise-0.1"."""
        return tuple(
            (
                model,
                level,
                model.model_copy(
                    update={
                        "name": f"{model.name}-noise-{level:g}",
                        "training": {**model.training, "noise": level},
                    }
                ),
            )
            for model in self.kept()
            for level in self.levels
        )

    def _keyed(self, key: str) -> list[tuple[str, LearnedConfig]]:
        return [(f"{key}.models.{model.name}", model) for model in self.models]

    def code(self, key: str) -> list[tuple[str, str, str]]:
        """Return the names of the networks."""
        return [named for inner, model in self._keyed(key) for named in model.code(inner)]

    def more_models(self, config: Config) -> tuple[LearnedConfig, ...]:
        """Return every model with every level."""
        return tuple(trained for _, _, trained in self.tried())

    def trainings(self, key: str) -> list[tuple[str, LearnedConfig]]:
        """Return the models of every level."""
        return [(f"{key}.models.{model.name}", trained) for model, _, trained in self.tried()]

    @check
    def _names_differ(self, config: Config, key: str) -> Iterator[str]:
        tried = [model.name for _, _, model in self.tried()]
        counts = Counter([*tried, *(model.name for model in config.models)])
        for name in dict.fromkeys(tried):
            if counts[name] > 1:
                yield (
                    f"{key}: the name {name!r} is used {counts[name]} times; every model needs its "
                    "own, every level is tried once, and no other model is called so"
                )

    @check
    def _levels_fit(self, config: Config, key: str) -> Iterator[str]:
        names = [model.name for model in self.models]
        for name in self.skip:
            if name not in names:
                yield f"{key}.skip: got {name!r}; must be one of {', '.join(names)}"
        if not self.kept():
            yield f"{key}.skip: got {list(self.skip)}; leaves no model to try"
        if list(self.levels) != sorted(self.levels):
            yield f"{key}.levels: got {list(self.levels)}; must increase"

    @check
    def _models_fit(self, config: Config, key: str) -> Iterator[str]:
        for inner, model in self._keyed(key):
            yield from model.scales_fit(config, inner)

    @check
    def _trainings_fit(self, config: Config, key: str) -> Iterator[str]:
        for inner, model in self.trainings(key):
            yield from model.training_fits(config, inner)

    @check
    def _runs_fit(self, config: Config, key: str) -> Iterator[str]:
        lasts = config.evaluation.steps * config.coarse_dt / config.frame
        if lasts > config.truth.frames - 1 + 1e-9:
            yield (
                f"{key}: free runs of {lasts:g} frames are longer than a validation trajectory of "
                f"truth.frames = {config.truth.frames}"
            )

    def build(self, parts: Parts, key: str) -> None:
        """Trace the networks, of runs that can be followed by their truth."""
        if not parts.coarse[0].follows_truth:
            raise ConfigError(
                f"{key}: free runs must be followed by their truth, and those of "
                f"{parts.config.truth.system!r} are not (`follows_truth`)"
            )
        for inner, model in self._keyed(key):
            model.build(parts, inner)

    def trace(self, parts: Parts, key: str) -> None:
        """Raise unless the networks can be trained and make increments."""
        for inner, model in self._keyed(key):
            model.trace(parts, inner)

    def facts(self, config: Config) -> dict[str, str]:
        """Return the levels, and what each model is."""
        models = {
            f"{name} (calibrated)": said
            for model in self.kept()
            for name, said in model.facts(config).items()
        }
        levels = ", ".join(f"{level:g}" for level in self.levels)
        return {"noise levels": f"{levels}; {self.members} members each", **models}


@final
class NoiseRecipe(AbstractComparison):
    """Calibrates the noise of trainings: every level of [calibration] tried, one chosen."""

    sections: ClassVar = {"calibration": (CalibrationConfig | None, None)}

    def more_measured(self, tasks: TaskSet) -> Iterator[Task]:
        """Yield what chooses: tests on the validation trajectories."""
        if (calibration := _section(tasks.config)) is None:
            return
        tests = Members("validation", calibration.members, "random", CALIBRATION)
        yield reference(tasks, tests)
        yield online(tasks, tests, tasks.config.baseline, 0)
        for model in tasks.config.added_models():
            for number in range(model.seeds):
                yield offline(tasks, tests, model, number)
                yield online(tasks, tests, model, number)

    def tables(self, folder: RunFolder, results: Results) -> dict[str, "xr.Dataset"]:
        """Return the table of all levels."""
        calibration = _section(folder.config)
        return {} if calibration is None else {CALIBRATION: _table(folder, calibration, results)}

    def record(self, folder: RunFolder, tables: Mapping[str, "xr.Dataset"]) -> dict[str, Any]:
        """Return what was chosen, and from what."""
        if CALIBRATION not in tables:
            return {}
        return {"calibration": calibration_record(_levels(folder), tables[CALIBRATION])}

    def parts(self, folder: RunFolder) -> Iterator[Part]:
        """Yield the choice, with a figure and a table of all levels."""
        if levels := _levels(folder):
            yield calibration_part(levels, read_scores(folder, CALIBRATION))


def _section(config: Config) -> CalibrationConfig | None:
    """Return [calibration]; configs of other recipes have none."""
    return getattr(config, "calibration", None)


def _table(folder: RunFolder, calibration: CalibrationConfig, results: Results) -> "xr.Dataset":
    """Return the table of scores of all levels."""
    config, settings = folder.config, folder.config.evaluation
    place = folder.evaluation / CALIBRATION

    def runs(labels: Sequence[str]) -> list["xr.Dataset"]:
        return [read_dataset(place / online_path(label)) for label in labels]

    every = {variant.name: runs(variant.trained_names()) for _, _, variant in calibration.tried()}
    table = compare(
        {BASELINE: runs([BASELINE]), **every},
        read_dataset(place / "reference.zarr"),
        ["decorrelation_time", "lasting", "series_error"],
        BASELINE,
        system=results.system,
        level=settings.level,
        samples=settings.bootstrap,
        seed=config.seed,
    )
    said = {name: remark for name, remark in remarks(folder).items() if name in every}
    return table.assign_attrs(remarks=said)


def _levels(folder: RunFolder) -> list[Level]:
    """Return the levels that were tried, none without a section."""
    if (calibration := _section(folder.config)) is None:
        return []
    place, levels = folder.evaluation / CALIBRATION, []
    for model, noise, variant in calibration.tried():
        stores = [place / offline_path(label) for label in variant.trained_names()]
        losses = np.array([float(read_dataset(store)["mse"]) for store in stores])
        levels.append(Level(model.name, variant.name, ", ".join(model.networks), noise, losses))
    return levels


def with_chosen_noise(config: Config, run: str | Path) -> Config:
    """Return the config with the noise that the calibration of `run` chose for models so called.

    A learned model is that of the calibration with its own name, or with the one that it says it
    is `calibrated_as`; others keep theirs. Which run that was, and for which models, is kept as
    `noise_chosen_by`. Raises RunFolderError for a run that is not evaluated, ConfigError for one
    without a calibration, of another truth, coarsening or time step, or without these models.
    """
    folder = RunFolder.read(Path(run), own_packages(config))
    if _section(folder.config) is None or not may_build(folder.config, config):
        raise ConfigError(
            f"--noise-from {run}: this run has no [calibration]; `subgrid run otness2025-kf-noise` "
            "makes one"
        )
    if not folder.is_done("evaluate"):
        raise RunFolderError(
            f"--noise-from {run}: its evaluation is not finished: `subgrid run {run}` goes on"
        )
    chosen = read_json(folder.scores)["calibration"]["chosen"]
    _check_same_flow(config, folder, run)
    unknown = [
        f"models.{model.name}.calibrated_as: got {model.calibrated_as!r}"
        for model in config.learned()
        if model.calibrated_as is not None and model.calibrated_as not in chosen
    ]
    if unknown:
        raise ConfigError(
            f"--noise-from {run}: it chose a noise for {', '.join(chosen)}. {'; '.join(unknown)}"
        )
    learned = {model.name: model for model in config.learned()}
    named = {name: model.calibrated_as or name for name, model in learned.items()}
    noises = {name: chosen[as_] for name, as_ in named.items() if as_ in chosen}
    if not noises:
        known = ", ".join(chosen)
        raise ConfigError(
            f"--noise-from {run}: it chose a noise for {known}, and no learned model here has one "
            "of these names or is calibrated_as one of them"
        )
    source = (
        f"{folder.config.label} (config {config_hash(folder.config.to_dict())[:12]}) for "
        f"{', '.join(noises)}"
    )
    trainings = {name: {**learned[name].training, "noise": noise} for name, noise in noises.items()}
    taken = [
        model.model_copy(update={"training": trainings[model.name]})
        if model.name in trainings
        else model
        for model in config.models
    ]
    changed = config.model_copy(update={"models": tuple(taken), "noise_chosen_by": source})
    # the noise is to fit, too
    return config_from_dict(changed.to_dict(), f"--noise-from {run}", own_packages(config))


def _check_same_flow(config: Config, folder: RunFolder, run: str | Path) -> None:
    """Raise ConfigError if the noise was chosen for another truth or another coarse model."""
    differing = differing_settings(config, folder.config, but=("seed", "data"))
    if differing:
        raise ConfigError(
            f"--noise-from {run}: its noise was chosen for another {' and '.join(differing)}"
        )
