"""Maps from a fine to a coarse state of the same system, and what the coarse equations miss."""

from subgrid.coarsening.defect import AbstractTarget as AbstractTarget
from subgrid.coarsening.defect import StepDefect as StepDefect
from subgrid.coarsening.defect import TendencyDefect as TendencyDefect
from subgrid.coarsening.defect import coarse_state_and_defect as coarse_state_and_defect
from subgrid.coarsening.forcing import SubgridFlux as SubgridFlux
from subgrid.coarsening.forcing import coarse_state_and_forcing as coarse_state_and_forcing
from subgrid.coarsening.forcing import flux_divergence as flux_divergence
from subgrid.coarsening.forcing import subgrid_flux as subgrid_flux
from subgrid.coarsening.forcing import subgrid_forcing as subgrid_forcing
from subgrid.coarsening.operators import AbstractCoarsener as AbstractCoarsener
from subgrid.coarsening.operators import AbstractGridCoarsener as AbstractGridCoarsener
from subgrid.coarsening.operators import AbstractSpectralCoarsener as AbstractSpectralCoarsener
from subgrid.coarsening.operators import KeptVariables as KeptVariables
from subgrid.coarsening.operators import Operator1 as Operator1
from subgrid.coarsening.operators import Operator2 as Operator2
from subgrid.coarsening.operators import Operator3 as Operator3
from subgrid.coarsening.operators import check_positions as check_positions
from subgrid.coarsening.staggered import StaggeredMean as StaggeredMean
from subgrid.registry import Registry

COARSENERS = Registry(
    "coarsener",
    {
        "operator1": Operator1,
        "operator2": Operator2,
        "operator3": Operator3,
        "staggered-mean": StaggeredMean,
        "kept-variables": KeptVariables,
    },
)

TARGETS = Registry("target", {"tendency": TendencyDefect, "step": StepDefect})
"""What closures learn, by name; see `AbstractTarget`."""
