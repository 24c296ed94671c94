"""What closures share that are made for one class of systems: the system, and its check."""

from typing import Any, Generic, TypeVar

import equinox as eqx

from subgrid.closures.base import AbstractClosure
from subgrid.nn import Fixed
from subgrid.systems import AbstractSystem

System = TypeVar("System", bound=AbstractSystem)


class AbstractClosureOfSystem(AbstractClosure, Generic[System]):
    """A closure that was made for a system of one class and holds it."""

    _system: eqx.AbstractVar[Fixed[System]]

    @property
    def system(self) -> System:
        """The system that the closure was made for; its numbers are fixed."""
        return self._system.value


def checked_system(system: Any, kind: type[System], closure: str) -> System:
    """Return the system; raises TypeError if it is not of the class that the closure is for."""
    if not isinstance(system, kind):
        raise TypeError(
            f"{closure} is a closure of {kind.__name__}, got a system of class "
            f"{type(system).__name__}. Closures for any system: subgrid.closures.LearnedClosure or "
            "your own."
        )
    return system
