"""The increment without its domain mean."""

from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from subgrid.closures.output import AbstractConstraint
from subgrid.grids.domain import AbstractDomain


class ZeroMean(AbstractConstraint):
    """Takes the mean over the domain off each channel: what is conserved stays so, to rounding.

    `domain`: whose weights the mean has, and whose land is left alone; without one all points count
    alike, as they do on a uniform grid.
    """

    domain: AbstractDomain | None = eqx.field(static=True, default=None)
    claims: ClassVar[tuple[str, ...]] = ("conserves mean",)
    words: ClassVar[str] = "no domain mean"

    @classmethod
    def for_system(cls, system: Any, **arguments: Any) -> "ZeroMean":
        """Return the constraint for the domain of a system."""
        weights = system.domain.weights
        uniform = bool(np.all(weights == weights.flat[0]))
        return cls(None if uniform else system.domain, **arguments)

    def __call__(
        self, values: Float[Array, "channel *space"], fields: Float[Array, "channel *fine"]
    ) -> Float[Array, "channel *space"]:
        """Return the values minus their mean, per channel."""
        space = tuple(range(1, values.ndim))
        if self.domain is None:
            return values - jnp.mean(values, axis=space, keepdims=True)
        share = self.domain.weights / np.sum(self.domain.weights)
        share = jnp.asarray(share, values.dtype)[None]
        mean = jnp.sum(share * values, axis=space, keepdims=True)
        return jnp.where(share > 0, values - mean, values)
