"""Polynomials in the local value, the classical closures of Lorenz 96: bare, and with noise."""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from subgrid.closures.base import AbstractClosure
from subgrid.closures.formula import AbstractFormula, as_parameter
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


class LocalPolynomial(AbstractFormula[AbstractSystem]):
    """Adds a polynomial in the value at the same place, the same everywhere.

        ∂x_i/∂t += Σ_n a_n x_iⁿ

    `coefficients` [variable, power]: a_n of each variable of the system, in its order and units per
    time, the constant first; a single row will do for a system of one variable. Works on any grid.
    `fit` finds them in data. Raises ConfigError for another number of rows.
    """

    claims = ("translation invariant",)

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

    def increment(self, state: PyTree) -> PyTree:
        """Return the increment, like the state and per time."""
        leaves, structure = jax.tree.flatten(state)
        rows = self.coefficients.astype(leaves[0].dtype)
        added = [jnp.polyval(row[::-1], leaf) for row, leaf in zip(rows, leaves, strict=True)]
        return jax.tree.unflatten(structure, added)


class _AbstractPolynomialAndMore(AbstractClosure):
    """A closure that adds a `LocalPolynomial`, and holds the system in it."""

    polynomial: eqx.AbstractVar[LocalPolynomial]

    @property
    def system(self) -> AbstractSystem:
        """The system that the closure was made for; its numbers are fixed."""
        return self.polynomial.system


class Wilks2005(_AbstractPolynomialAndMore):
    """The polynomial of degree 4 for Lorenz 96 as published: h = 1, b = c = 10, F = 18 or 20.

        ∂X/∂t -= 0.262 + 1.45 X - 0.0121 X² - 0.00713 X³ + 0.000296 X⁴         (F = 20)

    Fit to the truth of K = 8 with J = 32, which a coarse system no longer knows: for another J the
    numbers are wrong and nothing says so. Source: Wilks 2005, Q. J. R. Meteorol. Soc. 131, 389,
    doi:10.1256/qj.04.03. Raises ConfigError for a system with other constants.
    """

    citations = ("wilks2005",)
    claims = LocalPolynomial.claims

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

    def moves(self, differing: Iterable[str]) -> bool:
        """Return False: its numbers are of the system's constants."""
        return False

    def __call__(
        self, state: PyTree, memory: PyTree = None, forcing: PyTree = None
    ) -> tuple[PyTree, PyTree]:
        """Return the increment, like the state and per time, and the memory it got."""
        return self.polynomial(state, memory)


class AutoregressivePolynomial(_AbstractPolynomialAndMore):
    """Adds a local polynomial and, at every place by itself, a first-order autoregression.

        ∂x_i/∂t += p(x_i) + e_i,      e_i(t + dt) = φ e_i(t) + σ √(1 - φ²) ξ,    ξ ~ N(0, 1)

    p = `polynomial`; φ = `persistence`, from one step of the model to the next; σ = `spread`, the
    standard deviation of e, in units of x per time; one of each per variable. e is constant within
    a step and starts from its own climate, N(0, σ²). The memory is the random key and e. Source:
    Wilks 2005, Q. J. R. Meteorol. Soc. 131, 389, doi:10.1256/qj.04.03; Arnold, Moroz & Palmer 2013,
    Phil. Trans. R. Soc. A 371, 20110479, doi:10.1098/rsta.2011.0479. Raises ConfigError for a
    persistence outside 0 to 1 and for a run without a random key.
    """

    citations = ("wilks2005",)

    polynomial: LocalPolynomial
    persistence: Float[Array, " variable"]
    spread: Float[Array, " variable"]

    def __init__(
        self,
        system: AbstractSystem,
        coefficients: ArrayLike | Sequence[Any],
        persistence: ArrayLike | Sequence[float],
        spread: ArrayLike | Sequence[float],
    ):
        self.polynomial = LocalPolynomial(system, coefficients)
        count = (len(system.variables),)
        values = np.atleast_1d(np.asarray(persistence, float))
        if np.any((values < 0) | (values >= 1)):
            raise ConfigError(f"persistence must be at least 0 and below 1, got {persistence}")
        self.persistence = as_parameter("persistence", values, system, count)
        self.spread = as_parameter("spread", np.atleast_1d(np.asarray(spread)), system, count)

    @classmethod
    def fit(
        cls, system: AbstractSystem, data: "xr.Dataset", degree: int = 3, *, dt: float
    ) -> "AutoregressivePolynomial":
        """Return the closure of least squares, with the φ and σ of what it leaves.

        `data`: as `LocalPolynomial.fit` takes, its frames evenly spaced along `time`. φ is measured
        from frame to frame and taken to a step of `dt`: φ^(dt/Δt). Raises ConfigError for data
        without two times.
        """
        polynomial = LocalPolynomial.fit(system, data, degree)
        if data.sizes.get("time", 0) < 2:
            raise ConfigError("the persistence of noise needs data of at least two times")
        between = _seconds(data["time"].values[1] - data["time"].values[0])
        persistence, spread = [], []
        for variable, row in zip(system.variables, polynomial.coefficients, strict=True):
            values = data[variable.name].transpose("time", ...).astype("float64")
            wanted = data[f"{variable.name}_forcing"].transpose("time", ...).astype("float64")
            left = wanted.values - np.polyval(np.asarray(row, np.float64)[::-1], values.values)
            lagged = np.nanmean(left[1:] * left[:-1]) / np.nanmean(left**2)
            persistence.append(max(lagged, 0.0) ** (dt / between))
            spread.append(np.nanstd(left))
        return cls(system, polynomial.coefficients, persistence, spread)

    def init(self, state: PyTree, *, key: PRNGKeyArray | None = None) -> PyTree:
        """Return the key, as numbers, and noise drawn from its climate."""
        if key is None:
            raise ConfigError("AutoregressivePolynomial draws numbers: give the run a random key")
        kept, first = jax.random.split(key)
        noise = self._each(lambda draw, _, spread: spread * draw, _normal(first, state))
        return jax.random.key_data(kept), noise

    def __call__(
        self, state: PyTree, memory: PyTree = None, forcing: PyTree = None
    ) -> tuple[PyTree, PyTree]:
        """Return the increment, like the state and per time, and the key and noise of the next."""
        numbers, noise = memory
        key, drawn = jax.random.split(jax.random.wrap_key_data(numbers))
        increment = jax.tree.map(jnp.add, self.polynomial(state)[0], noise)
        kept = self._each(lambda e, phi, _: phi * e, noise)
        fresh = self._each(
            lambda xi, phi, sigma: sigma * jnp.sqrt(1 - phi**2) * xi, _normal(drawn, state)
        )
        return increment, (jax.random.key_data(key), jax.tree.map(jnp.add, kept, fresh))

    def _each(self, combine: Callable[..., Array], tree: PyTree) -> PyTree:
        """Return `combine(array, φ, σ)` of every array of a state, with those of its variable."""
        leaves, structure = jax.tree.flatten(tree)
        rows = zip(leaves, self.persistence, self.spread, strict=True)
        found = [combine(x, phi.astype(x.dtype), sigma.astype(x.dtype)) for x, phi, sigma in rows]
        return structure.unflatten(found)


def _normal(key: PRNGKeyArray, like: PyTree) -> PyTree:
    """Return independent standard normal numbers, shaped like a state."""
    leaves, structure = jax.tree.flatten(like)
    pairs = zip(jax.random.split(key, len(leaves)), leaves, strict=True)
    return structure.unflatten([jax.random.normal(k, x.shape, x.dtype) for k, x in pairs])


def _seconds(interval: np.generic) -> float:
    """Return an interval as a number; xarray may have read seconds as a NumPy timedelta."""
    if isinstance(interval, np.timedelta64):
        return float(interval / np.timedelta64(1, "s"))
    return float(interval)
