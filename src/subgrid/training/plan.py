"""How a network is trained: optimiser, numbers of updates and samples, noise."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from subgrid.errors import ConfigError
from subgrid.numbers import finite_number, whole_number
from subgrid.randomness import Stream, generator
from subgrid.training.optimisers import Optimiser

_COUNTS = (
    "updates",
    "batch_size",
    "validation_samples",
    "validate_every",
    "checkpoint_every",
    "chunk",
    "most_skipped",
)
_MAY_CHANGE = ("checkpoint_every", "most_skipped")  # when a run goes on


@dataclass(frozen=True)
class Noise:
    """Gaussian noise on the standardised inputs, against drift into states never seen in training.

    `level`: standard deviation (not variance). A sample stays clean with probability
    `clean_fraction`, and every sample before update `from_update`. Otness et al. (2025) use levels
    of 0.005 to 0.25 and a clean fraction of 0.25 (whose code trains its baselines without any clean
    sample, by a cast; not so here). Every channel that the network sees has its own.
    """

    level: float = 0.0
    clean_fraction: float = 0.25
    from_update: int = 0

    def __post_init__(self):
        finite_number("noise level", self.level, least=0.0)
        if not 0 <= finite_number("noise clean_fraction", self.clean_fraction) <= 1:
            raise ConfigError(
                f"noise clean_fraction is {self.clean_fraction!r}; it must lie between 0 and 1."
            )
        start = whole_number("noise from_update", self.from_update, least=0)
        object.__setattr__(self, "from_update", start)

    def draw(
        self, shape: tuple[int, ...], *, seed: int, update: int
    ) -> Float[np.ndarray, "batch channel *space"] | None:
        """Return the noise of a batch of this shape, or None if there is none.

        A function of seed and update alone, computed where the batch is loaded: beside the device's
        work, and the same on any number of devices.
        """
        if self.level == 0 or update < self.from_update:
            return None
        random = generator(Stream.INPUT_NOISE, seed, update)
        noisy = random.random(shape[0]) >= self.clean_fraction
        noise = random.standard_normal(shape, np.float32)
        return noise * np.float32(self.level) * noisy.reshape(-1, *[1] * (len(shape) - 1))


@dataclass(frozen=True)
class Plan:
    """How a network is trained.

    `updates`: to be made. `validate_every`, `checkpoint_every`: in updates; the metrics get a line
    at each validation. `ema`: decay of an exponential moving average of the weights, used for
    validation and kept. `chunk`: samples per gradient evaluation on each device (see
    `make_update`); on a CPU 2 is fastest (1.3 to 2.1 times a chunk of 8 at 48²). `most_skipped`:
    updates in a row that may fail for a loss or gradient that is not finite.

    Three more shape the data of `train_offline` and `train_cascade`; `fit` is given its batches and
    its validation ready-made and does not look at them. `batch_size`: samples per update. `noise`:
    on their inputs. `validation_samples`: size of the fixed subset of the validation split that
    selects the weights (all, if it has fewer).

    Raises ConfigError for a value out of range.
    """

    optimiser: Optimiser
    updates: int
    batch_size: int = 64
    validation_samples: int = 256
    validate_every: int = 250
    checkpoint_every: int = 250
    noise: Noise = field(default_factory=Noise)
    ema: float | None = None
    chunk: int | None = None
    most_skipped: int = 100

    def __post_init__(self):
        for name in _COUNTS:
            value = getattr(self, name)
            if name == "chunk" and value is None:
                continue
            object.__setattr__(self, name, whole_number(name, value))
        if self.ema is not None and not 0 < finite_number("ema", self.ema) < 1:
            raise ConfigError(
                f"ema is {self.ema!r}; it must lie between 0 and 1, for example 0.999."
            )

    def settings(self) -> dict[str, Any]:
        """Return everything that decides the numbers, as plain values."""
        names = [item.name for item in dataclasses.fields(self) if item.name not in _MAY_CHANGE]
        return {
            **{name: getattr(self, name) for name in names},
            "optimiser": dict(self.optimiser.settings()),
            "noise": dataclasses.asdict(self.noise),
        }
