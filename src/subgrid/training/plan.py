"""How a network is trained: optimiser, numbers of updates and samples, noise."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from subgrid.errors import ConfigError
from subgrid.randomness import Stream, generator
from subgrid.training.optimisers import Optimiser


@dataclass(frozen=True)
class Noise:
    """Gaussian noise on the standardised inputs, against drift into states never seen in training.

    `level`: standard deviation (not variance). A sample stays clean with probability
    `clean_fraction`, and every sample before update `from_update`. Otness et al. (2025) use levels
    of 0.005 to 0.25 and a clean fraction of 0.25 (whose code trains its baselines without any clean
    sample, by a cast; not so here).
    """

    level: float = 0.0
    clean_fraction: float = 0.25
    from_update: int = 0

    def __post_init__(self):
        if not 0 <= self.level < float("inf"):
            raise ConfigError(f"noise level is {self.level!r}; it must be a number of at least 0.")
        if not 0 <= self.clean_fraction <= 1:
            raise ConfigError(
                f"noise clean_fraction is {self.clean_fraction!r}; it must lie between 0 and 1."
            )
        if self.from_update < 0:
            raise ConfigError(
                f"noise from_update is {self.from_update!r}; it must not be negative."
            )

    def draw(
        self, shape: tuple[int, ...], *, seed: int, update: int
    ) -> Float[np.ndarray, "batch channel y x"] | None:
        """Return the noise of a batch of this shape, or None if there is none.

        A function of seed and update alone, computed where the batch is loaded: beside the device's
        work, and the same on any number of devices.
        """
        if self.level == 0 or update < self.from_update:
            return None
        random = generator(Stream.INPUT_NOISE, seed, update)
        noisy = random.random(shape[0]) >= self.clean_fraction
        noise = random.standard_normal(shape, np.float32)
        return noise * np.float32(self.level) * noisy[:, None, None, None]


@dataclass(frozen=True)
class Plan:
    """How a network is trained: what `fit` is told, and the noise.

    `validation_samples`: size of the fixed subset of the validation split that selects the weights
    (all, if it has fewer). The other fields are arguments of `fit`; on a CPU a `chunk` of 2 is
    fastest (1.3 to 2.1 times a chunk of 8 at 48²).
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
