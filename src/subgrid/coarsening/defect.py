"""Targets: what is learned of a fine state, the defect of a tendency or of a step.

Where a solver is a step rather than a tendency, as that of Kolmogorov flow, whose limiter and
projection act within it, the subgrid forcing of Otness, Zanna & Bruna 2025 is the defect of one
coarse step, per time. It contains the numerical diffusion of the coarse scheme and depends on the
step.
"""

import abc
import math
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
    """What is to be learned of a fine state: the subgrid forcing S, to be added, per time.

    Your own is one class: a name in `TARGETS`, the entry point `subgrid.targets`, or "module:Class"
    in a config.
    """

    @classmethod
    def of_steps(cls, dt: float, fine_dt: float) -> "AbstractTarget":
        """Return the target for a coarse model of step `dt` and a truth of step `fine_dt`.

        Raises ValueError where there is none for these.
        """
        return cls()

    @property
    def use(self) -> str:
        """What to do with S, for the files that hold it and for model cards."""
        return "to be added to the tendency"

    @property
    def in_words(self) -> str:
        """What S is, for the report and for bundles, which hold for no other target."""
        return f"{type(self).__module__}:{type(self).__qualname__}"

    @property
    def fine_steps(self) -> int:
        """Number of steps of the fine system that S of a state takes."""
        return 0

    def check(self, fine: AbstractSystem, fine_dt: float) -> None:
        """Raise TypeError, or ValueError, for a truth for which S is not defined."""

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

    @property
    def in_words(self) -> str:
        """What S is."""
        return "the difference of two tendencies"

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

    @classmethod
    def of_steps(cls, dt: float, fine_dt: float) -> "AbstractTarget":
        """Return the defect of a step of `dt`, which must be whole steps of the truth."""
        substeps = round(dt / fine_dt)
        if substeps < 1 or not math.isclose(substeps * fine_dt, dt, rel_tol=1e-9):
            raise ValueError(
                f"what a step of the coarse model misses: its dt = {dt:g} must be a whole multiple "
                f"of the truth's {fine_dt:g}"
            )
        return cls(dt, substeps)

    @property
    def in_words(self) -> str:
        """What S is."""
        return f"what a step of {self.dt:g} misses"

    @property
    def fine_steps(self) -> int:
        """Number of steps of the fine system that S of a state takes."""
        return self.substeps

    def check(self, fine: AbstractSystem, fine_dt: float) -> None:
        """Raise TypeError for a system without steps of its own, ValueError for another step."""
        if not hasattr(fine, "advance"):
            raise TypeError(
                "what a step misses is for systems that take steps of their own (`advance`), and "
                f"{type(fine).__name__} does not"
            )
        if not math.isclose(self.dt, self.substeps * fine_dt, rel_tol=1e-9):
            raise ValueError(
                f"the target is the defect of a coarse step of {self.dt:g} in {self.substeps} fine "
                f"steps, but dt of the truth is {fine_dt:g}: make it StepDefect(substeps * dt, "
                "substeps)"
            )

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
