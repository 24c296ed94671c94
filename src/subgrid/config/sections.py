"""The sections of an experiment's config: types, ranges, units and defaults."""

import itertools
import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    Strict,
    StrictBool,
    model_validator,
)

from subgrid.config.values import (
    Constant,
    Count,
    CountOrZero,
    Fraction,
    FreeTable,
    Names,
    Positive,
    PositiveOrZero,
    Sizes,
)
from subgrid.numbers import fewest_draws

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=60)]


class Section(BaseModel):
    """Base of every section: frozen, no unknown keys, no silent conversion of types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    renamed: ClassVar[Mapping[str, str]] = {}  # keys of older configs: what to write instead

    @model_validator(mode="before")
    @classmethod
    def _refuse_old_keys(cls, values: Any) -> Any:
        for key in cls.renamed if isinstance(values, Mapping) else ():
            if key in values:
                raise ValueError(f"{key} is of an older version; write {cls.renamed[key]} instead")
        return values


class TruthConfig(Section):
    """The fine run that counts as the truth.

    `dt` in the system's unit of time: seconds, or none where it is dimensionless. A trajectory is
    `spinup_steps` steps that are thrown away, then `frames` frames that lie `save_every` steps
    apart. `constants` are passed to the system by name.
    """

    system: str = "qg"
    configuration: str = "eddy"
    nx: Count
    ny: Count | None = None
    dt: Positive
    spinup_steps: CountOrZero
    frames: Count
    save_every: Count
    constants: dict[str, Constant] = {}


class CoarseConfig(Section):
    """The coarse grids, finest first, and how a fine state becomes a coarse one.

    Each size is the number of cells along x. The closure acts on the first size. `target`: what
    the closures learn, the difference of two tendencies or, with "step", what one step of the
    coarse model, of evaluation.dt, misses of the truth's steps in that time, per time.
    """

    renamed = {"forcing": "target"}
    sizes: Sizes
    operator: str = "operator1"
    target: Literal["tendency", "step"] = "tendency"


class TrajectoryCounts(Section):
    """How many truth trajectories each split has; no trajectory is in two splits.

    `train` and `validation` may be 0 where nothing is trained.
    """

    train: CountOrZero
    validation: CountOrZero
    test: Count


class DataConfig(Section):
    """How much truth is simulated, and how many frames are computed and written at once.

    A test trajectory has `test_frames` frames (as many as the others unless given), since the free
    runs of the evaluation are compared with it. `store_flux` adds the subgrid forcing as a flux,
    `q_flux_x` and `q_flux_y`, to the data (two-layer QG only); no stage of a run needs it.
    """

    trajectories: TrajectoryCounts
    segment_frames: Count = 16
    test_frames: Count | None = None
    store_flux: StrictBool = False


class TrainingConfig(Section):
    """The optimisation of every network of a learned model.

    `warmup`, `noise_from`, `validate_every` and `checkpoint_every` count updates. The rate rises to
    `learning_rate` and, with "cosine", falls to `end_learning_rate`. `clip` is "norm" (the gradient
    is scaled down to the norm `clip_at`) or "legacy" (each element is cut to ±`clip_at`). `noise`
    is the standard deviation of the Gaussian noise added to the standardised inputs from update
    `noise_from` on, and `clean_fraction` the share of samples that stay without it. `ema` is the
    decay of the running mean of the weights. `chunk` is the number of samples whose gradient is
    computed at once (large batches fall out of the CPU cache). `in_memory`: whether the samples are
    held in memory or read as they are needed, to the same bits; "auto" holds them if they take less
    than half of what is free, limits of a job or container included.
    """

    updates: Count
    batch_size: Count = 64
    learning_rate: Positive = 1e-3
    end_learning_rate: PositiveOrZero = 0.0
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup: CountOrZero = 0
    optimiser: Literal["adam", "adamw"] = "adam"
    weight_decay: PositiveOrZero = 0.0
    epsilon: Positive = 1e-8
    clip: Literal["norm", "legacy"] | None = None
    clip_at: Positive = 1.0
    noise: PositiveOrZero = 0.0
    noise_from: CountOrZero = 0
    clean_fraction: Fraction = 0.25
    ema: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    validate_every: Count = 100
    validation_samples: Count = 256
    checkpoint_every: Count = 200
    chunk: Count = 8
    in_memory: StrictBool | Literal["auto"] = "auto"

    @model_validator(mode="after")
    def _lengths_fit(self) -> "TrainingConfig":
        if self.warmup >= self.updates and self.warmup > 0:
            raise ValueError(
                f"warmup = {self.warmup} must be smaller than updates = {self.updates}"
            )
        if self.end_learning_rate > self.learning_rate:
            raise ValueError(
                f"end_learning_rate = {self.end_learning_rate} must be at most learning_rate = "
                f"{self.learning_rate}"
            )
        if self.noise > 0 and self.noise_from >= self.updates:
            raise ValueError(
                f"noise_from = {self.noise_from} must be smaller than updates = {self.updates}, or "
                f"noise = {self.noise} is never added"
            )
        _check_chunk(self.batch_size, self.chunk)
        if self.weight_decay > 0 and self.optimiser == "adam":
            raise ValueError(
                f'weight_decay = {self.weight_decay} needs optimiser = "adamw" (adam has none)'
            )
        return self


def _check_chunk(batch_size: int, chunk: int) -> None:
    if batch_size % chunk:
        raise ValueError(
            f"batch_size = {batch_size} must be a multiple of chunk = {chunk}, the samples whose "
            "gradient is computed at once"
        )


# how the increment of a closure enters the step of a system that takes steps of its own
Coupling = Literal["add-after", "project-after", "add-within"]


class NoClosureConfig(Section):
    """The coarse model alone: what every closure is compared with."""

    name: Name
    kind: Literal["none"]


class ClosureConfig(Section):
    """A closure from the registry, or your own as "module:Class", with its arguments.

    `coupling`: how its increment enters the step of a system that takes steps of its own, such as
    Kolmogorov flow: see `subgrid.stepping`; "add-after" unless given.
    """

    name: Name
    kind: Literal["closure"]
    closure: str
    arguments: FreeTable = {}
    coupling: Coupling | None = None


class LearnedConfig(Section):
    """A closure learned from the data of this run.

    `networks` are in the order in which they work. `arrangement` is "single" (one network),
    "stacked" (two networks at the finest coarse size, the second correcting the first, trained
    together) or "multiscale" (one network per coarse size, the one for the coarsest size first,
    trained one after another with the earlier ones frozen). `width` multiplies the channels of each
    network. `inputs` names what the networks see: variables of the system and "tendency", its
    resolved tendency; by default the state. `target_cut`: only scales up to that share of the
    Nyquist wavenumber of the finest coarse size are learned and predicted: those that the model's
    filter leaves alone. `divergence_free`: the network predicts a streamfunction, so that the
    increment of velocities on faces has no divergence. `coupling`: see `ClosureConfig`. `seeds` is
    the number of independent initialisations. `calibrated_as`: the model whose noise --noise-from
    takes for this one, unless it has the same name.
    `training` changes single settings of [training] for this model, and `stage_training`, with a
    table per network of a multiscale model, for one network on top of that.
    """

    name: Name
    kind: Literal["learned"]
    networks: Names
    arrangement: Literal["single", "stacked", "multiscale"] = "single"
    sizes: Sizes | None = None
    width: Positive = 1.0
    inputs: Names | None = None
    zero_mean: bool = False
    flux_form: bool = False
    divergence_free: bool = False
    coupling: Coupling | None = None
    target_cut: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    seeds: Count = 1
    calibrated_as: Name | None = None
    training: FreeTable = {}
    stage_training: Annotated[tuple[FreeTable, ...], Strict(False)] = ()

    @model_validator(mode="after")
    def _networks_fit(self) -> "LearnedConfig":
        wanted = {"single": 1, "stacked": 2}.get(self.arrangement, len(self.networks))
        if len(self.networks) != wanted:
            raise ValueError(
                f"arrangement {self.arrangement!r} needs {wanted} network(s), "
                f"got {len(self.networks)}: {list(self.networks)}"
            )
        if self.flux_form and self.divergence_free:
            raise ValueError("flux_form and divergence_free exclude each other; choose one")
        if self.sizes is not None and self.arrangement != "multiscale":
            raise ValueError(f"arrangement {self.arrangement!r} takes no sizes; multiscale does")
        tables = len(self.networks) if self.arrangement == "multiscale" else 0
        if self.stage_training and len(self.stage_training) != tables:
            raise ValueError(
                f"stage_training has {len(self.stage_training)} table(s); a multiscale model takes "
                "one per network, others none"
            )
        return self

    def trained_names(self) -> tuple[str, ...]:
        """Return the name of each initialisation, for messages and files: NAME-seed0, ..."""
        return tuple(f"{self.name}-seed{number}" for number in range(self.seeds))

    def scales(self, coarse: CoarseConfig) -> tuple[int, ...]:
        """Return the sizes that the model works at, finest first: one unless it is multiscale."""
        return (
            (self.sizes or coarse.sizes) if self.arrangement == "multiscale" else coarse.sizes[:1]
        )


class FineTuneConfig(Section):
    """Training through the solver: `updates` on windows of `frames` frames from their first state.

    The windows are those of the training split, frames as far apart as there; the weights that
    follow the validation windows best are kept, those before it included.
    """

    updates: Count
    frames: Count
    batch_size: Count = 4
    learning_rate: Positive = 1e-4
    validate_every: Count = 50
    validation_samples: Count = 16
    checkpoint_every: Count = 50
    chunk: Count = 1

    @model_validator(mode="after")
    def _chunks_fit(self) -> "FineTuneConfig":
        _check_chunk(self.batch_size, self.chunk)
        return self


class AdaptedConfig(Section):
    """A learned model of this run, `of`, changed after its training: each of its networks in turn.

    `fine_tune`: trained on through the solver. `energy_limit`: the power that its increment gives
    to the flow is cut to the largest that the true forcing has in the training split. `coupling`:
    see `ClosureConfig`; that of the learned model unless given.
    """

    name: Name
    kind: Literal["adapted"]
    of: Name
    fine_tune: FineTuneConfig | None = None
    energy_limit: bool = False
    coupling: Coupling | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> "AdaptedConfig":
        if self.fine_tune is None and not self.energy_limit and self.coupling is None:
            raise ValueError(
                f"model {self.name!r} changes nothing of {self.of!r}: give fine_tune, energy_limit "
                "or coupling"
            )
        return self


class GridConfig(Section):
    """The model without a closure on a finer grid: what the cost of a closure could buy instead.

    `size` cells along x, between the first coarse size and the truth's; `substeps` steps for each
    step of the coarse model. It starts from the coarse states, padded with zeros in wavenumber
    space (their streamfunction where they are velocities on faces), and is coarsened like the truth
    before it is compared.
    """

    name: Name
    kind: Literal["grid"]
    size: Count
    substeps: Count = 1


class PretrainedConfig(Section):
    """A closure trained earlier, from a bundle: the name of a shipped one, or its folder.

    It is refused where system, constants, coarse grid or operator differ from what it was trained
    and tested in, unless `transfer`: then it is tested there, and the report says so. `coupling`:
    see `ClosureConfig`; that of its training unless given.
    """

    name: Name
    kind: Literal["pretrained"]
    bundle: str
    transfer: StrictBool = False
    coupling: Coupling | None = None


AnyModelConfig = (
    NoClosureConfig | ClosureConfig | LearnedConfig | AdaptedConfig | PretrainedConfig | GridConfig
)
ModelConfig = Annotated[AnyModelConfig, Field(discriminator="kind")]


class SeparatedConfig(Section):
    """A network for the separated experiments of Otness, Zanna & Bruna 2025.

    It is trained anew for every task (see `subgrid.nn.SEPARATED_TASKS`) and every pair of coarse
    sizes, each time `seeds` times, and scored offline. `training` changes single settings of
    [training].
    """

    name: Name
    network: str
    width: Positive = 1.0
    seeds: Count = 1
    training: FreeTable = {}

    def trained_names(self) -> tuple[str, ...]:
        """Return the name of each initialisation, for messages and files: NAME-seed0, ..."""
        return tuple(f"{self.name}-seed{number}" for number in range(self.seeds))


class SearchConfig(Section):
    """A search for an architecture: every way to choose one of `candidates` per coarse size.

    Each choice is a multiscale model (see `LearnedConfig` for the other settings), tested online
    like the models but kept out of their figures; all are ranked by their spectral errors.
    """

    candidates: Names
    width: Positive = 1.0
    zero_mean: bool = False
    seeds: Count = 1
    training: FreeTable = {}

    def models(self, scales: int) -> tuple[LearnedConfig, ...]:
        """Return the model of every choice, called by its networks: "psm4_pmd8"."""
        return tuple(
            LearnedConfig(
                name=re.sub(r"[^A-Za-z0-9_.-]", "-", "_".join(networks)),
                kind="learned",
                networks=networks,
                arrangement="multiscale",
                width=self.width,
                zero_mean=self.zero_mean,
                seeds=self.seeds,
                training=self.training,
            )
            for networks in itertools.product(self.candidates, repeat=scales)
        )


class CalibrationConfig(Section):
    """Which noise to train with: every one of `models` trained with every one of `levels`.

    `levels`: standard deviations of the noise on the standardised inputs, see [training]. Each is
    tested in `members` free runs, as long as those of [evaluation], from random states of the
    validation trajectories; the run chooses by itself and records it. With --noise-from another run
    trains its models of the same names with the levels chosen here. `skip`: models that are left
    out, for a smaller profile.
    """

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


class VariantConfig(Section):
    """Other `constants` of the coarse model for a second set of free runs, under a `name`."""

    name: Name
    constants: dict[str, Constant]


class EvaluationConfig(Section):
    """The offline and the online test on the held-out trajectories.

    Online: each of `members` free runs takes `steps` steps of `dt` (in the unit of the truth's, and
    that where none is given), saved every `save_every` steps; it is compared with the test
    trajectory that it starts from, so it cannot last longer. `starts`: "first" frame of a
    trajectory of its own, or "random" frames drawn by the seed, as many in each trajectory as in
    every other. Spectra are averaged from step `average_from` on (the second half unless given) and
    compared up to `cut`, a fraction of the Nyquist wavenumber; `snapshots` states are kept for the
    distributions.
    Intervals come from `bootstrap` resamples at confidence `level`. `constants` change the coarse
    system of the free runs only, for example its `filter_sharpness`. Each entry of `variants`
    repeats the free runs of all models with further changes, such as a sharper filter.
    """

    steps: Count
    save_every: Count
    members: Count = 1
    starts: Literal["first", "random"] = "first"
    dt: Positive | None = None
    average_from: CountOrZero | None = None
    snapshots: Count = 10
    samples: Count = 256
    cut: Annotated[float, Field(gt=0.0, le=1.0)] = 2.0 / 3.0
    bootstrap: Annotated[Count, Field(le=1_000_000)] = 1000
    level: Annotated[float, Field(ge=0.5, lt=1.0)] = 0.95
    constants: dict[str, Constant] = {}
    variants: Annotated[tuple[VariantConfig, ...], Strict(False)] = ()

    @model_validator(mode="after")
    def _frames_fit(self) -> "EvaluationConfig":
        if self.steps < self.save_every:
            raise ValueError(
                f"steps = {self.steps} must be at least save_every = {self.save_every}, or no "
                "frame is saved"
            )
        if self.bootstrap < (least := fewest_draws(self.level)):
            raise ValueError(
                f"bootstrap = {self.bootstrap} must be at least {least} at level = {self.level:g}, "
                "so that a resample lies beyond each end of an interval"
            )
        return self


def merged_training(
    training: TrainingConfig, model: LearnedConfig | SeparatedConfig | SearchConfig, stage: int = 0
) -> TrainingConfig:
    """Return [training] with the changes that `model` asks for; raises ValidationError.

    `stage`: of a multiscale model, from 0.
    """
    changes = getattr(model, "stage_training", ())
    own = changes[stage] if changes else {}
    return TrainingConfig(**{**training.model_dump(), **model.training, **own})
