"""Learning rates as functions of the number of updates made so far."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from subgrid.errors import ConfigError
from subgrid.numbers import finite_number, positive_number, whole_number
from subgrid.registry import Registry

Schedule = Callable[[Any], Any]
"""A learning rate: schedule(t) is the rate, a scalar, of the update made after t others."""


@dataclass(frozen=True)
class Constant:
    """Returns the same learning rate for every update.

    `peak`: the rate, positive. Raises ConfigError for any other value.
    """

    peak: float

    def __post_init__(self):
        positive_number("peak learning rate", self.peak)

    def __call__(self, update: Any) -> Float[Array, ""]:
        """Return `peak`, whatever the update."""
        return jnp.float32(self.peak)


@dataclass(frozen=True)
class WarmupCosine:
    """Returns a rate that rises linearly from 0 and falls along half a cosine.

        r(t) = p t / w                                        for t < w
        r(t) = e + (p - e) ½ (1 + cos(π (t - w) / (T - w)))   for w ≤ t ≤ T,   e beyond T

    p = `peak`, T = `updates` (length of the run), w = `warmup` (updates; 0 for none), e = `end`.
    Otness, Zanna & Bruna (2025) use w = one epoch (374 updates) and e = 0.
    Raises ConfigError for a rate or a length that makes no sense.
    """

    peak: float
    updates: int
    warmup: int = 0
    end: float = 0.0

    def __post_init__(self):
        positive_number("peak learning rate", self.peak)
        for name in ("updates", "warmup"):
            object.__setattr__(self, name, whole_number(name, getattr(self, name), least=0))
        if not 0 <= finite_number("end learning rate", self.end) <= self.peak:
            raise ConfigError(
                f"end learning rate {self.end!r} must lie between 0 and the peak {self.peak!r}."
            )
        if not 0 <= self.warmup < self.updates:
            raise ConfigError(
                f"warmup of {self.warmup!r} updates must be at least 0 and shorter than the run of "
                f"{self.updates!r} updates."
            )

    def __call__(self, update: Any) -> Float[Array, ""]:
        """Return the rate of the formula above at t = `update`."""
        t = jnp.asarray(update, jnp.float32)
        rising = self.peak * t / max(self.warmup, 1)
        fraction = jnp.clip((t - self.warmup) / (self.updates - self.warmup), 0.0, 1.0)
        falling = self.end + (self.peak - self.end) * 0.5 * (1.0 + jnp.cos(jnp.pi * fraction))
        return jnp.where(t < self.warmup, rising, falling)


SCHEDULES = Registry("schedule", {"constant": Constant, "cosine": WarmupCosine})
