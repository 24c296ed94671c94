"""Lorenz 96: waves on a ring, each driving a sector of fast waves that nobody resolves."""

from typing import Any, SupportsFloat, SupportsIndex

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray
from numpy.typing import NDArray

from subgrid.errors import ConfigError
from subgrid.grids import Points
from subgrid.grids.domain import Coordinates
from subgrid.numbers import positive_number, whole_number
from subgrid.stepping import RK4, AbstractScheme
from subgrid.systems import lorenz96_quantities
from subgrid.systems.base import AbstractSystem, checked_dtype, merged_constants, plain_number
from subgrid.types import Variable

DEFAULTS = {"F": 20.0, "h": 1.0, "b": 10.0, "c": 10.0}
_RK4_REACH = 2.7  # |λ Δt| up to which RK4 damps or keeps a mode, on either axis


class Lorenz96State(eqx.Module):
    """Slow variables `x[k]` and fast ones `y[k, j]`, dimensionless; `y` is None without them."""

    x: Float[Array, "*batch k"]
    y: Float[Array, "*batch k j"] | None = None


class Lorenz96(AbstractSystem):
    """The model of Lorenz 1996 with two scales, or with the slow one alone (`J` = 0).

        dX_k/dt = -X_{k-1} (X_{k-2} - X_{k+1}) - X_k + F - (h c/b) Σ_j Y_{j,k}
        dY_j/dt = -c b Y_{j+1} (Y_{j+2} - Y_{j-1}) - c Y_j + (h c/b) X_k

    X lives on a ring of K sites. All K·J fast variables form one ring too, sector by sector: the
    neighbour of the last one in a sector is the first one in the next. So `y[k, j]` is read row by
    row. Advection and coupling conserve ½ΣX² + ½ΣY²; damping and F change it by
    F ΣX - ΣX² - c ΣY². One unit of time is about five days of weather.

    | symbol | argument | default |
    |---|---|---|
    | K, J | K, J: slow variables, and fast ones for each | J = 32; 0 leaves them out |
    | F | F, what drives the slow variables | 20 |
    | h | h, strength of the coupling | 1 |
    | b | b, how much larger the slow variables are | 10 |
    | c | c, how much faster the fast variables are | 10 |

    The defaults with K = 8 are the set of Wilks 2005 (Q. J. R. Meteorol. Soc. 131, 389,
    doi:10.1256/qj.04.03). `at(K)` gives the same slow equations without Y: what a closure
    corrects by -(h c/b) Σ_j Y, the subgrid forcing under `KeptVariables`. `bound`: a member with a
    larger |X| or |Y| has blown up; without a closure |X| ends below F √K. `forcing`, if given, is
    like a state and is added to the tendency. Source: Lorenz 1996, Predictability: a problem
    partly solved, ECMWF Seminar, 1-18. Raises ConfigError for sizes below 4 and 0 or 4, an unknown
    constant and another dtype than float32 and float64, ValueError unless b is positive.
    """

    State = Lorenz96State
    limits = ("bound",)
    time_units = "1"
    quantities = lorenz96_quantities.QUANTITIES
    citations = ("lorenz1996", "wilks2005")
    drawn = lorenz96_quantities.DRAWN
    follows_truth = True

    K: int = eqx.field(static=True)
    J: int = eqx.field(static=True)
    bound: float = eqx.field(static=True)
    _dtype: str = eqx.field(static=True)
    constants: dict[str, Float[Array, ""]]

    def __init__(
        self,
        K: SupportsIndex,
        J: SupportsIndex = 32,
        *,
        bound: SupportsFloat = 100.0,
        dtype: DTypeLike = jnp.float32,
        **constants: SupportsFloat,
    ):
        self.K = whole_number("K", K, least=4)
        self.J = whole_number("J", J, least=0)
        if 0 < self.J < 4:
            raise ConfigError(f"J must be 0, for no fast variables, or at least 4, got {self.J}")
        self.bound = positive_number("bound", bound)
        self._dtype = checked_dtype(dtype)
        values = merged_constants("Lorenz96", DEFAULTS, constants)
        positive_number("b", values["b"])  # divides the coupling
        self.constants = {name: jnp.asarray(c, self._dtype) for name, c in values.items()}

    @property
    def domain(self) -> Points:  # type: ignore[override]
        """The ring of sites."""
        return Points(self.K, "k", ring=True)

    @property
    def variables(self) -> tuple[Variable, ...]:
        """The table of state variables: x, and y where there are two scales."""
        limits = (-self.bound, self.bound)
        slow = Variable("x", ("k",), "1", "slow variable", limits=limits)
        fast = Variable("y", ("k", "j"), "1", "fast variable", limits=limits)
        return (slow, fast) if self.J else (slow,)

    @property
    def dtype(self) -> Any:
        """The precision of the state."""
        return jnp.dtype(self._dtype)

    def settings(self) -> dict[str, Any]:
        """Return the arguments that build this system again, as plain numbers and strings."""
        constants = {name: plain_number(value) for name, value in self.constants.items()}
        return {"K": self.K, "J": self.J, "bound": self.bound, "dtype": self._dtype, **constants}

    def at(self, size: SupportsIndex, **changes: Any) -> "Lorenz96":
        """Return the equations of the slow variables alone; `changes` override settings."""
        return Lorenz96(**{**self.settings(), "K": size, "J": 0, **changes})

    def default_scheme(self) -> AbstractScheme:
        """Return RK4."""
        return RK4()

    def coordinates(self) -> Coordinates:
        """Return the numbers of the sites k, and of the fast variables j in a sector."""
        place = {"long_name": "place in the sector", "units": "1"}
        sector = {"j": (np.arange(1, self.J + 1), place)} if self.J else {}
        return {**super().coordinates(), **sector}

    def initial_state(self, *, key: PRNGKeyArray) -> Lorenz96State:
        """Return independent normal numbers: X of standard deviation b, Y of 1."""
        slow, fast = jax.random.split(key)
        x = self.constants["b"] * jax.random.normal(slow, (self.K,), self.dtype)
        if not self.J:
            return Lorenz96State(x)
        return Lorenz96State(x, jax.random.normal(fast, (self.K, self.J), self.dtype))

    def tendency(self, state: Lorenz96State, forcing: Lorenz96State | None = None) -> Lorenz96State:
        """Return dX/dt and dY/dt per unit of time, plus `forcing`."""
        c, x = self.constants, state.x
        before, after = jnp.roll(x, 1), jnp.roll(x, -1)
        rate = Lorenz96State(-before * (jnp.roll(x, 2) - after) - x + c["F"])
        if state.y is not None:
            coupling = c["h"] * c["c"] / c["b"]
            y = state.y.reshape(-1)  # one ring: the last of a sector meets the first of the next
            advection = -c["b"] * jnp.roll(y, -1) * (jnp.roll(y, -2) - jnp.roll(y, 1))
            fast = c["c"] * (advection - y).reshape(state.y.shape) + coupling * x[:, None]
            rate = Lorenz96State(rate.x - coupling * jnp.sum(state.y, axis=-1), fast)
        return rate if forcing is None else jax.tree.map(jnp.add, rate, forcing)

    def largest_dt(self, state: Lorenz96State, courant: float = 0.9) -> Float[Array, ""]:
        """Return the largest safe step of RK4, from the growth rates of waves on a uniform state.

        These are up to 1 + 2|X| for the slow variables and c (1 + 2b|Y|) for the fast ones.
        """
        rate = 1 + 2 * jnp.max(jnp.abs(state.x))
        if state.y is not None:
            c = self.constants
            rate = jnp.maximum(rate, c["c"] * (1 + 2 * c["b"] * jnp.max(jnp.abs(state.y))))
        return courant * _RK4_REACH / rate

    def diagnostics(self, state: Lorenz96State) -> dict[str, Array]:
        """Return the mean of X, and ½X² and ½ΣY² per site."""
        found = {"mean_x": jnp.mean(state.x), "slow_energy": 0.5 * jnp.mean(state.x**2)}
        if state.y is not None:
            found["fast_energy"] = 0.5 * jnp.sum(state.y**2) / self.K
        return found

    def observe(
        self, state: Lorenz96State, increment: Lorenz96State | None = None
    ) -> dict[str, Array]:
        """Return X, its energy and the work of an increment; see `lorenz96_quantities`."""
        return lorenz96_quantities.observe(self, state, increment)

    def field(self, state: Lorenz96State) -> Float[Array, " k"]:
        """Return X, or a subgrid forcing of it."""
        return state.x

    def values(self, fields: NDArray) -> dict[str, NDArray]:
        """Return the values of X: its climate."""
        return {"x": fields.reshape(1, -1)}
