"""Dynamical systems: equations on a grid."""

from subgrid.registry import Registry
from subgrid.systems.base import AbstractSystem
from subgrid.systems.qg import QGSpectrum, QGState, TwoLayerQG

SYSTEMS = Registry("system", {"qg": TwoLayerQG})

__all__ = ["SYSTEMS", "AbstractSystem", "QGSpectrum", "QGState", "TwoLayerQG"]
