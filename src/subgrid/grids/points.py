"""Points without geometry: sites of a ring, boxes of a model, components of a vector."""

from dataclasses import dataclass

import numpy as np

from subgrid.grids.domain import AbstractDomain, Coordinates
from subgrid.numbers import whole_number


@dataclass(frozen=True)
class Points(AbstractDomain):
    """`count` points that count the same; `ring`: whether the last is a neighbour of the first.

    Arrays on it are [..., point], the dimension being called `dim`. There is no distance and no
    spectrum. Raises ValueError for less than one point.
    """

    count: int
    dim: str = "point"
    ring: bool = False

    def __post_init__(self):
        object.__setattr__(self, "count", whole_number("count", self.count))

    @property
    def dims(self) -> tuple[str, ...]:
        """The one dimension."""
        return (self.dim,)

    @property
    def shape(self) -> tuple[int, ...]:
        """(count,)."""
        return (self.count,)

    @property
    def periodic(self) -> tuple[bool, ...]:
        """Whether it is a ring."""
        return (self.ring,)

    def coordinates(self, units: str = "1") -> Coordinates:
        """Return the numbers of the points, from 1 on."""
        attributes = {"long_name": f"number of the {self.dim}", "units": "1"}
        return {self.dim: (np.arange(1, self.count + 1), attributes)}
