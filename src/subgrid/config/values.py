"""The values that a config holds: counts, numbers, names of sizes, and tables of any keys."""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, Strict, StrictInt

from subgrid.numbers import LARGEST_COUNT, range_problem, shown
from subgrid.randomness import LARGEST_SEED


def _in_range(value: float | int) -> float | int:
    """Return a number; raises ValueError for one that single precision does not hold."""
    if problem := range_problem(value):
        raise ValueError(f"got {shown(value)}; {problem}")
    return value


def _constant(value: Any) -> Any:
    """Return a constant of a system, whose constructor knows which are no numbers."""
    if not isinstance(value, bool | int | float | str):
        raise ValueError(f"got {shown(value)}; must be a number, true or false, or text")
    return value if isinstance(value, bool | str) else _in_range(value)


def _numbers_in_range(table: dict[str, Any]) -> dict[str, Any]:
    """Return a table of any keys; raises ValueError for numbers out of range.

    It names each by its key, a dot before every part.
    """
    problems = [
        f"{key}: got {shown(number)}; {problem}"
        for key, number in _numbers(table)
        if (problem := range_problem(number))
    ]
    if problems:
        raise ValueError("\n".join(problems))
    return table


def _numbers(value: Any, key: str = "") -> Iterator[tuple[str, float | int]]:
    """Yield the key and the value of every number in tables and lists."""
    if isinstance(value, dict | list):
        entries = value.items() if isinstance(value, dict) else enumerate(value)
        for name, entry in entries:
            yield from _numbers(entry, f"{key}.{name}")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield key, value


Count = Annotated[StrictInt, Field(ge=1, le=LARGEST_COUNT)]
CountOrZero = Annotated[StrictInt, Field(ge=0, le=LARGEST_COUNT)]
Seed = Annotated[StrictInt, Field(ge=0, le=LARGEST_SEED)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False), AfterValidator(_in_range)]
PositiveOrZero = Annotated[float, Field(ge=0.0, allow_inf_nan=False), AfterValidator(_in_range)]
Sizes = Annotated[tuple[Count, ...], Strict(False), Field(min_length=1)]
Names = Annotated[tuple[str, ...], Strict(False), Field(min_length=1)]
Constant = Annotated[Any, BeforeValidator(_constant)]
FreeTable = Annotated[dict[str, Any], AfterValidator(_numbers_in_range)]
