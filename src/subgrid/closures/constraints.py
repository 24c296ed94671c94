"""Constraints of learned closures by name."""

from subgrid.closures.bounds import Bounds
from subgrid.closures.divergence_free import DivergenceFree
from subgrid.closures.energy_limit import EnergyLimit
from subgrid.closures.flux_form import FluxForm
from subgrid.closures.scale_cut import ScaleCut
from subgrid.closures.symmetry import Symmetry
from subgrid.closures.zero_mean import ZeroMean
from subgrid.registry import Registry

CONSTRAINTS = Registry(
    "constraint",
    {
        "flux-form": FluxForm,
        "divergence-free": DivergenceFree,
        "zero-mean": ZeroMean,
        "cut": ScaleCut,
        "energy-limit": EnergyLimit,
        "symmetry": Symmetry,
        "bounds": Bounds,
    },
)
