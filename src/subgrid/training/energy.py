"""The energy that the true forcing gives to a flow, as a limit for closures."""

import numpy as np

from subgrid.errors import ConfigError
from subgrid.training.scaling import FORCING, SampleSource

_AT_ONCE = 256  # samples in memory
_VELOCITIES = ("u", "v")


def energy_limit_of(samples: SampleSource, quantile: float = 1.0) -> float:
    """Return the largest power of the true forcing over a split, or a quantile of it.

        P = <u S_u + v S_v>     < > the mean over the domain, energy per time

    For `LearnedClosure(energy_limit=...)` and `with_energy_limit`. Over all samples, summed in
    float64; `quantile` 1 is the largest of these, 0.5 their median. It is negative where the
    forcing takes energy from every state.

    Raises ConfigError for samples of other variables than the velocities u[y, x] and v[y, x] with
    their forcings, for a power that is not finite, and for a quantile beyond 0 to 1.
    """
    if not 0 <= quantile <= 1:
        raise ConfigError(f"quantile is {quantile!r}; it must lie between 0 and 1.")
    wanted = {*_VELOCITIES, *(name + FORCING for name in _VELOCITIES)}
    if set(samples.variables) != wanted:
        raise ConfigError(
            f"an energy limit needs samples of {sorted(wanted)}; {samples.path} gives "
            f"{list(samples.variables)}. Ask Samples for these."
        )
    count = len(samples)
    parts = (
        _powers(samples, np.arange(first, min(first + _AT_ONCE, count)))
        for first in range(0, count, _AT_ONCE)
    )
    powers = np.concatenate(list(parts))
    if not np.all(np.isfinite(powers)):
        raise ConfigError(
            f"{samples.path}: the power of the forcing is not finite in "
            f"{np.sum(~np.isfinite(powers))} of {count} samples; look at the data."
        )
    return float(np.quantile(powers, quantile))


def _powers(samples: SampleSource, chosen: np.ndarray) -> np.ndarray:
    """Return <u S_u + v S_v> of the chosen samples."""
    batch = samples.batch(chosen)
    if any(batch[name].ndim != 3 for name in batch):
        raise ConfigError(f"an energy limit needs velocities without levels; see {samples.path}.")
    products = (
        batch[name].astype(np.float64) * batch[name + FORCING].astype(np.float64)
        for name in _VELOCITIES
    )
    return np.mean(sum(products), axis=(-2, -1))
