"""Maps from a fine to a coarse state of the same system, and what the coarse equations miss."""

from subgrid.coarsening.defect import (
    AbstractTarget,
    StepDefect,
    TendencyDefect,
    coarse_state_and_defect,
)
from subgrid.coarsening.forcing import (
    SubgridFlux,
    coarse_state_and_forcing,
    flux_divergence,
    subgrid_flux,
    subgrid_forcing,
)
from subgrid.coarsening.operators import (
    AbstractCoarsener,
    AbstractGridCoarsener,
    AbstractSpectralCoarsener,
    KeptVariables,
    Operator1,
    Operator2,
    Operator3,
    check_positions,
)
from subgrid.coarsening.staggered import StaggeredMean
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

__all__ = [
    "COARSENERS",
    "AbstractCoarsener",
    "AbstractGridCoarsener",
    "AbstractSpectralCoarsener",
    "AbstractTarget",
    "KeptVariables",
    "Operator1",
    "Operator2",
    "Operator3",
    "StaggeredMean",
    "StepDefect",
    "SubgridFlux",
    "TendencyDefect",
    "check_positions",
    "coarse_state_and_defect",
    "coarse_state_and_forcing",
    "flux_divergence",
    "subgrid_flux",
    "subgrid_forcing",
]
