"""Closures: what the unresolved scales add to the tendency of a resolved state."""

from subgrid.closures._channels import channels_to_state, state_to_channels
from subgrid.closures._structure import code_named_by
from subgrid.closures.backscatter import BackscatterBiharmonic
from subgrid.closures.base import CLAIMS, AbstractClosure, check_closure, in_system
from subgrid.closures.hybrid_symbolic import HybridSymbolic
from subgrid.closures.inputs import TENDENCY, Inputs
from subgrid.closures.learned import LearnedClosure, with_energy_limit
from subgrid.closures.polynomial import LocalPolynomial, Wilks2005
from subgrid.closures.smagorinsky import Smagorinsky
from subgrid.closures.staggered_viscosity import (
    StaggeredLeith,
    StaggeredSmagorinsky,
)
from subgrid.closures.stochastic import AutoregressivePolynomial
from subgrid.closures.storage import (
    MODEL_FILE,
    WEIGHTS_FILE,
    holds_closure,
    load_closure,
    load_metadata,
    save_closure,
)
from subgrid.closures.zanna_bolton import ZannaBolton2020
from subgrid.registry import Registry

CLOSURES = Registry(
    "closure",
    {
        "smagorinsky": Smagorinsky,
        "backscatter-biharmonic": BackscatterBiharmonic,
        "zanna-bolton-2020": ZannaBolton2020,
        "hybrid-symbolic": HybridSymbolic,
        "staggered-smagorinsky": StaggeredSmagorinsky,
        "staggered-leith": StaggeredLeith,
        "polynomial": LocalPolynomial,
        "wilks-2005": Wilks2005,
        "autoregressive": AutoregressivePolynomial,
        "learned": LearnedClosure,
    },
)

__all__ = [
    "CLAIMS",
    "CLOSURES",
    "MODEL_FILE",
    "TENDENCY",
    "WEIGHTS_FILE",
    "AbstractClosure",
    "AutoregressivePolynomial",
    "BackscatterBiharmonic",
    "HybridSymbolic",
    "Inputs",
    "LearnedClosure",
    "LocalPolynomial",
    "Smagorinsky",
    "StaggeredLeith",
    "StaggeredSmagorinsky",
    "Wilks2005",
    "ZannaBolton2020",
    "channels_to_state",
    "check_closure",
    "code_named_by",
    "holds_closure",
    "in_system",
    "load_closure",
    "load_metadata",
    "save_closure",
    "state_to_channels",
    "with_energy_limit",
]
