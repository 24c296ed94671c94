"""The constants of two-layer QG in its published configurations."""

from typing import Any

from subgrid.numbers import positive_number
from subgrid.systems.base import merged_constants, refuse_negative

_COMMON = {
    "deformation_radius": 15000.0,
    "upper_thickness": 500.0,
    "upper_velocity": 0.025,
    "lower_velocity": 0.0,
}
# Ross et al. 2023 (JAMES 15, e2022MS003258), table 1; `eddy` are pyqg's defaults.
CONFIGURATIONS: dict[str, dict[str, float]] = {
    "eddy": {**_COMMON, "bottom_drag": 5.787e-7, "thickness_ratio": 0.25, "beta": 1.5e-11},
    "jet": {**_COMMON, "bottom_drag": 7e-8, "thickness_ratio": 0.1, "beta": 1e-11},
}


def checked_constants(configuration: str, given: dict[str, Any]) -> dict[str, float]:
    """Return the constants of a configuration with those given in place.

    Raises ConfigError for an unknown one, ValueError for values out of range.
    """
    values = merged_constants("TwoLayerQG", CONFIGURATIONS[configuration], given)
    for name in ("deformation_radius", "thickness_ratio", "upper_thickness"):
        positive_number(name, values[name])
    refuse_negative(bottom_drag=values["bottom_drag"])
    return values
