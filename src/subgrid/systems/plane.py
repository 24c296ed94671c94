"""What systems on a doubly periodic plane share: the grid, the precision and other sizes."""

from typing import Any, SupportsIndex

import equinox as eqx
import jax.numpy as jnp

from subgrid.grids import PeriodicGrid
from subgrid.systems.base import AbstractSystem


class AbstractPlaneSystem(AbstractSystem):
    """A system on a `PeriodicGrid` that is built by the arguments that `settings` returns."""

    grid: eqx.AbstractVar[PeriodicGrid]
    _dtype: eqx.AbstractVar[str]

    @property
    def domain(self) -> PeriodicGrid:  # type: ignore[override]
        """The plane."""
        return self.grid

    @property
    def dtype(self) -> Any:
        """The precision of the state."""
        return jnp.dtype(self._dtype)

    def settings(self) -> dict[str, Any]:
        """Return the arguments that build this system again, as plain numbers and strings."""
        raise NotImplementedError

    def at(
        self, size: SupportsIndex | tuple[SupportsIndex, SupportsIndex], **changes: Any
    ) -> "AbstractPlaneSystem":
        """Return the system of nx, or (ny, nx), cells on the same domain.

        `changes` override settings. Raises ValueError for a size that does not fit the domain.
        """
        resized = self.grid.at(size)
        sizes = {"nx": resized.nx, "ny": resized.ny}
        return type(self)(**{**self.settings(), **sizes, **changes})
