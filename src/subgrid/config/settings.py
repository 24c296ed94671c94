"""The complete config of an experiment."""

import contextlib
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, Strict, TypeAdapter, ValidationError, model_validator

from subgrid.config.consistency import consistency_problems
from subgrid.config.sections import (
    AdaptedConfig,
    AnyModelConfig,
    CalibrationConfig,
    CoarseConfig,
    DataConfig,
    EvaluationConfig,
    LearnedConfig,
    ModelConfig,
    Name,
    PretrainedConfig,
    SearchConfig,
    Section,
    SeparatedConfig,
    TrainingConfig,
    TruthConfig,
    merged_training,
)
from subgrid.config.values import Seed


class Config(Section):
    """A complete experiment: what is simulated, learned, tested and reported."""

    name: Name
    profile: Name | None = None
    description: str = ""
    seed: Seed = 0
    truth: TruthConfig
    coarse: CoarseConfig
    data: DataConfig
    models: Annotated[tuple[ModelConfig, ...], Strict(False), Field(min_length=1)]
    separated: Annotated[tuple[SeparatedConfig, ...], Strict(False)] = ()
    search: SearchConfig | None = None
    calibration: CalibrationConfig | None = None
    noise_chosen_by: str | None = None  # the run whose calibration set the noise of the models
    training: TrainingConfig
    evaluation: EvaluationConfig

    @model_validator(mode="after")
    def _sections_fit(self) -> "Config":
        sections = {name: getattr(self, name) for name in type(self).model_fields}
        problems = consistency_problems({**sections, "every_model": self.models})
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @classmethod
    def readable(cls, tables: Mapping[str, Any]) -> dict[str, Any]:
        """Return the sections of plain tables that can be read by themselves, by name.

        `models` are the entries that can be; `every_model` is there if all can be.
        """
        found: dict[str, Any] = {}
        for name, field in cls.model_fields.items():
            if name not in tables:
                found |= {} if field.is_required() else {name: field.get_default()}
                continue
            with contextlib.suppress(ValidationError):
                kind = TypeAdapter(field.rebuild_annotation())
                found[name] = kind.validate_python(tables[name])
        if "models" in found:
            return {**found, "every_model": found["models"]}
        readable = []
        entries = tables.get("models")
        for entry in entries if isinstance(entries, list) else []:
            with contextlib.suppress(ValidationError):
                readable.append(TypeAdapter(ModelConfig).validate_python(entry))
        return {**found, "models": tuple(readable)}

    @property
    def ny(self) -> int:
        """Number of cells of the fine grid along y."""
        return self.truth.nx if self.truth.ny is None else self.truth.ny

    @property
    def coarse_shapes(self) -> tuple[tuple[int, int], ...]:
        """The (ny, nx) of every coarse grid, finest first."""
        return tuple((size * self.ny // self.truth.nx, size) for size in self.coarse.sizes)

    @property
    def coarse_dt(self) -> float:
        """Time step of the coarse model, in the unit of the truth's."""
        return self.truth.dt if self.evaluation.dt is None else self.evaluation.dt

    @property
    def substeps(self) -> int:
        """Number of steps of the truth in one of the coarse model, if that is whole."""
        return round(self.coarse_dt / self.truth.dt)

    @property
    def test_frames(self) -> int:
        """Number of frames of a test trajectory."""
        return self.truth.frames if self.data.test_frames is None else self.data.test_frames

    @property
    def reference_stride(self) -> int:
        """Number of frames of the truth from one saved frame of a free run to the next."""
        between = self.evaluation.save_every * self.coarse_dt
        return round(between / (self.truth.save_every * self.truth.dt))

    @property
    def steps_per_frame(self) -> int:
        """Number of steps of the coarse model from one frame of the data to the next."""
        return round(self.truth.save_every * self.truth.dt / self.coarse_dt)

    @property
    def label(self) -> str:
        """Name of the experiment with its profile, as used for the default run folder."""
        return self.name if self.profile is None else f"{self.name}-{self.profile}"

    def learned(self) -> tuple[LearnedConfig, ...]:
        """Return the models that are trained."""
        return tuple(model for model in self.models if isinstance(model, LearnedConfig))

    def pretrained(self) -> tuple[PretrainedConfig, ...]:
        """Return the models that come from bundles."""
        return tuple(model for model in self.models if isinstance(model, PretrainedConfig))

    def searched(self) -> tuple[LearnedConfig, ...]:
        """Return the models of the search, which are trained too."""
        return () if self.search is None else self.search.models(len(self.coarse.sizes))

    def adapted(self) -> tuple[AdaptedConfig, ...]:
        """Return the learned models that are changed after their training."""
        return tuple(model for model in self.models if isinstance(model, AdaptedConfig))

    def calibrated(self) -> tuple[LearnedConfig, ...]:
        """Return the models of the calibration, one per model and level, which are trained too."""
        return () if self.calibration is None else tuple(c for _, _, c in self.calibration.tried())

    def base_of(self, model: LearnedConfig | AdaptedConfig) -> LearnedConfig:
        """Return the learned model that another one is made of; of a learned one that itself."""
        if isinstance(model, LearnedConfig):
            return model
        return next(learned for learned in self.learned() if learned.name == model.of)

    def labels_of(self, model: AnyModelConfig) -> tuple[str, ...]:
        """Return what the networks of a model are called in files: its name, if it has none."""
        if isinstance(model, LearnedConfig):
            return model.trained_names()
        if isinstance(model, AdaptedConfig):
            return tuple(f"{model.name}-seed{i}" for i in range(self.base_of(model).seeds))
        return (model.name,)

    def coupling_of(self, model: AnyModelConfig) -> str | None:
        """Return how the increment of a model enters the step; None for the system's own way."""
        coupling = getattr(model, "coupling", None)
        if coupling is None and isinstance(model, AdaptedConfig):
            return self.base_of(model).coupling
        return coupling

    @property
    def trains(self) -> bool:
        """Whether anything is trained."""
        return bool(self.learned() or self.separated or self.search or self.calibration)

    def training_of(self, model: LearnedConfig | SeparatedConfig, stage: int = 0) -> TrainingConfig:
        """Return [training] with the changes that `model`, or one of its stages, asks for."""
        return merged_training(self.training, model, stage)

    def updates_of(self, model: LearnedConfig) -> tuple[int, ...]:
        """Return the updates of each training of a model: one per network of a multiscale one."""
        stages = len(model.networks) if model.arrangement == "multiscale" else 1
        return tuple(self.training_of(model, stage).updates for stage in range(stages))

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain lists, tables and numbers, without the unset ones."""
        tables = self.model_dump(mode="json", exclude_none=True)
        for section, key in ((tables, "separated"), (tables["evaluation"], "variants")):
            if not section[key]:
                del section[key]
        # as configs were before there was a choice, so that their hashes stay
        for section, key, usual in (
            (tables["coarse"], "target", "tendency"),
            (tables["evaluation"], "starts", "first"),
            (tables["training"], "in_memory", "auto"),
        ):
            if section[key] == usual:
                del section[key]
        tried = tables.get("calibration", {}).get("models", [])
        for model in (*tables["models"], *tried):
            for key in ("stage_training", "divergence_free"):
                if not model.get(key, True):
                    del model[key]
        return tables
