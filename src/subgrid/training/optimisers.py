"""Optimisers by name: Adam and AdamW with a schedule and, if asked for, clipped gradients."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import optax

from subgrid.errors import ConfigError, UnknownNameError
from subgrid.numbers import finite_number, positive_number
from subgrid.registry import Registry, unknown_name_message
from subgrid.training.schedules import Schedule

CLIPS = ("norm", "legacy")


@runtime_checkable
class Optimiser(Protocol):
    """What `fit` needs of an optimiser: the optax transformation, its rate, its settings."""

    @property
    def schedule(self) -> Schedule:
        """Return the learning-rate schedule, for the records."""
        ...

    def transformation(self) -> optax.GradientTransformation:
        """Return the optax transformation from gradients to updates."""
        ...

    def settings(self) -> Mapping[str, Any]:
        """Return everything that decides the numbers, as plain values."""
        ...


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma & Ba 2015, arXiv:1412.6980), optionally on clipped gradients.

    `schedule`: learning rate. `b1`, `b2`: memory of the first and second moment. `epsilon` is added
    to the root of the second moment (Otness et al. 2025 use 1e-8 for QG and 1e-3 for Kolmogorov
    flow). `clip`: None, "norm" (the gradient is scaled down to a global norm of `clip_at`) or
    "legacy" (every element is cut to ±`clip_at`, as in the code of Otness et al. 2025, with 1).
    Raises ConfigError for a value out of range and UnknownNameError for another `clip`.
    """

    schedule: Schedule
    b1: float = 0.9
    b2: float = 0.999
    epsilon: float = 1e-8
    clip: str | None = None
    clip_at: float = 1.0

    def __post_init__(self):
        _check(self)

    def transformation(self) -> optax.GradientTransformation:
        """Return the optax transformation: clip, scale by the moments, multiply by -rate."""
        return optax.chain(
            _clipping(self.clip, self.clip_at),
            optax.scale_by_adam(self.b1, self.b2, self.epsilon),
            optax.scale_by_learning_rate(self.schedule),
        )

    def settings(self) -> dict[str, Any]:
        """Return name, schedule and numbers as plain values."""
        return _settings("adam", self)


@dataclass(frozen=True)
class AdamW:
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, arXiv:1711.05101).

    Each update also takes rate × `weight_decay` × the parameter itself. The other arguments and
    errors are those of `Adam`.
    """

    schedule: Schedule
    weight_decay: float = 1e-4
    b1: float = 0.9
    b2: float = 0.999
    epsilon: float = 1e-8
    clip: str | None = None
    clip_at: float = 1.0

    def __post_init__(self):
        _check(self)
        if not 0 <= finite_number("weight_decay", self.weight_decay) < 1:
            raise ConfigError(f"weight_decay is {self.weight_decay!r}; it must lie in [0, 1).")

    def transformation(self) -> optax.GradientTransformation:
        """Return the optax transformation: clip, scale by the moments, decay, times -rate."""
        return optax.chain(
            _clipping(self.clip, self.clip_at),
            optax.scale_by_adam(self.b1, self.b2, self.epsilon),
            optax.add_decayed_weights(self.weight_decay),
            optax.scale_by_learning_rate(self.schedule),
        )

    def settings(self) -> dict[str, Any]:
        """Return name, schedule and numbers as plain values."""
        return _settings("adamw", self)


OPTIMISERS = Registry("optimiser", {"adam": Adam, "adamw": AdamW})


def _clipping(clip: str | None, limit: float) -> optax.GradientTransformation:
    if clip is None:
        return optax.identity()
    return optax.clip_by_global_norm(limit) if clip == "norm" else optax.clip(limit)


def _check(optimiser: Adam | AdamW) -> None:
    for name in ("b1", "b2"):
        value = getattr(optimiser, name)
        if not 0 <= finite_number(name, value) < 1:
            raise ConfigError(f"{name} is {value!r}; it must lie in [0, 1).")
    positive_number("epsilon", optimiser.epsilon)
    positive_number("clip_at", optimiser.clip_at)
    if optimiser.clip is not None and optimiser.clip not in CLIPS:
        raise UnknownNameError(unknown_name_message("clip", str(optimiser.clip), CLIPS))


def _settings(name: str, optimiser: Adam | AdamW) -> dict[str, Any]:
    values = {
        field.name: getattr(optimiser, field.name)
        for field in dataclasses.fields(optimiser)
        if field.name != "schedule"
    }
    schedule = optimiser.schedule
    plain = vars(schedule) if dataclasses.is_dataclass(schedule) else {}
    kind = getattr(schedule, "__qualname__", type(schedule).__qualname__)
    return {"name": name, **values, "schedule": {"name": kind, **plain}}
