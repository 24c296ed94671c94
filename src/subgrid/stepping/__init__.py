"""Schemes, models and rollouts: how anything is advanced in time."""

from subgrid.stepping.driver import Done, Segment, drive, see_nothing, segments_of
from subgrid.stepping.kept_run import KeptRun, carry_arrays, carry_from, run_mark
from subgrid.stepping.model import (
    AbstractModel,
    AbstractSystemModel,
    Carry,
    Model,
    check_increment,
    require_closure,
    started,
)
from subgrid.stepping.rollout import (
    Observe,
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
    "AbstractSystemModel",
    "AddAfter",
    "AddWithin",
    "Carry",
    "Done",
    "Euler",
    "KeptRun",
    "Model",
    "Observe",
    "ProjectAfter",
    "Segment",
    "SplitModel",
    "Trajectory",
    "advance_segment",
    "carry_arrays",
    "carry_from",
    "check_increment",
    "drive",
    "frames_of",
    "guarded_step",
    "repeat",
    "require_closure",
    "rollout",
    "run_mark",
    "see_nothing",
    "segments_of",
    "simulate",
    "started",
]
