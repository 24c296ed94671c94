"""Eddy viscosities for velocities on a staggered grid: Smagorinsky and Leith, constant or dynamic.

    ∂u_i/∂t += ∂_j τ_ij,   τ_ij = 2 ν S_ij,   S_ij = ½ (∂_i u_j + ∂_j u_i)
    Smagorinsky  ν = (C Δ)² |S|,    |S| = √(2 S_ij S_ij)
    Leith        ν = (Λ Δ/π)³ |∇ω|

S_xx and S_yy sit at the centres of cells, S_xy at their corners, so the momentum of each face is
kept and the power taken from the flow is the discrete sum of 2 ν S_ij S_ij ≥ 0, to rounding.
|S| and |∇ω| are formed at both places from averages of squares of the four, or two and two,
neighbours. The increment has a divergence, which the pressure of the next projection removes.

Dynamic: the factor c of ν = c N, N the rest, follows from the resolved stresses (Germano et al.
1991; Lilly 1992, Phys. Fluids A 4, 633) with averages <> over the domain:

    L_ij = (u_i u_j)^ - û_i û_j,   M_ij = 2 [(N S_ij)^ - N̂ Ŝ_ij],   c = <L_ij M_ij>/<M_ij M_ij>

^ is the mean over 3 x 3 cells with weights ¼ ½ ¼ each way, as wide as √6 cells (Lund 1997); N̂ is N
of the filtered velocities with Δ̂ = √6 Δ; L without trace; negative c count as 0.

Sources: Smagorinsky 1963, Mon. Weather Rev. 91, 99; Leith 1996, Physica D 98, 481; Fox-Kemper &
Menemenlis 2008, doi:10.1029/177GM19, for Λ = 1.
"""

import abc
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from subgrid.closures.formula import AbstractFormula, as_parameter, held
from subgrid.closures.operators import root
from subgrid.grids import PeriodicGrid
from subgrid.grids.staggered import X, Y, ahead, behind, staggered_vorticity
from subgrid.nn import Fixed, fixed_as
from subgrid.numbers import true_or_false
from subgrid.systems import KolmogorovFlow, KolmogorovState

_TEST_WIDTH = 6.0**0.5  # of the test filter, in cells


class _Tensor(NamedTuple):
    """A symmetric tensor: its diagonal at centres, its other component at north-east corners."""

    xx: Float[Array, "y x"]
    yy: Float[Array, "y x"]
    xy: Float[Array, "y x"]


class _AbstractViscosity(AbstractFormula[KolmogorovFlow]):
    """What the closures share: ν = c N, and how the increment follows from it."""

    claims = ("conserves mean", "dissipates energy", "translation invariant", "mirror symmetric")

    constant: eqx.AbstractVar[Float[Array, ""]]
    dynamic: eqx.AbstractVar[bool]

    @classmethod
    def cite(cls, **arguments: Any) -> tuple[str, ...]:
        """Return what to cite: also the dynamic procedure where it is used."""
        return (*cls.citations, *(("germano1991", "lilly1992") if arguments.get("dynamic") else ()))

    @abc.abstractmethod
    def _norm(
        self, u: Array, v: Array, strain: _Tensor, width: float
    ) -> tuple[Float[Array, "y x"], Float[Array, "y x"]]:
        """Return N at centres and at corners for a filter `width` times the cell."""

    @abc.abstractmethod
    def _constant_factor(self) -> Float[Array, ""]:
        """Return c where it is not dynamic."""

    def increment(self, state: KolmogorovState) -> KolmogorovState:
        """Return the increment, velocity per time."""
        grid = self.system.grid
        strain = _strain(state.u, state.v, grid)
        centre, corner = self._norm(state.u, state.v, strain, 1.0)
        twice = 2 * self.factor(state)
        xx, yy = twice * centre * strain.xx, twice * centre * strain.yy
        xy = twice * corner * strain.xy
        u = (ahead(xx, X) - xx) / grid.dx + (xy - behind(xy, Y)) / grid.dy
        v = (xy - behind(xy, X)) / grid.dx + (ahead(yy, Y) - yy) / grid.dy
        return KolmogorovState(u, v)

    def factor(self, state: KolmogorovState) -> Float[Array, ""]:
        """Return c of ν = c N, from the constant or from the resolved stresses."""
        if not self.dynamic:
            return self._constant_factor()
        u, v, grid = state.u, state.v, self.system.grid
        wide_u, wide_v = _filtered(u), _filtered(v)
        fine, wide = _strain(u, v, grid), _strain(wide_u, wide_v, grid)
        centre, corner = self._norm(u, v, fine, 1.0)
        wide_centre, wide_corner = self._norm(wide_u, wide_v, wide, _TEST_WIDTH)
        model = _Tensor(
            2 * (_filtered(centre * fine.xx) - wide_centre * wide.xx),
            2 * (_filtered(centre * fine.yy) - wide_centre * wide.yy),
            2 * (_filtered(corner * fine.xy) - wide_corner * wide.xy),
        )
        resolved = _resolved_stress(u, v, wide_u, wide_v)
        over, under = _mean_product(resolved, model), _mean_product(model, model)
        return jnp.maximum(over, 0) / jnp.where(under > 0, under, 1)


class StaggeredSmagorinsky(_AbstractViscosity):
    """Smagorinsky's eddy viscosity for Kolmogorov flow; `constant` is C, unless `dynamic`.

    See the module's description. Raises TypeError for another system.
    """

    citations = ("smagorinsky1963",)

    _system: Fixed[KolmogorovFlow] = eqx.field(metadata=fixed_as("system"))
    constant: Float[Array, ""]
    dynamic: bool = eqx.field(static=True)

    def __init__(self, system: Any, constant: ArrayLike = 0.15, dynamic: bool = False):
        self._system = held(system, KolmogorovFlow, "StaggeredSmagorinsky")
        self.constant = as_parameter("constant", constant, system)
        self.dynamic = true_or_false("dynamic", dynamic)

    def _norm(self, u, v, strain, width):
        """Return Δ² |S|."""
        diagonal, shear = strain.xx**2 + strain.yy**2, strain.xy**2
        south_west = 0.5 * (shear + behind(shear, X))
        to_centre = 0.5 * (south_west + behind(south_west, Y))
        north_east = 0.5 * (diagonal + ahead(diagonal, X))
        to_corner = 0.5 * (north_east + ahead(north_east, Y))
        area = width**2 * self.system.grid.dx * self.system.grid.dy
        centre, corner = 2 * (diagonal + 2 * to_centre), 2 * (to_corner + 2 * shear)
        return area * root(centre), area * root(corner)

    def _constant_factor(self):
        return self.constant**2


class StaggeredLeith(_AbstractViscosity):
    """Leith's eddy viscosity for Kolmogorov flow; `constant` is Λ, unless `dynamic`.

    See the module's description. Raises TypeError for another system.
    """

    citations = ("leith1996",)

    _system: Fixed[KolmogorovFlow] = eqx.field(metadata=fixed_as("system"))
    constant: Float[Array, ""]
    dynamic: bool = eqx.field(static=True)

    def __init__(self, system: Any, constant: ArrayLike = 1.0, dynamic: bool = False):
        self._system = held(system, KolmogorovFlow, "StaggeredLeith")
        self.constant = as_parameter("constant", constant, system)
        self.dynamic = true_or_false("dynamic", dynamic)

    def _norm(self, u, v, strain, width):
        """Return Δ³ |∇ω|."""
        grid = self.system.grid
        vorticity = staggered_vorticity(u, v, grid)
        east = ((vorticity - behind(vorticity, X)) / grid.dx) ** 2  # on north faces
        north = ((vorticity - behind(vorticity, Y)) / grid.dy) ** 2  # on east faces
        centre = 0.5 * (east + behind(east, Y)) + 0.5 * (north + behind(north, X))
        corner = 0.5 * (east + ahead(east, X)) + 0.5 * (north + ahead(north, Y))
        volume = (width**2 * grid.dx * grid.dy) ** 1.5
        return volume * root(centre), volume * root(corner)

    def _constant_factor(self):
        return (self.constant / np.pi) ** 3


def _strain(u: Array, v: Array, grid: PeriodicGrid) -> _Tensor:
    """Return S_ij, 1/time."""
    shear = (ahead(u, Y) - u) / grid.dy + (ahead(v, X) - v) / grid.dx
    return _Tensor((u - behind(u, X)) / grid.dx, (v - behind(v, Y)) / grid.dy, 0.5 * shear)


def _mean_product(a: _Tensor, b: _Tensor) -> Float[Array, ""]:
    """Return <a_ij b_ij>; the component off the diagonal counts twice."""
    return jnp.mean(a.xx * b.xx + a.yy * b.yy) + 2 * jnp.mean(a.xy * b.xy)


def _filtered(field: Array) -> Array:
    """Return the mean over 3 x 3 cells, weights ¼ ½ ¼ each way."""
    along = 0.5 * field + 0.25 * (ahead(field, X) + behind(field, X))
    return 0.5 * along + 0.25 * (ahead(along, Y) + behind(along, Y))


def _resolved_stress(u: Array, v: Array, wide_u: Array, wide_v: Array) -> _Tensor:
    """Return L_ij, its diagonal without the trace."""

    def products(u: Array, v: Array) -> tuple[Array, Array, Array]:
        east, north = 0.5 * (u + behind(u, X)), 0.5 * (v + behind(v, Y))
        return east * east, north * north, 0.25 * (u + ahead(u, Y)) * (v + ahead(v, X))

    pairs = zip(products(u, v), products(wide_u, wide_v), strict=True)
    xx, yy, xy = (_filtered(fine) - wide for fine, wide in pairs)
    half_trace = 0.5 * (xx + yy)
    return _Tensor(xx - half_trace, yy - half_trace, xy)
