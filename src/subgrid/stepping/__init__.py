"""Schemes, models and rollouts: how anything is advanced in time."""

from subgrid.stepping.driver import Done as Done
from subgrid.stepping.driver import Segment as Segment
from subgrid.stepping.driver import drive as drive
from subgrid.stepping.driver import see_nothing as see_nothing
from subgrid.stepping.driver import segments_of as segments_of
from subgrid.stepping.kept_run import KeptRun as KeptRun
from subgrid.stepping.kept_run import carry_arrays as carry_arrays
from subgrid.stepping.kept_run import carry_from as carry_from
from subgrid.stepping.kept_run import run_mark as run_mark
from subgrid.stepping.model import AbstractModel as AbstractModel
from subgrid.stepping.model import AbstractSystemModel as AbstractSystemModel
from subgrid.stepping.model import Carry as Carry
from subgrid.stepping.model import Model as Model
from subgrid.stepping.model import check_increment as check_increment
from subgrid.stepping.model import require_closure as require_closure
from subgrid.stepping.model import started as started
from subgrid.stepping.rollout import Observe as Observe
from subgrid.stepping.rollout import Trajectory as Trajectory
from subgrid.stepping.rollout import advance_segment as advance_segment
from subgrid.stepping.rollout import frames_of as frames_of
from subgrid.stepping.rollout import guarded_step as guarded_step
from subgrid.stepping.rollout import repeat as repeat
from subgrid.stepping.rollout import rollout as rollout
from subgrid.stepping.schemes import AB3 as AB3
from subgrid.stepping.schemes import RK4 as RK4
from subgrid.stepping.schemes import SSPRK3 as SSPRK3
from subgrid.stepping.schemes import AbstractScheme as AbstractScheme
from subgrid.stepping.schemes import Euler as Euler
from subgrid.stepping.simulate import simulate as simulate
from subgrid.stepping.split import AbstractCoupling as AbstractCoupling
from subgrid.stepping.split import AddAfter as AddAfter
from subgrid.stepping.split import AddWithin as AddWithin
from subgrid.stepping.split import ProjectAfter as ProjectAfter
from subgrid.stepping.split import SplitModel as SplitModel

COUPLINGS: dict[str, type[AbstractCoupling]] = {
    "add-after": AddAfter,
    "project-after": ProjectAfter,
    "add-within": AddWithin,
}
