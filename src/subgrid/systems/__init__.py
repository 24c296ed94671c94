"""Dynamical systems: equations on a domain."""

from subgrid.registry import Registry
from subgrid.systems.barotropic import (
    BarotropicSpectrum,
    BarotropicState,
    BarotropicVorticity,
)
from subgrid.systems.base import (
    AbstractSystem,
    check_table,
    forcing_shapes,
)
from subgrid.systems.comparison import system_differences
from subgrid.systems.kolmogorov import KolmogorovFlow, KolmogorovState
from subgrid.systems.lorenz96 import Lorenz96, Lorenz96State
from subgrid.systems.qg import QGSpectrum, QGState, TwoLayerQG
from subgrid.systems.quantities import DrawnField, Quantity, level_names
from subgrid.systems.sample import state_shapes
from subgrid.systems.step_limits import StepLimit, StepLimits, rounded_down
from subgrid.systems.time_step import dt_after_blow_up, failing_dt, largest_safe_dt

SYSTEMS = Registry(
    "system",
    {
        "qg": TwoLayerQG,
        "kolmogorov": KolmogorovFlow,
        "barotropic": BarotropicVorticity,
        "lorenz96": Lorenz96,
    },
)

__all__ = [
    "SYSTEMS",
    "AbstractSystem",
    "BarotropicSpectrum",
    "BarotropicState",
    "BarotropicVorticity",
    "DrawnField",
    "KolmogorovFlow",
    "KolmogorovState",
    "Lorenz96",
    "Lorenz96State",
    "QGSpectrum",
    "QGState",
    "Quantity",
    "StepLimit",
    "StepLimits",
    "TwoLayerQG",
    "check_table",
    "dt_after_blow_up",
    "failing_dt",
    "forcing_shapes",
    "largest_safe_dt",
    "level_names",
    "rounded_down",
    "state_shapes",
    "system_differences",
]
