"""Polynomials in the local value: the classical closure of Lorenz 96, fit by least squares."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PyTree

from subgrid.closures._parameters import as_parameter
from subgrid.closures.base import AbstractClosure
from subgrid.errors import ConfigError
from subgrid.nn import Fixed, fixed_as
from subgrid.numbers import whole_number
from subgrid.systems import AbstractSystem

if TYPE_CHECKING:
    import xarray as xr

# g in dX/dt = … - g(X), by F; K = 8, J = 32, h = 1, b = c = 10. F = 20: Wilks 2005, table 1, as in
# DAPPER 1.7.1; F = 18: as in the public code L96_demo.
WILKS_2005 = {
    20.0: (0.262, 1.45, -0.0121, -0.00713, 0.000296),
    18.0: (0.275, 1.59, -0.0190, -0.0130, 0.000707),
}
_THEIR_CONSTANTS = {"h": 1.0, "b": 10.0, "c": 10.0}


class LocalPolynomial(AbstractClosure):
    """Adds a polynomial in the value at the same place, the same everywhere.

        ∂x_i/∂t += Σ_n a_n x_iⁿ

    `coefficients` [variable, power]: a_n of each variable of the system, in its order and units per
    time, the constant first; a single row will do for a system of one variable. Works on any grid.
    `fit` finds them in data. Raises ConfigError for another number of rows.
    """

    _system: Fixed[AbstractSystem] = eqx.field(metadata=fixed_as("system"))
    coefficients: Float[Array, "variable power"]

    def __init__(self, system: AbstractSystem, coefficients: ArrayLike | Sequence[Any]):
        rows = jnp.atleast_2d(jnp.asarray(coefficients))
        shape = (len(system.variables), rows.shape[-1])
        self._system = Fixed(system)
        self.coefficients = as_parameter("coefficients", rows, system, shape)

    @classmethod
    def fit(
        cls, system: AbstractSystem, data: "xr.Dataset", degree: int = 3, dt: float | None = None
    ) -> "LocalPolynomial":
        """Return the polynomial with the least squared error on data.

        `data`: for each variable of `system`, `x` say, its values and the targets `x_forcing`, of
        any dims; what is not finite is left out. `dt` changes nothing here. Raises ConfigError for
        a negative degree.
        """
        degree = whole_number("degree", degree, least=0)
        rows = []
        for variable in system.variables:
            values, targets = (
                np.asarray(data[name].values, np.float64).ravel()
                for name in (variable.name, f"{variable.name}_forcing")
            )
            known = np.isfinite(values) & np.isfinite(targets)
            # fit in values scaled to ±1, where powers are well conditioned, then expand
            scaled = np.polynomial.Polynomial.fit(values[known], targets[known], degree)
            coefficients = scaled.convert().coef
            rows.append(np.pad(coefficients, (0, degree + 1 - len(coefficients))))
        return cls(system, np.stack(rows))

    @property
    def system(self) -> AbstractSystem:
        """The system that the closure was made for; its numbers are fixed."""
        return self._system.value

    @property
    def claims(self) -> tuple[str, ...]:
        """Return what holds of every increment."""
        return ("translation invariant",)

    def __call__(
        self, state: PyTree, memory: PyTree = None, forcing: PyTree = None
    ) -> tuple[PyTree, PyTree]:
        """Return the increment, like the state and per time, and the memory it got."""
        leaves, structure = jax.tree.flatten(state)
        rows = self.coefficients.astype(leaves[0].dtype)
        added = [jnp.polyval(row[::-1], leaf) for row, leaf in zip(rows, leaves, strict=True)]
        return jax.tree.unflatten(structure, added), memory


class Wilks2005(AbstractClosure):
    """The polynomial of degree 4 for Lorenz 96 as published: h = 1, b = c = 10, F = 18 or 20.

        ∂X/∂t -= 0.262 + 1.45 X - 0.0121 X² - 0.00713 X³ + 0.000296 X⁴         (F = 20)

    Fit to the truth of K = 8 with J = 32, which a coarse system no longer knows: for another J the
    numbers are wrong and nothing says so. Source: Wilks 2005, Q. J. R. Meteorol. Soc. 131, 389,
    doi:10.1256/qj.04.03. Raises ConfigError for a system with other constants.
    """

    citations = ("wilks2005",)

    polynomial: LocalPolynomial

    def __init__(self, system: AbstractSystem):
        settings = getattr(system, "settings", dict)()
        got = {name: settings.get(name) for name in ("F", "h", "b", "c")}
        if got["F"] not in WILKS_2005 or got != {"F": got["F"], **_THEIR_CONSTANTS}:
            raise ConfigError(
                f"wilks-2005 holds for h = 1, b = c = 10 and F = 18 or 20, got {got}; fit a "
                "polynomial to your own truth instead"
            )
        self.polynomial = LocalPolynomial(system, -np.asarray(WILKS_2005[got["F"]]))

    @property
    def system(self) -> AbstractSystem:
        """The system that the closure was made for; its numbers are fixed."""
        return self.polynomial.system

    @property
    def claims(self) -> tuple[str, ...]:
        """Return what holds of every increment."""
        return self.polynomial.claims

    def __call__(
        self, state: PyTree, memory: PyTree = None, forcing: PyTree = None
    ) -> tuple[PyTree, PyTree]:
        """Return the increment, like the state and per time, and the memory it got."""
        return self.polynomial(state, memory)
