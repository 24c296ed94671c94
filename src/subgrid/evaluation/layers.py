"""The layers that quantities are given for, how results name them, and units in words."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import xarray as xr

LEVEL_NAMES = ("upper", "lower")  # of two-layer flow
Layers = tuple[str, ...]
_SINGLE: Layers = ("",)  # a flow of one layer, which needs no name
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
DIMENSIONLESS = "1"
# quantities of runs that other modules name
CORRELATION = "vorticity_correlation"
WORK = "closure_work"


def layers_of(data: "xr.Dataset") -> Layers:
    """Return the names of the layers of a run or reference: ("",) for a flow of one layer."""
    return LEVEL_NAMES if data.sizes["level"] == len(LEVEL_NAMES) else _SINGLE


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
