"""The rule for single numbers, one for every place that takes them: of what kind, and how large.

A whole number is a Python or NumPy integer, 0-d arrays included; a float is none, whatever its
value, and neither is a boolean. A number is one of these or a float, finite, and 0 or of a size
that single precision holds, in which states are stepped: others become 0 or infinite there.
"""

import math
import operator
from typing import Any

import numpy as np

from subgrid.errors import ConfigError, KindError

SMALLEST = float(np.finfo(np.float32).tiny)
LARGEST = float(np.finfo(np.float32).max)
LARGEST_COUNT = 2**31 - 1  # steps and updates are counted in 32 bits


def whole_number(
    name: str, value: Any, least: int = 1, most: int = LARGEST_COUNT, even: bool = False
) -> int:
    """Return a whole number as an int.

    Raises KindError for another kind, ConfigError below `least`, above `most` or, where it must be
    `even`, for an odd one.
    """
    what = f"{'an even' if even else 'a'} whole number"
    if most == LARGEST_COUNT:
        message = f"{name} must be {what} of at least {least}, got {shown(value)}"
    else:
        message = f"{name} is {shown(value)}; it must be {what} from {least} to {most}"
    try:
        if _is_boolean(value):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise KindError(f"{message} ({_kind(value)})") from None
    if number < least or (even and number % 2):
        raise ConfigError(message)
    if number > most:
        more = f", and at most {most}" if most == LARGEST_COUNT else ""
        raise ConfigError(message + more)
    return number


def finite_number(name: str, value: Any, least: float | None = None) -> float:
    """Return a number as a float.

    Raises KindError for another kind (text, booleans, arrays of several numbers), ConfigError for
    one that is not finite, that single precision does not hold or that is below `least`.
    """
    if problem := kind_problem(value):
        raise KindError(f"{name} {problem}, got {shown(value)} ({_kind(value)})")
    if problem := range_problem(value):
        raise ConfigError(f"{name} {problem}, got {shown(value)}")
    number = float(value)
    if least is not None and number < least:
        allowed = "must not be negative" if least == 0 else f"must be at least {least:g}"
        raise ConfigError(f"{name} {allowed}, got {number!r}")
    return number


def positive_number(name: str, value: Any) -> float:
    """Return a number above 0 as a float; raises as `finite_number`."""
    number = finite_number(name, value)
    if number <= 0:
        raise ConfigError(f"{name} must be positive, got {number!r}")
    return number


def time_step(dt: Any) -> float:
    """Return a time step as a float; raises ConfigError unless it is a positive finite number."""
    return positive_number("dt", dt)


def true_or_false(name: str, value: Any) -> bool:
    """Return a boolean as bool; raises KindError for another kind, such as the text "false"."""
    if not _is_boolean(value):
        raise KindError(f"{name} must be true or false, got {shown(value)} ({_kind(value)})")
    return bool(value)


def fewest_draws(level: float) -> int:
    """Return how many draws put one beyond each end of a percentile interval: 40 at 95 %.

    With fewer its ends are the extremes of what was drawn, whatever the level says.
    """
    return math.ceil(round(2 / (1 - level), 6))


def kind_problem(value: Any) -> str | None:
    """Return what a value must be if it is no single number, else None."""
    if isinstance(value, str):
        return "must be a number, without quotes"
    single = isinstance(value, int) or np.asarray(value).dtype.kind in "iuf"
    if _is_boolean(value) or not single or np.ndim(value):
        return "must be a number"
    return None


def range_problem(value: Any) -> str | None:
    """Return what a number must be if it is out of range, else None."""
    try:
        number = float(value)
    except OverflowError:  # a whole number of Python has no bounds
        number = LARGEST * 2
    if not np.isfinite(number):
        return "must be a finite number"
    if number and not SMALLEST <= abs(number) <= LARGEST:
        return (
            f"must be 0 or between {SMALLEST:.2g} and {LARGEST:.2g} in size, as single precision "
            "holds nothing else"
        )
    return None


def shown(value: Any) -> str:
    """Return a value for a message, in at most 80 characters."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # thousands of digits, or tables in tables without end
        return f"a {type(value).__name__} too large to show"
    return text if len(text) <= 80 else text[:77] + "..."


def _is_boolean(value: Any) -> bool:
    return isinstance(value, bool | np.bool_) or getattr(value, "dtype", None) == np.bool_


def _kind(value: Any) -> str:
    return type(value).__name__
