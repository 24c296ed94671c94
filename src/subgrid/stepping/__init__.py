"""Schemes, models and rollouts: how anything is advanced in time."""

from subgrid.stepping.model import AbstractModel, Carry, Model, check_increment, require_closure
from subgrid.stepping.rollout import (
    Trajectory,
    advance_segment,
    frames_of,
    guarded_step,
    repeat,
    rollout,
)
from subgrid.stepping.schemes import AB3, RK4, SSPRK3, AbstractScheme, Euler
from subgrid.stepping.simulate import simulate
from subgrid.stepping.split import (
    AbstractCoupling,
    AddAfter,
    AddWithin,
    ProjectAfter,
    SplitModel,
)

COUPLINGS: dict[str, type[AbstractCoupling]] = {
    "add-after": AddAfter,
    "project-after": ProjectAfter,
    "add-within": AddWithin,
}

__all__ = [
    "AB3",
    "COUPLINGS",
    "RK4",
    "SSPRK3",
    "AbstractCoupling",
    "AbstractModel",
    "AbstractScheme",
    "AddAfter",
    "AddWithin",
    "Carry",
    "Euler",
    "Model",
    "ProjectAfter",
    "SplitModel",
    "Trajectory",
    "advance_segment",
    "check_increment",
    "frames_of",
    "guarded_step",
    "repeat",
    "require_closure",
    "rollout",
    "simulate",
]
