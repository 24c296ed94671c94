"""A closed rectangular basin with a coastline."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from subgrid.errors import ShapeError
from subgrid.grids.domain import AbstractDomain, Coordinates
from subgrid.numbers import positive_number


class MaskedBasin(AbstractDomain):
    """Cells of `dx` by `dy` metres between walls; `mask` [y, x] is True where there is water.

    Arrays on it are [..., y, x]. Land counts in no mean. Equal basins are equal by value. Raises
    ShapeError for a mask that is not [y, x] or has no water, ValueError for a width that is not
    positive.
    """

    def __init__(self, mask: ArrayLike, dx: float, dy: float | None = None):
        wet = np.asarray(mask, bool)
        if wet.ndim != 2 or not wet.any():
            raise ShapeError(
                f"mask must be [y, x] with at least one cell of water (True), got shape {wet.shape}"
                f" with {int(wet.sum())}"
            )
        self.dx = positive_number("dx", dx)
        self.dy = positive_number("dy", dx if dy is None else dy)
        self._shape, self._wet = wet.shape, wet.tobytes()

    @property
    def dims(self) -> tuple[str, ...]:
        """("y", "x")."""
        return "y", "x"

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape (ny, nx) of a field."""
        return self._shape

    @property
    def periodic(self) -> tuple[bool, ...]:
        """(False, False): walls all around."""
        return False, False

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Where there is water [y, x]."""
        return np.frombuffer(self._wet, bool).reshape(self._shape)

    @property
    def weights(self) -> NDArray[np.float64]:
        """Area of each cell of water, m², and 0 on land [y, x]."""
        return np.where(self.mask, self.dx * self.dy, 0.0)

    def coordinates(self, units: str = "m") -> Coordinates:
        """Return the cell centres with their CF attributes."""
        (ny, nx), common = self._shape, {"units": units}
        return {
            "y": ((np.arange(ny) + 0.5) * self.dy, {"long_name": "distance north", **common}),
            "x": ((np.arange(nx) + 0.5) * self.dx, {"long_name": "distance east", **common}),
        }

    def settings(self) -> dict[str, Any]:
        """Return the arguments that build this basin again."""
        return {"mask": self.mask, "dx": self.dx, "dy": self.dy}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MaskedBasin) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((self._shape, self._wet, self.dx, self.dy))

    def __repr__(self) -> str:
        water = int(self.mask.sum())
        return f"MaskedBasin({self._shape}, {water} cells of water, dx={self.dx}, dy={self.dy})"
