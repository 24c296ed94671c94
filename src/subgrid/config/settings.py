"""The complete config of an experiment."""

import contextlib
import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Annotated, Any

from pydantic import (
    Field,
    PrivateAttr,
    Strict,
    TypeAdapter,
    ValidationError,
    create_model,
    model_validator,
)

from subgrid.config.adapted import AdaptedConfig
from subgrid.config.fitted import FittedConfig
from subgrid.config.kinds import ClosureConfig, GridConfig, NoClosureConfig, PretrainedConfig
from subgrid.config.learned import LearnedConfig
from subgrid.config.names import RECIPES
from subgrid.config.section import Name, Section
from subgrid.config.sections import CoarseConfig, DataConfig, EvaluationConfig, TruthConfig
from subgrid.config.training import Trained, TrainingConfig
from subgrid.config.values import Seed
from subgrid.errors import ConfigError
from subgrid.trust import Trust, package_of

ModelConfig = Annotated[
    NoClosureConfig
    | ClosureConfig
    | FittedConfig
    | LearnedConfig
    | AdaptedConfig
    | PretrainedConfig
    | GridConfig,
    Field(discriminator="kind"),
]


class Config(Section):
    """A complete experiment: what is simulated, learned, tested and reported.

    A recipe may bring sections of its own: see `config_class`.
    """

    name: Name
    profile: Name | None = None
    description: str = ""
    recipe: str = "closure"  # the kind of experiment: see `subgrid list recipes`
    seed: Seed = 0
    truth: TruthConfig
    coarse: CoarseConfig
    data: DataConfig
    models: Annotated[tuple[ModelConfig, ...], Strict(False), Field(min_length=1)]
    noise_chosen_by: str | None = None  # the run whose calibration set the noise of the models
    training: TrainingConfig
    evaluation: EvaluationConfig

    _lacks_models: bool = PrivateAttr(False)

    @model_validator(mode="after")
    def _sections_fit(self) -> "Config":
        problems = [line for check in self._all_checks() for line in check]
        if problems:
            raise ValueError("\n".join(dict.fromkeys(problems)))
        return self

    @classmethod
    def problems_between(cls, tables: Mapping[str, Any]) -> list[str]:
        """Return what does not fit between the sections of plain tables that can be read."""
        readable = cls._readable(tables)
        problems: list[str] = []
        for check in readable._all_checks():
            with contextlib.suppress(AttributeError):  # it asks for a section that is not there
                problems.extend(check)
        return problems

    @classmethod
    def _readable(cls, tables: Mapping[str, Any]) -> "Config":
        """Return the config of the sections, and models, that can be read by themselves."""
        found, failed = {}, []
        for name, field in cls.model_fields.items():
            if name in tables:
                try:
                    kind = TypeAdapter(field.rebuild_annotation())
                    found[name] = kind.validate_python(tables[name])
                except ValidationError:
                    failed.append(name)
        if lacks_models := "models" not in found:
            entries, kind = tables.get("models"), TypeAdapter(ModelConfig)
            readable = []
            for entry in entries if isinstance(entries, list) else []:
                with contextlib.suppress(ValidationError):
                    readable.append(kind.validate_python(entry))
            found["models"] = tuple(readable)
        config = cls.model_construct(**found)
        config._lacks_models = lacks_models
        for name in failed:
            if name != "models":
                vars(config).pop(name, None)  # no default stands in for it
        return config

    def sections(self) -> Iterator[tuple[str, Section]]:
        """Yield every section with its key; entries of a list are called by their names."""
        for name in type(self).model_fields:
            value = self.__dict__.get(name)
            if isinstance(value, Section):
                yield name, value
            elif isinstance(value, tuple):
                yield from ((f"{name}.{entry.name}", entry) for entry in value)

    def _all_checks(self) -> Iterator[Iterable[str]]:
        for key, section in self.sections():
            yield from section.checks(self, key)
        yield self._model_names_differ()
        yield self._one_is_alone()

    def _model_names_differ(self) -> Iterator[str]:
        for name, times in Counter(model.name for model in self.models).items():
            if times > 1:
                yield f"models: the name {name!r} is used {times} times; every model needs its own"

    def _one_is_alone(self) -> Iterator[str]:
        alone = sum(model.kind == "none" for model in self.every_model)
        if alone != 1:
            yield (
                f'models: {alone} of kind "none"; exactly one is needed, since every closure is '
                "compared with the coarse model alone"
            )

    @property
    def every_model(self) -> tuple[ModelConfig, ...]:
        """The models; AttributeError in a config that lacks some which could not be read."""
        if self._lacks_models:
            raise AttributeError("every_model")
        return self.models

    @property
    def frame(self) -> float:
        """Time from one frame of the truth to the next, in the unit of its step."""
        return self.truth.save_every * self.truth.dt

    @property
    def coarse_dt(self) -> float:
        """Time step of the coarse model, in the unit of the truth's."""
        return self.truth.dt if self.evaluation.dt is None else self.evaluation.dt

    @property
    def test_frames(self) -> int:
        """Number of frames of a test trajectory."""
        return self.truth.frames if self.data.test_frames is None else self.data.test_frames

    @property
    def reference_stride(self) -> int:
        """Number of frames of the truth from one saved frame of a free run to the next."""
        return round(self.evaluation.save_every * self.coarse_dt / self.frame)

    @property
    def steps_per_frame(self) -> int:
        """Number of steps of the coarse model from one frame of the data to the next."""
        return round(self.frame / self.coarse_dt)

    @property
    def label(self) -> str:
        """Name of the experiment with its profile, as used for the default run folder."""
        return self.name if self.profile is None else f"{self.name}-{self.profile}"

    def _of_kind(self, kind: str) -> tuple[Any, ...]:
        return tuple(model for model in self.models if model.kind == kind)

    def learned(self) -> tuple[LearnedConfig, ...]:
        """Return the models that are trained."""
        return self._of_kind("learned")

    def fitted(self) -> tuple[FittedConfig, ...]:
        """Return the models whose numbers are fitted to the data in closed form."""
        return self._of_kind("fitted")

    def pretrained(self) -> tuple[PretrainedConfig, ...]:
        """Return the models that come from bundles."""
        return self._of_kind("pretrained")

    def adapted(self) -> tuple[AdaptedConfig, ...]:
        """Return the learned models that are changed after their training."""
        return self._of_kind("adapted")

    def added_models(self) -> tuple[LearnedConfig, ...]:
        """Return the models that sections of the recipe add, which are trained too."""
        return tuple(m for _, section in self.sections() for m in section.more_models(self))

    def every_training(self) -> list[tuple[str, int]]:
        """Return the name and the number of seeds of all that is trained on the data."""
        return [trained for _, section in self.sections() for trained in section.trained(self)]

    @property
    def baseline(self) -> NoClosureConfig:
        """The coarse model alone."""
        return self._of_kind("none")[0]

    @property
    def trains(self) -> bool:
        """Whether anything is trained."""
        return any(section.trainings(key) for key, section in self.sections())

    def training_of(self, model: Trained, stage: int = 0) -> TrainingConfig:
        """Return [training] with the changes that `model`, or one of its stages, asks for."""
        return TrainingConfig(**{**self.training.model_dump(), **model.changes()[stage][1]})

    def updates_of(self, model: Trained) -> tuple[int, ...]:
        """Return the updates of each training of a model: one per network of a multiscale one."""
        stages = range(len(model.changes()))
        return tuple(self.training_of(model, stage).updates for stage in stages)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain lists, tables and numbers, without the unset ones."""
        return self.model_dump(mode="json", exclude_none=True)

    def __reduce__(self) -> tuple[Callable[..., "Config"], tuple[str, dict[str, Any]]]:
        """Return how another process makes it again, whose class may be its recipe's own."""
        return _remade, (self.recipe, self.to_dict())


def _remade(recipe: str, tables: dict[str, Any]) -> Config:
    return config_class(recipe, trust=True)(**tables)


def config_class(recipe: Any, trust: Trust = False) -> type[Config]:
    """Return the class of the configs of a recipe, with the sections that this brings.

    A recipe "module:Class" runs only with `trust` in its package; without, its sections are kept as
    they stand. An unknown recipe brings none, and is refused where it is asked for (`check_names`).
    """
    if not isinstance(recipe, str) or recipe == Config.model_fields["recipe"].default:
        return Config  # that one brings none, and its module imports JAX
    if ":" in recipe and not (trust is True or (trust and package_of(recipe) in trust)):
        return _OpenConfig
    try:
        sections = RECIPES.get(recipe).sections
    except ConfigError:
        return Config
    return _with_sections(tuple(sections.items()))


@functools.cache  # configs are equal only if they are of one class
def _with_sections(sections: tuple[tuple[str, tuple[Any, Any]], ...]) -> type[Config]:
    return create_model("Config", __base__=Config, **dict(sections)) if sections else Config  # type: ignore[call-overload]


class _OpenConfig(Config, extra="allow"):
    """A config whose recipe is not to be run: what it says more is not read."""
