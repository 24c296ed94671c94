"""What a system is observed by: quantities with names and units, and the field that stands for it.

A system lists its `quantities` and returns their values from `observe`; whatever runs, compares or
draws flows looks there and at nothing else of a system's physics.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

KINDS = ("series", "spectrum", "field")
LEVEL_NAMES = "names"  # attribute of the coordinate "level": what results call each level


@dataclass(frozen=True)
class Quantity:
    """One quantity that a system is observed by at every frame of a run.

    `dims`, after the member, and what `observe` returns, by `kind`:

    | kind | dims | value of `observe` |
    |---|---|---|
    | "series" | ("time",) or ("time", component) | a number, or [component] |
    | "spectrum" | ("wavenumber",) or (component, "wavenumber") | the density of each wave |
    | "field" | ("time", ...), the rest as of a variable | all values, which a run keeps |

    A component is a coordinate of the system, such as "level". The density of a spectrum is in
    `units` over a length: runs average densities, and then take the spectrum. A kind that is not
    given follows from `dims`: a spectrum where they name the wavenumber, else a series. `units`,
    `long_name`: as CF has them. `of_closure`: what the closure does; zero in a model without one.
    `of_budget`: a spectrum that is a term of a budget, not one of the main ones that models
    are judged by. Raises ValueError for another kind.
    """

    name: str
    dims: tuple[str, ...]
    units: str
    long_name: str
    of_closure: bool = False
    kind: str = ""
    of_budget: bool = False

    def __post_init__(self):
        implied = "spectrum" if "wavenumber" in self.dims else "series"
        object.__setattr__(self, "kind", self.kind or implied)
        if self.kind not in KINDS or (self.kind == "spectrum") != (implied == "spectrum"):
            raise ValueError(
                f"quantity {self.name!r} with dims {self.dims} cannot be of kind {self.kind!r}: a "
                'spectrum has "wavenumber" among its dims, a series or a field "time"'
            )

    @property
    def is_spectrum(self) -> bool:
        """Whether runs keep its spectrum, averaged over frames, and not its values in time."""
        return self.kind == "spectrum"

    @property
    def attributes(self) -> dict[str, str]:
        """Return the CF attributes, and `role` of a term of a budget."""
        role = {"role": "budget"} if self.of_budget else {}
        return {"units": self.units, "long_name": self.long_name, **role}


@dataclass(frozen=True)
class DrawnField:
    """The field of a state that stands for it: kept as a snapshot, drawn, and correlated.

    It is linear in the state, so the same function makes a field of a subgrid forcing, which the
    forcing's names describe: how figures call it, its name in words, and its units (CF).
    `components`: its dimensions before those of the domain.
    """

    symbol: str
    long_name: str
    units: str
    forcing_symbol: str
    forcing_long_name: str
    forcing_units: str
    components: tuple[str, ...] = ("level",)


def level_names(values: NDArray, attributes: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what results call the levels of a coordinate: its names, else its numbers."""
    names = tuple(str(attributes.get(LEVEL_NAMES, "")).split())
    return names if len(names) == len(values) else tuple(str(value) for value in values)
