"""Numbers and intervals as texts of tables."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from subgrid.evaluation.components import SUPERSCRIPTS, of_component, with_units
from subgrid.evaluation.intervals import Interval
from subgrid.evaluation.offline import work_error

FLOOR = "sampling floor"


def capital(text: str) -> str:
    """Return a text as a title begins: with a capital."""
    return text[:1].upper() + text[1:]


def number(value: Any) -> str:
    """Return a number with three digits: 0.123, 4.56, 1.23·10⁻⁵."""
    value = float(value)
    if not np.isfinite(value):
        return "-"
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:.3g}"
    mantissa, _, exponent = f"{value:.2e}".partition("e")
    return f"{mantissa}·10{str(int(exponent)).translate(SUPERSCRIPTS)}"


def fixed(value: Any) -> str:
    """Return a number with two decimals, a dash where there is none."""
    return f"{float(value):.2f}" if np.isfinite(value) else "-"


def fixed_all(values: Iterable[Any]) -> str:
    """Return the numbers of the components with two decimals."""
    return " / ".join(fixed(value) for value in values)


def with_spread(values: Any) -> str:
    """Return the mean of values with their standard deviation in brackets."""
    return f"{number(np.mean(values))} ({number(np.std(values))})" if len(values) else "-"


def mean_work_error(sets: Sequence[xr.Dataset]) -> str:
    """Return the mean over networks of the error of the energy added; a dash where not known."""
    known = [work_error(data["work_spectrum"]) for data in sets if "work_spectrum" in data]
    return fixed(np.mean(known)) if known else "-"


def interval_text(value: Interval | None, form: str = "{:.2f}", unit: float = 1.0, after="") -> str:
    """Return an estimate and its interval in multiples of `unit`."""
    if value is None or not np.isfinite(value.estimate):
        return "-"
    estimate, low, high = (form.format(x / unit) for x in value[:3])
    known = np.isfinite([value.low, value.high]).all()
    return (f"{estimate} [{low}, {high}]" if known else estimate) + after


def scaled_column(
    head: str, component: str, units: str, values: Sequence[Interval], floor: float
) -> list[str]:
    """Return head and cells of a column of intervals and a floor, in a common power of ten."""
    finite = [abs(v.estimate) for v in values if np.isfinite(v.estimate) and v.estimate != 0]
    exponent = 3 * int(np.floor(np.log10(max(finite)) / 3)) if finite else 0
    power = f"10{str(exponent).translate(SUPERSCRIPTS)}" if exponent else ""
    named = with_units("", units, power).strip().replace(" ", "\N{NO-BREAK SPACE}")
    cells = [interval_text(value, unit=10.0**exponent) for value in values]
    return [f"{of_component(head, component)} {named}".strip(), *cells, fixed(floor / 10**exponent)]
