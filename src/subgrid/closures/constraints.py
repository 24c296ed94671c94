"""Constraints of learned closures by name, and those that are linear in what a network says."""

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from subgrid.closures.limits import Bounds, EnergyLimit
from subgrid.closures.operators import divergence
from subgrid.closures.output import AbstractConstraint
from subgrid.closures.symmetry import Symmetry
from subgrid.errors import ConfigError, ShapeError
from subgrid.grids import AbstractDomain, PeriodicGrid, downscale, low_pass, upscale
from subgrid.grids.staggered import rotated_gradient
from subgrid.nn import Scaler
from subgrid.numbers import positive_number
from subgrid.registry import Registry


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
        return cls(_plane_of(system, "flux-form"), **arguments)

    def channels(self, count: int) -> int:
        """Return two fluxes per channel."""
        return 2 * count

    def scaler(self, scaler: Scaler) -> Scaler:
        """Return the scales of both fluxes of each channel, σ_S dx."""
        return _about_zero(jnp.tile(scaler.scale * jnp.float32(self.grid.dx), 2))

    def __call__(
        self, values: Float[Array, "given y x"], fields: Float[Array, "channel m n"]
    ) -> Float[Array, "returned y x"]:
        """Return minus the divergence; raises ShapeError for a state on another grid."""
        _require_grid(self.grid, fields, "flux-form closure takes its divergence")
        ny, nx = values.shape[-2:]  # on the same plane, as coarse as the stage of a cascade
        grid = PeriodicGrid(nx, ny, self.grid.length_x, self.grid.length_y)
        flux_x, flux_y = jnp.split(values, 2)
        return -divergence(flux_x, flux_y, grid)


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
        return cls(_plane_of(system, "divergence-free"), **arguments)

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
        return _about_zero(jnp.sqrt(square) * jnp.float32(self.grid.dx))

    def __call__(
        self, values: Float[Array, "1 y x"], fields: Float[Array, "2 m n"]
    ) -> Float[Array, "2 y x"]:
        """Return D C⊥ D†ψ: (-∂ψ/∂y, ∂ψ/∂x) by the differences of the closure's own grid.

        Differences on the coarser one of a cascade's stage would be worse, and sit elsewhere: up to
        half a coarse cell from where D, which keeps the first point of each row in its place, puts
        u and v. Raises ShapeError for a state on another grid.
        """
        _require_grid(self.grid, fields, "divergence-free closure takes its differences")
        psi = upscale(values[0], *self.grid.shape)
        velocities, (ny, nx) = jnp.stack(rotated_gradient(psi, self.grid)), values.shape[-2:]
        return downscale(velocities, ny, nx)


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


class ScaleCut(AbstractConstraint):
    """Leaves out all scales beyond `share` of the Nyquist wavenumber (`subgrid.grids.low_pass`).

    Where a model's filter damps, the network need not predict: neither the increment nor what is
    learned of a target has these scales. The wavenumber is that of the closure's own grid, on the
    coarser grids of a cascade too. Raises ValueError unless `share` is positive and finite.
    """

    share: float = eqx.field(converter=partial(positive_number, "share"), static=True)

    @classmethod
    def for_system(cls, system: Any, **arguments: Any) -> "ScaleCut":
        """Return the constraint; raises ConfigError if no wave of the plane is left to learn."""
        made, longest = cls(**arguments), max(_plane_of(system, "cut").shape)
        if not 2 / longest <= made.share < 1:
            raise ConfigError(
                f"share: got {made.share:g}; must be at least {2 / longest:.3g}, or no wave of "
                f"{longest} cells is left to learn, and below 1"
            )
        return made

    @property
    def in_words(self) -> str:
        """What it does."""
        return f"no scales beyond {self.share:g} of the Nyquist wavenumber"

    def reachable(self, target: Float[Array, "channel y x"]) -> Float[Array, "channel y x"]:
        """Return the target without these scales."""
        return low_pass(target, self.share)

    def check_sizes(self, sizes: Sequence[int]) -> None:
        """Raise ConfigError if the coarser sizes of a cascade hold all scales that are left."""
        coarser = max(sizes[1:], default=0)
        if coarser >= self.share * sizes[0]:
            raise ConfigError(
                f"share: got {self.share:g}, but size {coarser} of {sizes[0]} holds all these "
                "scales already, and the last network would have none to add; take coarser sizes "
                "or a single scale"
            )

    def __call__(
        self, values: Float[Array, "channel y x"], fields: Float[Array, "channel m n"]
    ) -> Float[Array, "channel y x"]:
        """Return the values without these scales."""
        return low_pass(values, self.share * (fields.shape[-1] / values.shape[-1]))


def _plane_of(system: Any, what: str) -> PeriodicGrid:
    """Return the periodic plane of a system; raises ConfigError where it lives on none."""
    grid = getattr(system, "grid", None)
    if not isinstance(grid, PeriodicGrid):
        raise ConfigError(
            f"{what} takes derivatives on a doubly periodic plane, and {type(system).__name__} "
            "lives on none"
        )
    return grid


def _require_grid(grid: PeriodicGrid, fields: Array, what: str) -> None:
    """Raise ShapeError for a state on another grid than a closure was made for."""
    if fields.shape[-2:] != grid.shape:
        raise ShapeError(
            f"the state is on {fields.shape[-2:]} (ny, nx), but this {what} on {grid.shape}; build "
            "it with the grid it runs on"
        )


def _about_zero(scale: Float[Array, " channel"]) -> Scaler:
    """Return the scaler of these scales about zero."""
    return Scaler(jnp.zeros_like(scale), scale)


CONSTRAINTS = Registry(
    "constraint",
    {
        "flux-form": FluxForm,
        "divergence-free": DivergenceFree,
        "zero-mean": ZeroMean,
        "cut": ScaleCut,
        "energy-limit": EnergyLimit,
        "symmetry": Symmetry,
        "bounds": Bounds,
    },
)
