"""What a system is observed by: quantities with names and units, and the field that stands for it.

A system lists its `quantities` and returns their values from `observe`; whatever runs, compares or
draws flows looks there and at nothing else of a system's physics.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

LEVEL_NAMES = "names"  # attribute of the coordinate "level": what results call each level


@dataclass(frozen=True)
class Quantity:
    """One quantity that a system is observed by at every frame of a run.

    `dims`, after the member: ("time",) or ("time", "level") for a series, whose values `observe`
    returns as a number or as [level]; ("wavenumber",) or ("level", "wavenumber") for an isotropic
    spectrum, whose density on the half plane `observe` returns, [l, k] or [level, l, k], in `units`
    over a length: runs average densities, and then take the spectrum. `units`, `long_name`: as CF
    has them. `of_closure`: what the closure does; zero in a model without one.
    """

    name: str
    dims: tuple[str, ...]
    units: str
    long_name: str
    of_closure: bool = False

    @property
    def is_spectrum(self) -> bool:
        """Whether runs keep its spectrum, averaged over frames, and not its values in time."""
        return "wavenumber" in self.dims

    @property
    def attributes(self) -> dict[str, str]:
        """Return the CF attributes."""
        return {"units": self.units, "long_name": self.long_name}


@dataclass(frozen=True)
class DrawnField:
    """The field of a state that stands for it: kept as a snapshot, drawn, and correlated.

    It is linear in the state, so the same function makes a field of a subgrid forcing, which the
    last three describe: how figures call it, its name in words, and its units (CF).
    """

    symbol: str
    long_name: str
    units: str
    forcing_symbol: str
    forcing_long_name: str
    forcing_units: str


def level_names(values: NDArray, attributes: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what results call the levels of a coordinate: its names, else its numbers."""
    names = tuple(str(attributes.get(LEVEL_NAMES, "")).split())
    return names if len(names) == len(values) else tuple(str(value) for value in values)
