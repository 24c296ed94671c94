"""Targets: what is learned of a fine state, the defect of a tendency or of a step.

Where a solver is a step rather than a tendency, as that of Kolmogorov flow, whose limiter and
projection act within it, the subgrid forcing of Otness, Zanna & Bruna 2025 is the defect of one
coarse step, per time. It contains the numerical diffusion of the coarse scheme and depends on the
step.
"""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, PyTree

from subgrid.coarsening.forcing import coarse_state_and_forcing
from subgrid.coarsening.operators import AbstractCoarsener
from subgrid.numbers import time_step, whole_number
from subgrid.systems import AbstractSystem


class AbstractTarget(eqx.Module):
    """What is to be learned of a fine state: the subgrid forcing S, to be added, per time."""

    @property
    def use(self) -> str:
        """What to do with S, for the files that hold it."""
        return "to be added"

    @abc.abstractmethod
    def __call__(
        self,
        fine: AbstractSystem,
        coarse: AbstractSystem,
        coarsener: AbstractCoarsener,
        state: PyTree,
        time: ArrayLike = 0.0,
    ) -> tuple[PyTree, PyTree]:
        """Return C x and S; raises ShapeError for a state that is not on the fine grid."""


class TendencyDefect(AbstractTarget):
    """S = C[f(x)] - f_c(C x), the difference of two tendencies: `coarse_state_and_forcing`."""

    def __call__(
        self,
        fine: AbstractSystem,
        coarse: AbstractSystem,
        coarsener: AbstractCoarsener,
        state: PyTree,
        time: ArrayLike = 0.0,
    ) -> tuple[PyTree, PyTree]:
        """Return C x and S, to be added to the coarse tendency."""
        return coarse_state_and_forcing(fine, coarse, coarsener, state, time)


def _substeps(count: Any) -> int:
    return whole_number("substeps", count)


class StepDefect(AbstractTarget):
    """S = [C T_f(x) - T_c(C x)]/dt, the defect of one coarse step: `coarse_state_and_defect`.

    `dt`: of the coarse step; `substeps`: of the fine system in its time. Raises ValueError unless
    `dt` is positive and `substeps` a whole number of at least 1.
    """

    dt: float = eqx.field(converter=time_step, static=True)
    substeps: int = eqx.field(converter=_substeps, static=True, default=1)

    @property
    def use(self) -> str:
        """What to do with S, for the files that hold it."""
        return f"to be added, times dt, after a step of dt = {self.dt:g}"

    def __call__(
        self,
        fine: AbstractSystem,
        coarse: AbstractSystem,
        coarsener: AbstractCoarsener,
        state: PyTree,
        time: ArrayLike = 0.0,
    ) -> tuple[PyTree, PyTree]:
        """Return C x and S, to be added, times dt, after a coarse step."""
        return coarse_state_and_defect(fine, coarse, coarsener, state, self.dt, self.substeps, time)


def coarse_state_and_defect(
    fine: AbstractSystem,
    coarse: AbstractSystem,
    coarsener: AbstractCoarsener,
    state: PyTree,
    dt: float,
    substeps: int = 1,
    time: ArrayLike = 0.0,
) -> tuple[PyTree, PyTree]:
    """Return C x and S = [C T_f(x) - T_c(C x)]/dt: what to add, per time, after a coarse step.

    T_c: one step of `coarse.advance` over `dt`; T_f: `substeps` steps of `fine.advance` over
    dt/substeps each. T_c(C x) + dt S is then C T_f(x) to rounding. With one substep both take the
    same step (Otness, Zanna & Bruna 2025, who run coarse models at the step of the truth); with
    more, the coarse model's are longer, and S holds what that costs, too. S has no divergence
    where C and both steps make none. Raises ShapeError for a state on another grid.

    In float32 S carries a rounding error of about 1e-4 of itself (256² to 64²).
    """
    seen, start = coarsener(state), jnp.asarray(time)

    def substep(x: PyTree, done: Array) -> tuple[PyTree, None]:
        outside = fine.forcing_at(start + done * (dt / substeps))
        return fine.advance(x, dt / substeps, outside), None  # type: ignore[attr-defined]

    later, _ = jax.lax.scan(substep, state, jnp.arange(substeps))
    exact, resolved = coarsener(later), coarse.advance(seen, dt, coarse.forcing_at(start))  # type: ignore[attr-defined]
    return seen, jax.tree.map(lambda a, b: (a - b) / dt, exact, resolved)
