"""How networks are optimised: [training], what single models change of it, and fine-tuning."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, StrictBool, ValidationError, model_validator

from subgrid.config.explain import lines_of
from subgrid.config.section import Name, Parts, Section, check
from subgrid.config.values import Count, CountOrZero, Fraction, FreeTable, Positive, PositiveOrZero
from subgrid.errors import ConfigError

if TYPE_CHECKING:
    from subgrid.config.settings import Config
    from subgrid.training import Plan


class Optimisation(Section):
    """What every training has: see `TrainingConfig`."""

    updates: Count
    batch_size: Count
    learning_rate: Positive
    validate_every: Count
    validation_samples: Count
    checkpoint_every: Count
    chunk: Count

    @model_validator(mode="after")
    def _chunks_fit(self) -> "Optimisation":
        if self.batch_size % self.chunk:
            raise ValueError(
                f"batch_size = {self.batch_size} must be a multiple of chunk = {self.chunk}, the "
                "samples whose gradient is computed at once"
            )
        return self

    def plan(self) -> "Plan":
        """Return the training plan."""
        raise NotImplementedError

    def steps(self, config: "Config") -> int:
        """Return how many steps of the coarse model a sample is trained through; 0 for none."""
        return 0

    def _plan(self, optimiser: Any, **further: Any) -> "Plan":
        from subgrid.training import Plan

        return Plan(
            optimiser=optimiser,
            **self.model_dump(include=set(Optimisation.model_fields) - {"learning_rate"}),
            **further,
        )

    def check_devices(self, key: str) -> None:
        """Raise ConfigError unless every batch is divided over the devices, in whole chunks."""
        import jax

        devices = jax.device_count()
        if self.batch_size % (devices * self.chunk):
            raise ConfigError(
                f"{key}: batch_size = {self.batch_size} must be a multiple of {devices} devices "
                f"times chunk = {self.chunk}"
            )


class TrainingConfig(Optimisation):
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
        if self.weight_decay > 0 and self.optimiser == "adam":
            raise ValueError(
                f'weight_decay = {self.weight_decay} needs optimiser = "adamw" (adam has none)'
            )
        return self

    def plan(self) -> "Plan":
        """Return the training plan."""
        from subgrid.training import OPTIMISERS, SCHEDULES, Noise

        rates: dict[str, Any] = {"peak": self.learning_rate}
        if self.schedule == "cosine":
            rates |= {"updates": self.updates, "warmup": self.warmup}
            rates["end"] = self.end_learning_rate
        decay = {"weight_decay": self.weight_decay} if self.optimiser == "adamw" else {}
        optimiser = OPTIMISERS.get(self.optimiser)(
            SCHEDULES.get(self.schedule)(**rates),
            epsilon=self.epsilon,
            clip=self.clip,
            clip_at=self.clip_at,
            **decay,
        )
        noise = Noise(self.noise, self.clean_fraction, self.noise_from)
        return self._plan(optimiser, noise=noise, ema=self.ema)


class FineTuneConfig(Optimisation):
    """Training through the solver: `updates` on windows of `frames` frames from their first state.

    The windows are those of the training split, frames as far apart as there; the weights that
    follow the validation windows best are kept, those before it included.
    """

    frames: Count
    batch_size: Count = 4
    learning_rate: Positive = 1e-4
    validate_every: Count = 50
    validation_samples: Count = 16
    checkpoint_every: Count = 50
    chunk: Count = 1

    def plan(self) -> "Plan":
        """Return the plan: Adam, cosine to zero, clipped at norm 1."""
        from subgrid.training import OPTIMISERS, SCHEDULES

        rates = {"peak": self.learning_rate, "updates": self.updates}
        optimiser = OPTIMISERS.get("adam")(SCHEDULES.get("cosine")(**rates), clip="norm")
        return self._plan(optimiser)

    def steps(self, config: "Config") -> int:
        """Return the number of steps of a window."""
        return self.frames * config.steps_per_frame

    def windows_fit(self, config: "Config", key: str) -> Iterator[str]:
        """Yield whether windows are longer than trajectories, or frames no whole steps apart."""
        truth = config.truth
        if self.frames >= truth.frames:
            yield f"{key}.frames: got {self.frames}; must be below truth.frames = {truth.frames}"
        if not is_whole(config.frame / config.coarse_dt):
            yield (
                f"{key}: the frames of the truth are {config.frame:g} apart, which must be a whole "
                f"number of steps of the coarse model, {config.coarse_dt:g}"
            )


class Trained(Section):
    """Something with networks of its own: `seeds` times trained, `width` times as many channels.

    `training` changes single settings of [training].
    """

    name: Name
    width: Positive = 1.0
    seeds: Count = 1
    training: FreeTable = Field(default_factory=dict)

    def trained_names(self) -> tuple[str, ...]:
        """Return the name of each initialisation, for messages and files: NAME-seed0, ..."""
        return tuple(f"{self.name}-seed{number}" for number in range(self.seeds))

    def changes(self) -> tuple[tuple[str, dict[str, Any]], ...]:
        """Return what each of its trainings, one after another, changes of [training], keyed."""
        return (("training", self.training),)

    def trained(self, config: "Config") -> list[tuple[str, int]]:
        """Return its name and the number of its seeds."""
        return [(self.name, self.seeds)]

    def trainings(self, key: str) -> list[tuple[str, "Trained"]]:
        """Return itself."""
        return [(key, self)]

    @check
    def training_fits(self, config: "Config", key: str) -> Iterator[str]:
        """Yield what is wrong with [training] once this changes it."""
        for name, changes in self.changes():
            yield from training_problems(config, changes, f"{key}.{name}")

    def trace(self, parts: Parts, key: str) -> None:
        """Raise ConfigError unless every batch can be divided over the devices."""
        for stage in range(len(self.changes())):
            parts.config.training_of(self, stage).check_devices(key)


def training_problems(config: "Config", changes: dict[str, Any], key: str) -> Iterator[str]:
    """Yield what is wrong with [training] once changed."""
    training = config.training
    try:
        TrainingConfig(**{**training.model_dump(), **changes})
    except ValidationError as error:
        for problem in error.errors():
            yield from lines_of(".".join([key, *map(str, problem["loc"])]), problem)


def is_whole(ratio: float) -> bool:
    """Return whether a positive quotient is a whole number, to rounding."""
    return ratio > 0.5 and abs(ratio - round(ratio)) <= 1e-9 * ratio
