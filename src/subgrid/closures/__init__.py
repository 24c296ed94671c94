"""Closures: what the unresolved scales add to the tendency of a resolved state."""

from subgrid.closures._channels import channels_to_state, state_to_channels
from subgrid.closures._structure import code_named_by, system_of
from subgrid.closures.backscatter import BackscatterBiharmonic
from subgrid.closures.base import CLAIMS, AbstractClosure, check_closure, in_system
from subgrid.closures.constraints import CONSTRAINTS
from subgrid.closures.divergence_free import DivergenceFree
from subgrid.closures.energy_limit import EnergyLimit, energy_limit_of
from subgrid.closures.features import TENDENCY, Features, channel_count, spatial_dims
from subgrid.closures.flux_form import FluxForm
from subgrid.closures.hybrid_symbolic import HybridSymbolic
from subgrid.closures.learned import LearnedClosure, with_energy_limit
from subgrid.closures.output import AbstractConstraint, Output
from subgrid.closures.polynomial import LocalPolynomial, Wilks2005
from subgrid.closures.scale_cut import ScaleCut
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
from subgrid.closures.zero_mean import ZeroMean
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
    "CONSTRAINTS",
    "MODEL_FILE",
    "TENDENCY",
    "WEIGHTS_FILE",
    "AbstractClosure",
    "AbstractConstraint",
    "AutoregressivePolynomial",
    "BackscatterBiharmonic",
    "DivergenceFree",
    "EnergyLimit",
    "Features",
    "FluxForm",
    "HybridSymbolic",
    "LearnedClosure",
    "LocalPolynomial",
    "Output",
    "ScaleCut",
    "Smagorinsky",
    "StaggeredLeith",
    "StaggeredSmagorinsky",
    "Wilks2005",
    "ZannaBolton2020",
    "ZeroMean",
    "channel_count",
    "channels_to_state",
    "check_closure",
    "code_named_by",
    "energy_limit_of",
    "holds_closure",
    "in_system",
    "load_closure",
    "load_metadata",
    "save_closure",
    "spatial_dims",
    "state_to_channels",
    "system_of",
    "with_energy_limit",
]
