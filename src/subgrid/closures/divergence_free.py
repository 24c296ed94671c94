"""The increment of velocities as the rotated gradient of a streamfunction."""

from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from subgrid.closures.output import AbstractConstraint, plane_of, zeros_with
from subgrid.errors import ConfigError, ShapeError
from subgrid.grids import PeriodicGrid, downscale, upscale
from subgrid.grids.staggered import rotated_gradient
from subgrid.nn import Scaler


class DivergenceFree(AbstractConstraint):
    """Makes the increment of velocities on faces without divergence at every cell, to rounding.

        increment = (-∂ψ/∂y, ∂ψ/∂x)

    The network says one channel, ψ at north-east corners, in units of the increment times metres;
    the state is two channels, u and v on the faces of `subgrid.grids.staggered`, whose differences
    on `grid` these are. So the mean is zero too. ψ is scaled by dx and the root-mean-square of both
    components' σ_S.
    """

    grid: PeriodicGrid = eqx.field(static=True)
    reads: ClassVar[bool] = True
    claims: ClassVar[tuple[str, ...]] = ("conserves mean",)
    words: ClassVar[str] = "no divergence (it is that of a streamfunction)"

    @classmethod
    def for_system(cls, system: Any, **arguments: Any) -> "DivergenceFree":
        """Return the constraint on the plane of a system.

        Raises ConfigError unless its variables are two velocities on the faces of cells.
        """
        on_faces = tuple(v.name for v in system.variables if v.position != "centre")
        names = tuple(variable.name for variable in system.variables)
        if not names == on_faces == tuple(system.velocities) or len(names) != 2:
            raise ConfigError(
                "divergence-free is for systems of two velocities on the faces of cells, and "
                f"{type(system).__name__} has the variables {list(names)}, of which "
                f"{list(system.velocities)} are velocities"
            )
        return cls(plane_of(system, "divergence-free"), **arguments)

    def channels(self, count: int) -> int:
        """Return one channel, ψ; raises ShapeError for a state of other than two."""
        if count != 2:
            raise ShapeError(
                "divergence-free makes increments of two channels, the velocities u and v, but the "
                f"state has {count}"
            )
        return 1

    def scaler(self, scaler: Scaler) -> Scaler:
        """Return the scale of ψ; raises ShapeError for other than two components."""
        self.channels(len(scaler.scale))
        square = jnp.mean(jnp.square(scaler.scale), keepdims=True)
        return zeros_with(jnp.sqrt(square) * jnp.float32(self.grid.dx))

    def __call__(
        self, values: Float[Array, "1 y x"], fields: Float[Array, "2 m n"]
    ) -> Float[Array, "2 y x"]:
        """Return D C⊥ D†ψ: (-∂ψ/∂y, ∂ψ/∂x) by the differences of the closure's own grid.

        Differences on the coarser one of a cascade's stage would be worse, and sit elsewhere: up to
        half a coarse cell from where D, which keeps the first point of each row in its place, puts
        u and v. Raises ShapeError for a state on another grid.
        """
        if fields.shape[-2:] != self.grid.shape:
            raise ShapeError(
                f"the state is on {fields.shape[-2:]} (ny, nx), but this divergence-free closure "
                f"takes its differences on {self.grid.shape}; build it with the grid it runs on"
            )
        psi = upscale(values[0], *self.grid.shape)
        velocities, (ny, nx) = jnp.stack(rotated_gradient(psi, self.grid)), values.shape[-2:]
        return downscale(velocities, ny, nx)
