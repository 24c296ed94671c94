"""The section of a calibration of the noise."""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field, Strict

from subgrid.config.kinds import MULTISCALE
from subgrid.config.learned import LearnedConfig
from subgrid.config.section import Parts, Section, check
from subgrid.config.values import Count, PositiveOrZero
from subgrid.errors import ConfigError

if TYPE_CHECKING:
    from subgrid.config.settings import Config


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

    def trainings(self, key: str) -> list[tuple[str, LearnedConfig]]:
        """Return the models of every level."""
        return [(f"{key}.models.{model.name}", trained) for model, _, trained in self.tried()]

    @check
    def _names_differ(self, config: "Config", key: str) -> Iterator[str]:
        tried = [model.name for _, _, model in self.tried()]
        counts = Counter([*tried, *(model.name for model in config.models)])
        for name in dict.fromkeys(tried):
            if counts[name] > 1:
                yield (
                    f"{key}: the name {name!r} is used {counts[name]} times; every model needs its "
                    "own, every level is tried once, and no other model is called so"
                )

    @check
    def _levels_fit(self, config: "Config", key: str) -> Iterator[str]:
        names = [model.name for model in self.models]
        for name in self.skip:
            if name not in names:
                yield f"{key}.skip: got {name!r}; must be one of {', '.join(names)}"
        if not self.kept():
            yield f"{key}.skip: got {list(self.skip)}; leaves no model to try"
        if list(self.levels) != sorted(self.levels):
            yield f"{key}.levels: got {list(self.levels)}; must increase"

    @check
    def _models_fit(self, config: "Config", key: str) -> Iterator[str]:
        for inner, model in self._keyed(key):
            yield from model.scales_fit(config, inner)

    @check
    def _trainings_fit(self, config: "Config", key: str) -> Iterator[str]:
        for inner, model in self.trainings(key):
            yield from model.training_fits(config, inner)

    @check
    def _runs_fit(self, config: "Config", key: str) -> Iterator[str]:
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

    def facts(self, config: "Config") -> dict[str, str]:
        """Return the levels, and what each model is."""
        models = {
            f"{name} (calibrated)": said
            for model in self.kept()
            for name, said in model.facts(config).items()
        }
        levels = ", ".join(f"{level:g}" for level in self.levels)
        return {"noise levels": f"{levels}; {self.members} members each", **models}
