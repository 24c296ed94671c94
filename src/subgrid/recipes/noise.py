"""Which noise to train with: every level tried on validation trajectories; and taking it over."""

from collections.abc import Iterator
from pathlib import Path
from typing import final

from subgrid.config import Config, LearnedConfig, config_from_dict
from subgrid.errors import ConfigError, RunFolderError
from subgrid.experiment import Task
from subgrid.experiment.folder import RunFolder
from subgrid.experiment.recipe import may_build
from subgrid.experiment.takeover import differing_settings
from subgrid.files import read_json
from subgrid.provenance import config_hash
from subgrid.recipes.comparison import AbstractComparison
from subgrid.recipes.measuring_tasks import offline, online, reference
from subgrid.recipes.model_tasks import TaskSet, train_tasks


@final
class NoiseRecipe(AbstractComparison):
    """Calibrates the noise of trainings: every level of [calibration] tried, one chosen."""

    section = "calibration"

    def more_models(self, tasks: TaskSet) -> Iterator[tuple[str, Task]]:
        """Yield the trainings of every model with every level."""
        for model in tasks.config.calibrated():
            yield from train_tasks(tasks, model)

    def more_measured(self, tasks: TaskSet) -> Iterator[Task]:
        """Yield what chooses: tests on the validation trajectories."""
        if tasks.config.calibration is None:
            return
        yield reference(tasks, "validation")
        yield online(tasks, "validation", tasks.config.baseline, 0)
        for model in tasks.config.calibrated():
            for number in range(model.seeds):
                yield offline(tasks, "validation", model, number)
                yield online(tasks, "validation", model, number)


def with_chosen_noise(config: Config, run: str | Path) -> Config:
    """Return the config with the noise that the calibration of `run` chose for models so called.

    A learned model is that of the calibration with its own name, or with the one that it says it
    is `calibrated_as`; others keep theirs. Which run that was, and for which models, is kept as
    `noise_chosen_by`. Raises RunFolderError for a run that is not evaluated, ConfigError for one
    without a calibration, of another truth, coarsening or time step, or without these models.
    """
    folder = RunFolder.read(Path(run))
    if folder.config.calibration is None or not may_build(folder.config, config):
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
    named = {model.name: model.calibrated_as or model.name for model in config.learned()}
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
    taken = [
        model.model_copy(update={"training": {**model.training, "noise": noises[model.name]}})
        if isinstance(model, LearnedConfig) and model.name in noises
        else model
        for model in config.models
    ]
    changed = config.model_copy(update={"models": tuple(taken), "noise_chosen_by": source})
    return config_from_dict(changed.to_dict(), f"--noise-from {run}")  # the noise is to fit, too


def _check_same_flow(config: Config, folder: RunFolder, run: str | Path) -> None:
    """Raise ConfigError if the noise was chosen for another truth or another coarse model."""
    differing = differing_settings(config, folder.config, but=("seed", "data"))
    if differing:
        raise ConfigError(
            f"--noise-from {run}: its noise was chosen for another {' and '.join(differing)}"
        )
