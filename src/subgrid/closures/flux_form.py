"""The increment as the divergence of a flux."""

from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from subgrid.closures.operators import divergence
from subgrid.closures.output import AbstractConstraint, coarsened, plane_of, zeros_with
from subgrid.errors import ShapeError
from subgrid.grids import PeriodicGrid
from subgrid.nn import Scaler


class FluxForm(AbstractConstraint):
    """Makes the increment minus the divergence of a flux, so that its mean is zero to rounding.

        increment = -∂x f_x - ∂y f_y

    The network says two fluxes per channel, those in x of all channels first, in units of the
    increment times metres. `grid`: the doubly periodic plane. Fluxes are scaled by σ_S dx, so that
    those of order one that vary over a few cells make an increment of order one.
    """

    grid: PeriodicGrid = eqx.field(static=True)
    reads: ClassVar[bool] = True
    claims: ClassVar[tuple[str, ...]] = ("conserves mean",)
    words: ClassVar[str] = "the form of a flux's divergence"

    @classmethod
    def for_system(cls, system: Any, **arguments: Any) -> "FluxForm":
        """Return the constraint on the plane of a system; raises ConfigError where it has none."""
        return cls(plane_of(system, "flux-form"), **arguments)

    def channels(self, count: int) -> int:
        """Return two fluxes per channel."""
        return 2 * count

    def scaler(self, scaler: Scaler) -> Scaler:
        """Return the scales of both fluxes of each channel, σ_S dx."""
        return zeros_with(jnp.tile(scaler.scale * jnp.float32(self.grid.dx), 2))

    def __call__(
        self, values: Float[Array, "given y x"], fields: Float[Array, "channel m n"]
    ) -> Float[Array, "returned y x"]:
        """Return minus the divergence; raises ShapeError for a state on another grid."""
        if fields.shape[-2:] != self.grid.shape:
            raise ShapeError(
                f"the state is on {fields.shape[-2:]} (ny, nx), but this flux-form closure takes "
                f"its divergence on {self.grid.shape}; build it with the grid it runs on"
            )
        flux_x, flux_y = jnp.split(values, 2)
        return -divergence(flux_x, flux_y, coarsened(self.grid, values))
