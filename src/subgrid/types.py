"""The table entry that describes one variable of a system, for checks, files and documentation."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Variable:
    """Describes one array of a system's state.

    `dims` names the axes in order, for example ("level", "y", "x"). `bounds` are the values beyond
    which a run counts as blown up. `position` is the place on a staggered grid: "centre", "east" or
    "north" face. `standard_name` is the CF standard name where one exists.
    """

    name: str
    dims: tuple[str, ...]
    units: str
    long_name: str
    bounds: tuple[float, float] = (-math.inf, math.inf)
    position: str = "centre"
    standard_name: str | None = None

    def attributes(self) -> dict[str, str]:
        """Return the CF attributes of the variable."""
        attributes = {"units": self.units, "long_name": self.long_name}
        if self.standard_name is not None:
            attributes["standard_name"] = self.standard_name
        if self.position != "centre":
            attributes["grid_position"] = self.position
        return attributes
