"""Dynamical systems: equations on a domain."""

from subgrid.registry import Registry
from subgrid.systems.barotropic import BarotropicSpectrum as BarotropicSpectrum
from subgrid.systems.barotropic import BarotropicState as BarotropicState
from subgrid.systems.barotropic import BarotropicVorticity as BarotropicVorticity
from subgrid.systems.base import DIAGONAL as DIAGONAL
from subgrid.systems.base import AbstractSystem as AbstractSystem
from subgrid.systems.base import check_table as check_table
from subgrid.systems.base import forcing_shapes as forcing_shapes
from subgrid.systems.comparison import system_differences as system_differences
from subgrid.systems.kolmogorov import KolmogorovFlow as KolmogorovFlow
from subgrid.systems.kolmogorov import KolmogorovState as KolmogorovState
from subgrid.systems.lorenz96 import Lorenz96 as Lorenz96
from subgrid.systems.lorenz96 import Lorenz96State as Lorenz96State
from subgrid.systems.qg import QGSpectrum as QGSpectrum
from subgrid.systems.qg import QGState as QGState
from subgrid.systems.qg import TwoLayerQG as TwoLayerQG
from subgrid.systems.quantities import DrawnField as DrawnField
from subgrid.systems.quantities import Quantity as Quantity
from subgrid.systems.quantities import level_names as level_names
from subgrid.systems.sample import state_shapes as state_shapes
from subgrid.systems.step_limits import StepLimit as StepLimit
from subgrid.systems.step_limits import StepLimits as StepLimits
from subgrid.systems.step_limits import rounded_down as rounded_down
from subgrid.systems.time_step import dt_after_blow_up as dt_after_blow_up
from subgrid.systems.time_step import failing_dt as failing_dt
from subgrid.systems.time_step import largest_safe_dt as largest_safe_dt

SYSTEMS = Registry(
    "system",
    {
        "qg": TwoLayerQG,
        "kolmogorov": KolmogorovFlow,
        "barotropic": BarotropicVorticity,
        "lorenz96": Lorenz96,
    },
)
