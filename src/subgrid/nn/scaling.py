"""Scales the channels of a field to mean zero and unit size, and back."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from subgrid.errors import ConfigError, ShapeError
from subgrid.nn.fixed import Fixed, fixed_as


class Scaler(eqx.Module):
    """Maps the channels of a field, [channel, y, x] or [channel, x], to (x - mean)/scale and back.

    `mean` and `scale` hold one number per channel, in the units of the field; usually mean and
    standard deviation of the training set. They are constants, not weights: no training changes
    them (`subgrid.nn.Fixed`). The result has the precision of the field. Raises ShapeError if the
    two differ in length and ConfigError if a number is not finite or a scale not positive.
    """

    _mean: Fixed[Float[Array, " channel"]] = eqx.field(metadata=fixed_as("mean"))
    _scale: Fixed[Float[Array, " channel"]] = eqx.field(metadata=fixed_as("scale"))

    def __init__(self, mean: ArrayLike, scale: ArrayLike):
        self._mean, self._scale = (Fixed(jnp.asarray(given, float)) for given in (mean, scale))
        if self.mean.ndim != 1 or self.mean.shape != self.scale.shape:
            raise ShapeError(
                f"a scaler needs one mean and one scale per channel, got shapes {self.mean.shape} "
                f"and {self.scale.shape}."
            )
        if isinstance(self.scale, Tracer) or isinstance(self.mean, Tracer):
            return  # values are known only when the compiled function runs
        if not (np.all(np.isfinite(self.mean)) and np.all(np.isfinite(self.scale))):
            raise ConfigError(f"means {self.mean} and scales {self.scale} must be finite.")
        if not np.all(np.asarray(self.scale) > 0):
            raise ConfigError(
                f"scales {self.scale} must be positive; a channel that never varies carries "
                "nothing to learn from: drop it, or give it the scale 1."
            )

    @property
    def mean(self) -> Float[Array, " channel"]:
        """What is subtracted from each channel."""
        return self._mean.value

    @property
    def scale(self) -> Float[Array, " channel"]:
        """What each channel is divided by."""
        return self._scale.value

    @classmethod
    def identity(cls, channels: int) -> "Scaler":
        """Return the scaler that changes nothing."""
        return cls(np.zeros(channels), np.ones(channels))

    def normalise(self, field: Float[Array, "channel *space"]) -> Float[Array, "channel *space"]:
        """Return (field - mean)/scale. Raises ShapeError for another number of channels."""
        mean, scale = self._like(field)
        return (field - mean) / scale

    def denormalise(self, field: Float[Array, "channel *space"]) -> Float[Array, "channel *space"]:
        """Return mean + scale · field. Raises ShapeError for another number of channels."""
        mean, scale = self._like(field)
        return mean + scale * field

    def _like(self, field: Array) -> tuple[Array, Array]:
        count = self.mean.shape[0]
        if field.ndim not in (2, 3) or field.shape[0] != count:
            raise ShapeError(
                f"the scaler takes one sample of shape [{count}, y, x] or [{count}, x], got "
                f"{list(field.shape)}. Batches go through jax.vmap."
            )
        shape = (count, *[1] * (field.ndim - 1))
        mean, scale = self.mean.astype(field.dtype), self.scale.astype(field.dtype)
        return mean.reshape(shape), scale.reshape(shape)
