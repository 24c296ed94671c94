"""A periodic line of cells and its wavenumbers."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from subgrid.errors import ShapeError
from subgrid.grids.domain import AbstractDomain, Coordinates
from subgrid.numbers import positive_number, whole_number


@dataclass(frozen=True)
class PeriodicLine(AbstractDomain):
    """`cells` cells on a periodic line of `length`; equal lines are equal by value.

    Arrays on it are [..., x]; their transforms are `rfft` over the last axis, unnormalised.
    Wavenumbers k = 2π/length · [0 … cells//2]. `dim` names the dimension. Raises ValueError for
    fewer than 4 cells and a length that is not positive.
    """

    cells: int
    length: float = 1.0
    dim: str = "x"

    has_spectrum = True

    def __post_init__(self):
        object.__setattr__(self, "cells", whole_number("cells", self.cells, least=4))
        object.__setattr__(self, "length", positive_number("length", self.length))

    @property
    def dims(self) -> tuple[str, ...]:
        """The one dimension."""
        return (self.dim,)

    @property
    def shape(self) -> tuple[int, ...]:
        """(cells,)."""
        return (self.cells,)

    @property
    def periodic(self) -> tuple[bool, ...]:
        """(True,)."""
        return (True,)

    @property
    def dx(self) -> float:
        """Width of a cell, in units of the length."""
        return self.length / self.cells

    @property
    def x(self) -> NDArray[np.float64]:
        """Cell centres [x]."""
        return (np.arange(self.cells, dtype=np.float64) + 0.5) * self.dx

    @property
    def k(self) -> NDArray[np.float64]:
        """Wavenumbers [cells//2 + 1], rad per length."""
        return np.arange(self.cells // 2 + 1, dtype=np.float64) * (2 * math.pi / self.length)

    @property
    def nyquist(self) -> float:
        """Largest wavenumber that the cells hold, rad per length."""
        return math.pi / self.dx

    @property
    def weights(self) -> NDArray[np.float64]:
        """The width of every cell [x]."""
        return np.full(self.shape, self.dx)

    @property
    def spectral_shape(self) -> tuple[int, ...]:
        """Shape of the rfft of a field."""
        return (self.cells // 2 + 1,)

    def coordinates(self, units: str = "m") -> Coordinates:
        """Return the cell centres with their CF attributes."""
        attributes = {"long_name": "distance along the line", "units": units, "axis": "X"}
        return {self.dim: (self.x, attributes)}

    def resized(self, cells: int) -> "PeriodicLine":
        """Return the line of so many cells and the same length."""
        return PeriodicLine(cells, self.length, self.dim)

    def isotropic_spectrum(
        self, density: ArrayLike, **options: Any
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return wavenumbers k > 0 [bins] and E(k) = 2 P(k)/dk [..., bins].

        P = |hat|²/cells², hat the unnormalised rfft; Σ E dk is the mean square of a field without
        mean. Where the number of cells is even the last wave stands once, so its E is P/dk. There
        is one definition on a line: `options`, which choose one on a plane, change nothing. Raises
        ShapeError for a density of another size.
        """
        power = np.array(density, np.float64)
        if power.shape[-1:] != self.spectral_shape:
            raise ShapeError(
                f"density must end in {self.spectral_shape} (cells//2 + 1), got {power.shape}"
            )
        doubled = 2 * power[..., 1:]
        if self.cells % 2 == 0:
            doubled[..., -1] /= 2
        return self.k[1:], doubled * self.length / (2 * math.pi)
