"""The layers that quantities are given for, how results name them, and units in words."""

from typing import TYPE_CHECKING

from subgrid.systems import AbstractSystem, Quantity, level_names

if TYPE_CHECKING:
    import xarray as xr

Layers = tuple[str, ...]
_SINGLE: Layers = ("",)  # a flow of one layer, which needs no name
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
DIMENSIONLESS = "1"
CORRELATION = "truth_correlation"  # of the field of a run with that of the truth
_BEFORE, _AFTER = "correlation of the ", " with that of the truth"  # the name of the field


def correlation_quantity(field: str) -> Quantity:
    """Return what the correlation of a field, named in words, with that of the truth is."""
    return Quantity(CORRELATION, ("time",), DIMENSIONLESS, f"{_BEFORE}{field}{_AFTER}")


def correlated_field(data: "xr.Dataset") -> str:
    """Return the name in words of the field whose correlation with the truth's a run records."""
    return data[CORRELATION].attrs["long_name"].removeprefix(_BEFORE).removesuffix(_AFTER)


def layers_of(data: "xr.Dataset") -> Layers:
    """Return the names of the layers of a run or reference: ("",) for a flow of one layer."""
    if data.sizes.get("level", 1) == 1:
        return _SINGLE
    return level_names(data["level"].values, data["level"].attrs)


def layers_of_system(system: AbstractSystem) -> Layers:
    """Return the names of the layers of a system: ("",) for a flow of one layer."""
    found = system.coordinates().get("level")
    return _SINGLE if found is None or len(found[0]) == 1 else level_names(*found)


def spectra_of(system: AbstractSystem, by_layer: bool) -> tuple[str, ...]:
    """Return the names of the isotropic spectra of a system, of each layer or of all together."""
    return tuple(
        quantity.name
        for quantity in system.quantities
        if quantity.is_spectrum and ("level" in quantity.dims) == by_layer
    )


def all_layers(layers: Layers, before: str = "of") -> str:
    """Return " of both layers", or another word `before`; nothing for a flow of one layer."""
    if len(layers) == 1:
        return ""
    return f" {before} both layers" if len(layers) == 2 else f" {before} all {len(layers)} layers"


def keyed(quantity: str, layer: str) -> str:
    """Return how a score names a quantity of a layer: "enstrophy_spectrum_upper"."""
    return f"{quantity}_{layer}" if layer else quantity


def of_layer(text: str, layer: str) -> str:
    """Return a head for a layer's column or alternative text: "error, upper"."""
    return f"{text}, {layer}" if layer else text


def layer_words(layer: str) -> str:
    """Return the title of a layer's panel: "upper layer"; nothing for a flow of one layer."""
    return f"{layer} layer" if layer else ""


def with_units(text: str, units: str, power: str = "") -> str:
    """Return "energy [10⁻³ m² s⁻²]" from CF `units` "m2 s-2"; dimensionless ones are not named."""
    words = [power] if power else []
    if units != DIMENSIONLESS:
        words += [
            (base := part.rstrip("-0123456789")) + part[len(base) :].translate(SUPERSCRIPTS)
            for part in units.split()
        ]
    return f"{text} [{' '.join(words)}]" if words else text
