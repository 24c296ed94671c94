"""Dynamical systems: equations on a grid."""

from subgrid.registry import Registry
from subgrid.systems.base import AbstractSystem
from subgrid.systems.qg import QGSpectrum, QGState, TwoLayerQG
from subgrid.systems.time_step import StepLimit, failing_dt, largest_safe_dt

SYSTEMS = Registry("system", {"qg": TwoLayerQG})

__all__ = [
    "SYSTEMS",
    "AbstractSystem",
    "QGSpectrum",
    "QGState",
    "StepLimit",
    "TwoLayerQG",
    "failing_dt",
    "largest_safe_dt",
]
