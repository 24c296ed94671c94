"""The table entry that describes one variable of a system, for checks, files and documentation."""

import math
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Variable:
    """Describes one array of a system's state, or of what drives it.

    `dims` names the axes in order, for example ("level", "y", "x"). `limits`: beyond them a run
    counts as blown up. `bounds`: what is physically possible, exactly (a concentration: 0 to 1).
    `position` is the place on a staggered grid: "centre", "east" or "north" face. `pseudoscalar`:
    whether it changes sign in a mirror, as a vorticity does. `standard_name` is the CF standard
    name where one exists.
    """

    name: str
    dims: tuple[str, ...]
    units: str
    long_name: str
    standard_name: str | None = field(default=None, kw_only=True)
    position: str = field(default="centre", kw_only=True)
    pseudoscalar: bool = field(default=False, kw_only=True)
    bounds: tuple[float, float] = field(default=(-math.inf, math.inf), kw_only=True)
    limits: tuple[float, float] = field(default=(-math.inf, math.inf), kw_only=True)

    def attributes(self) -> dict[str, str]:
        """Return the CF attributes of the variable."""
        attributes = {"units": self.units, "long_name": self.long_name}
        if self.standard_name is not None:
            attributes["standard_name"] = self.standard_name
        if self.position != "centre":
            attributes["grid_position"] = self.position
        return attributes
