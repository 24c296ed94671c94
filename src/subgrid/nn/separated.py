"""The separated experiments of Otness, Zanna & Bruna 2025: what one network gains from scales.

Mach. Learn.: Sci. Technol. 6 045072, section 4.1. With D the spectral truncation to a coarser grid,
D† the padding back, x the standardised state and S the standardised forcing at high resolution:

| task | the network sees | prediction | truth |
|---|---|---|---|
| coarsened | x | D net | D S |
| across | D†D x: x without its small scales | D net | D S |
| buildup | x and D†D S, the true large scales of S | D†D S + net | S |
| direct | x | net | S |

Every network works at high resolution. D S keeps the units of S: its variance is below one.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from subgrid.errors import ConfigError
from subgrid.grids.resampling import downscale, upscale
from subgrid.nn.cascade import Network
from subgrid.nn.scaling import Scaler

SEPARATED_TASKS = ("coarsened", "across", "buildup", "direct")


class SeparatedNetwork(eqx.Module):
    """A network for one of `SEPARATED_TASKS` with the scalers of its training data.

    `low`: points along x of the coarser grid; not used by "direct". `inputs`, `targets`: scalers of
    the channels of state and forcing. Predictions and truths are in units of the standardised
    forcing. Raises ConfigError for an unknown task.
    """

    network: Network
    inputs: Scaler
    targets: Scaler
    task: str = eqx.field(static=True)
    low: int = eqx.field(static=True)

    def __check_init__(self):
        if self.task not in SEPARATED_TASKS:
            raise ConfigError(f"task must be one of {SEPARATED_TASKS}, got {self.task!r}")

    def predict(
        self, state: Float[Array, "channel y x"], forcing: Float[Array, "out y x"]
    ) -> Float[Array, "out m n"]:
        """Return the prediction for a state; of `forcing`, only "buildup" sees the large scales.

        In units of the state and the forcing; the result is standardised, on the coarser grid
        [out, m, n] for "coarsened" and "across", otherwise on the state's. Raises ShapeError for
        other channels than the network's.
        """
        seen = self.inputs.normalise(state)
        if self.task == "across":
            seen = self._without_small(seen)
        if self.task != "buildup":
            output = self.network(seen)
            return output if self.task == "direct" else self._down(output)
        large = self._without_small(self.targets.normalise(forcing))
        return large + self.network(jnp.concatenate([seen, large]))

    def truth(self, forcing: Float[Array, "out y x"]) -> Float[Array, "out m n"]:
        """Return what the prediction is compared with, standardised, on the same grid."""
        whole = self.targets.normalise(forcing)
        return self._down(whole) if self.task in ("coarsened", "across") else whole

    def _down(self, field: Array) -> Array:
        return downscale(field, self.low * field.shape[-2] // field.shape[-1], self.low)

    def _without_small(self, field: Array) -> Array:
        ny, nx = field.shape[-2:]
        return upscale(self._down(field), ny, nx)
