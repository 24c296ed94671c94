"""The components that quantities are given for, how results name them, and units in words.

A quantity has components along every dimension that counts neither members, times or wavenumbers
nor points of the domain: the layers of a flow, the categories of ice. The coordinates of the data,
which the system wrote, name them.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import xarray as xr
from numpy.typing import NDArray

from subgrid.systems import AbstractSystem, DrawnField, Quantity, level_names

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
DIMENSIONLESS = "1"
RMSE = "truth_rmse"
CORRELATION = "truth_correlation"  # of the field of a run with that of the truth
_BEFORE, _AFTER = "correlation of the ", " with that of the truth"  # the name of the field
_RUN_DIMS = ("member", "time", "snapshot", "wavenumber")
_NO_QUANTITIES = ("blew_up_at", "averaged_frames", "snapshots", CORRELATION, RMSE)


def followed_quantities(drawn: DrawnField) -> dict[str, Quantity]:
    """Return what is recorded of a run that is followed by its truth, by name."""
    field, error = drawn.long_name, "root-mean-square difference of the"
    found = (
        Quantity(CORRELATION, ("time",), DIMENSIONLESS, f"{_BEFORE}{field}{_AFTER}"),
        Quantity(RMSE, ("time",), drawn.units, f"{error} {field} from that of the truth"),
    )
    return {quantity.name: quantity for quantity in found}


def correlated_field(data: xr.Dataset) -> str:
    """Return the name in words of the field whose correlation with the truth's a run records."""
    named = data[CORRELATION].attrs.get("long_name", "field")
    return named.removeprefix(_BEFORE).removesuffix(_AFTER)


def domain_dims(domain: Any) -> tuple[str, ...]:
    """Return the dimensions of a domain, or of fields that are given by these alone."""
    if domain is None:
        return ()
    return tuple(domain if isinstance(domain, Sequence) else domain.dims)


def kind_of(values: xr.DataArray, domain: Any = None) -> str:
    """Return "spectrum", "field" or "series" by what a quantity of a run extends over."""
    if "wavenumber" in values.dims:
        return "spectrum"
    named = values.attrs.get("kind")
    return named or ("field" if set(domain_dims(domain)) & set(values.dims) else "series")


def quantities_of(data: xr.Dataset, domain: Any, kinds: Sequence[str]) -> list[str]:
    """Return the quantities of a run of these kinds, in its order."""
    names = [str(name) for name in data.data_vars if name not in _NO_QUANTITIES]
    timed = [name for name in names if {"time", "wavenumber"} & set(data[name].dims)]
    return [name for name in timed if kind_of(data[name], domain) in kinds]


def in_system_order(data: xr.Dataset, system: Any) -> xr.Dataset:
    """Return a run with the quantities of its system first, in their order: a store has its own."""
    known = [q.name for q in system.quantities if q.name in data] if system is not None else []
    names = [*known, *(str(name) for name in data.data_vars if name not in known)]
    return data[names].assign_coords(data.coords)


def main_spectra(data: xr.Dataset) -> list[str]:
    """Return the spectra that do not say they are terms of a budget, else all."""
    spectra = quantities_of(data, None, ["spectrum"])
    return [name for name in spectra if data[name].attrs.get("role") != "budget"] or spectra


def component_dims(values: xr.DataArray, domain: Any = None) -> list[str]:
    """Return the dimensions along which a quantity has its components."""
    other = (*_RUN_DIMS, *domain_dims(domain))
    return [str(dim) for dim in values.dims if dim not in other]


def component_words(values: xr.DataArray, domain: Any = None) -> dict[str, str]:
    """Return what results call each component, with its name in words: "upper": "upper layer".

    Names are those of the coordinates, else numbers; a single component has none.
    """
    dims = component_dims(values, domain)
    if all(values.sizes[dim] == 1 for dim in dims):
        return {"": ""}
    # a dimension without a coordinate has its numbers, and no attributes
    along = [level_names(values[dim].values, values[dim].attrs) for dim in dims]
    names = ["_".join(parts) for parts in itertools.product(*along)]
    if len(dims) > 1:
        return {name: name for name in names}
    return words_of(names, values[dims[0]].attrs, dims[0])


def words_of(names: Sequence[str], attributes: Mapping[str, Any], dim: str) -> dict[str, str]:
    """Return names of a coordinate in words; its word is how its `long_name` begins."""
    word = str(attributes.get("long_name", dim)).partition(",")[0]
    return {n: (f"{word} {n}" if n.isdigit() else f"{n} {word}") if n else "" for n in names}


def by_component(values: xr.DataArray, domain: Any = None) -> NDArray:
    """Return the values [member, component, ...], all other dimensions in their order."""
    dims = component_dims(values, domain)
    rest = [dim for dim in values.dims if dim not in (*dims, "member")]
    if "member" not in values.dims:
        values = values.expand_dims("member")
    array = values.transpose("member", *dims, *rest).values
    count = math.prod(array.shape[1 : 1 + len(dims)])
    return array.reshape(len(array), count, *array.shape[1 + len(dims) :])


def components_of_system(system: AbstractSystem) -> dict[str, str]:
    """Return the components of the system's drawn field, name → words; one without a name."""
    for dim, (values, attributes) in system.coordinates().items():
        if dim not in domain_dims(system.domain) and len(values) > 1:
            names = level_names(values, attributes)
            return words_of(names, attributes, dim)
    return {"": ""}


def channels_of_system(system: AbstractSystem) -> tuple[str, ...]:
    """Return what the channels of a state are called, in their order.

    Those of a single variable by its components, those of several by variable, or by both.
    """
    names = []
    for variable in system.variables:
        dims = [dim for dim in variable.dims if dim not in system.domain.dims]
        parts = [level_names(*system.coordinates()[dim]) for dim in dims]
        before = [] if dims and len(system.variables) == 1 else [variable.name]
        names += ["_".join([*before, *part]) for part in itertools.product(*parts)]
    return tuple(names)


def all_components(words: Mapping[str, str], before: str = "of") -> str:
    """Return " of both layers", or another word `before`; nothing for a single component."""
    if len(words) == 1:
        return ""
    noun = (
        " ".join(next(iter(words.values())).replace(next(iter(words)), "").split()) or "component"
    )
    return f" {before} {'both' if len(words) == 2 else f'all {len(words)}'} {noun}s"


def score_name(quantity: str, component: str) -> str:
    """Return how a score names a quantity of a component: "enstrophy_spectrum_upper"."""
    return f"{quantity}_{component}" if component else quantity


def of_component(text: str, component: str) -> str:
    """Return a head for a component's column or alternative text: "error, upper"."""
    return f"{text}, {component}" if component else text


def in_words(name: str) -> str:
    """Return the name of a quantity in words: "kinetic energy spectrum"."""
    return name.replace("_", " ")


def with_article(quantity: str) -> str:
    """Return a quantity in words within a sentence: "the kinetic energy spectrum", but "x"."""
    return quantity if len(quantity) == 1 else f"the {in_words(quantity)}"


def with_units(text: str, units: str, power: str = "") -> str:
    """Return "energy [10⁻³ m² s⁻²]" from CF `units` "m2 s-2"; dimensionless ones are not named."""
    words = [power] if power else []
    if units != DIMENSIONLESS:
        words += [
            (base := part.rstrip("-0123456789")) + part[len(base) :].translate(SUPERSCRIPTS)
            for part in units.split()
        ]
    return f"{text} [{' '.join(words)}]" if words else text
