"""Closures: what the unresolved scales add to the tendency of a resolved state."""

from subgrid.closures._structure import code_named_by as code_named_by
from subgrid.closures._structure import system_of as system_of
from subgrid.closures.base import CLAIMS as CLAIMS
from subgrid.closures.base import AbstractClosure as AbstractClosure
from subgrid.closures.base import check_closure as check_closure
from subgrid.closures.base import in_system as in_system
from subgrid.closures.constraints import CONSTRAINTS as CONSTRAINTS
from subgrid.closures.constraints import DivergenceFree as DivergenceFree
from subgrid.closures.constraints import FluxForm as FluxForm
from subgrid.closures.constraints import ScaleCut as ScaleCut
from subgrid.closures.constraints import ZeroMean as ZeroMean
from subgrid.closures.features import FORCING as FORCING
from subgrid.closures.features import TENDENCY as TENDENCY
from subgrid.closures.features import Features as Features
from subgrid.closures.features import channel_count as channel_count
from subgrid.closures.features import channels_to_state as channels_to_state
from subgrid.closures.features import spatial_dims as spatial_dims
from subgrid.closures.features import state_to_channels as state_to_channels
from subgrid.closures.learned import LearnedClosure as LearnedClosure
from subgrid.closures.limits import Bounds as Bounds
from subgrid.closures.limits import EnergyLimit as EnergyLimit
from subgrid.closures.limits import energy_limit_of as energy_limit_of
from subgrid.closures.output import AbstractConstraint as AbstractConstraint
from subgrid.closures.output import Output as Output
from subgrid.closures.polynomial import AutoregressivePolynomial as AutoregressivePolynomial
from subgrid.closures.polynomial import LocalPolynomial as LocalPolynomial
from subgrid.closures.polynomial import Wilks2005 as Wilks2005
from subgrid.closures.quasigeostrophic import BackscatterBiharmonic as BackscatterBiharmonic
from subgrid.closures.quasigeostrophic import HybridSymbolic as HybridSymbolic
from subgrid.closures.quasigeostrophic import Smagorinsky as Smagorinsky
from subgrid.closures.quasigeostrophic import ZannaBolton2020 as ZannaBolton2020
from subgrid.closures.staggered_viscosity import StaggeredLeith as StaggeredLeith
from subgrid.closures.staggered_viscosity import StaggeredSmagorinsky as StaggeredSmagorinsky
from subgrid.closures.storage import MODEL_FILE as MODEL_FILE
from subgrid.closures.storage import WEIGHTS_FILE as WEIGHTS_FILE
from subgrid.closures.storage import holds_closure as holds_closure
from subgrid.closures.storage import load_closure as load_closure
from subgrid.closures.storage import load_metadata as load_metadata
from subgrid.closures.storage import save_closure as save_closure
from subgrid.closures.symmetry import Symmetry as Symmetry
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
