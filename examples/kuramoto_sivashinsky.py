"""A system of your own with its own scheme and coarsener: Kuramoto-Sivashinsky on a line.

Run it from this folder as kuramoto_sivashinsky.toml says; no file of subgrid changes.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from subgrid.coarsening import AbstractCoarsener
from subgrid.grids import PeriodicLine
from subgrid.stepping import AbstractScheme, Model
from subgrid.systems import AbstractSystem, DrawnField, Quantity
from subgrid.types import Variable


class KSState(eqx.Module):
    """The field `u[x]`, dimensionless."""

    u: Float[Array, "*batch x"]


class KuramotoSivashinsky(AbstractSystem):
    """Waves that grow, steepen and are damped: chaos on a line of `length` 60 with `nx` cells.

        ∂u/∂t = -½ ∂(u²)/∂x - ∂²u/∂x² - ∂⁴u/∂x⁴

    Waves longer than 2π grow, most at 2π√2. Products are dealiased by the 2/3 rule. Source:
    Kassam & Trefethen 2005, SIAM J. Sci. Comput. 26, 1214, doi:10.1137/S1064827502410633.
    """

    State = KSState
    time_units = "1"
    follows_truth = True
    variables = (Variable("u", ("x",), "1", "velocity", limits=(-50.0, 50.0)),)  # seen: ±4
    drawn = DrawnField("u", "velocity", "1", "S", "subgrid forcing", "1", components=())
    quantities = (
        Quantity("u", ("time", "x"), "1", "velocity", kind="field"),
        Quantity("energy", ("time",), "1", "mean energy"),
        Quantity("energy_spectrum", ("wavenumber",), "1", "spectrum of the energy"),
    )
    domain: PeriodicLine = eqx.field(static=True)

    def __init__(self, nx: int, length: float = 60.0):
        self.domain = PeriodicLine(nx, float(length))

    def settings(self) -> dict:
        """Return the arguments that build this system again."""
        return {"nx": self.domain.cells, "length": self.domain.length}

    def at(self, size: int, **changes) -> "KuramotoSivashinsky":
        """Return the same equation on so many cells."""
        return KuramotoSivashinsky(**{**self.settings(), "nx": size, **changes})

    def initial_state(self, *, key: PRNGKeyArray) -> KSState:
        """Return smooth random waves of order one."""
        hat = jnp.fft.rfft(jax.random.normal(key, self.domain.shape))
        u = jnp.fft.irfft(jnp.where(self.growth() > 0, hat, 0), self.domain.cells)
        return KSState(u / jnp.std(u))

    def growth(self) -> np.ndarray:
        """Return k² - k⁴ [k], the linear part of the tendency of each wave."""
        return self.domain.k**2 - self.domain.k**4

    def tendency(self, state: KSState, forcing: KSState | None = None) -> KSState:
        """Return ∂u/∂t, plus `forcing` if given."""
        k = self.domain.k
        slope = jnp.asarray(0.5 * k * (k < 2 / 3 * k.max()), state.u.dtype)
        growth = jnp.asarray(self.growth(), state.u.dtype)
        hat = growth * jnp.fft.rfft(state.u) - 1j * slope * jnp.fft.rfft(state.u**2)
        rate = jnp.fft.irfft(hat, self.domain.cells)
        return KSState(rate if forcing is None else rate + forcing.u)

    def default_scheme(self) -> AbstractScheme:
        """Return the scheme for a step of 0.25; `model` builds that of its own step."""
        return ETDRK4(self, 0.25)

    def model(self, dt: float, closure=None, scheme=None) -> Model:
        """Return the model, whose scheme depends on the step."""
        return super().model(dt, closure, ETDRK4(self, dt) if scheme is None else scheme)

    def diagnostics(self, state: KSState) -> dict[str, Array]:
        """Return the mean of ½u²."""
        return {"energy": 0.5 * jnp.mean(state.u**2)}

    def observe(self, state: KSState, increment: KSState | None = None) -> dict[str, Array]:
        """Return u, ½<u²> and the density ½|û|²/nx² of its spectrum."""
        density = 0.5 * jnp.abs(jnp.fft.rfft(state.u) / self.domain.cells) ** 2
        return {"u": state.u, "energy_spectrum": density, **self.diagnostics(state)}

    def field(self, state: KSState) -> Float[Array, " x"]:
        """Return u, or a subgrid forcing of it."""
        return state.u


class ETDRK4(AbstractScheme):
    """Exponential time differencing of fourth order: linear part exact, the rest by Runge-Kutta.

    The coefficients are means over 32 points on circles about L dt (Kassam & Trefethen 2005).
    """

    order = 4
    coefficients: tuple[Float[Array, " k"], ...]

    def __init__(self, system: KuramotoSivashinsky, dt: float):
        growth = system.growth()
        z = (dt * growth)[:, None] + np.exp(2j * np.pi * (np.arange(32) + 0.5) / 32)
        parts = (
            (np.exp(z / 2) - 1) / z,
            (-4 - z + np.exp(z) * (4 - 3 * z + z**2)) / z**3,
            (2 + z + np.exp(z) * (z - 2)) / z**3,
            (-4 - 3 * z - z**2 + np.exp(z) * (4 - z)) / z**3,
        )
        found = growth, np.exp(dt * growth), np.exp(dt * growth / 2)
        found += tuple(dt * part.mean(1).real for part in parts)
        self.coefficients = tuple(jnp.asarray(c, float) for c in found)

    def init(self, evolved: KSState) -> None:
        """Return None: no history."""

    def step(self, rate, evolved, rate_now, dt, history, count):
        """Return the state one step later and None; a closure is part of `rate`, at every stage."""
        linear, whole, half, q, f1, f2, f3 = self.coefficients
        cells, start = evolved.u.shape[-1], jnp.fft.rfft(evolved.u)

        def rest(hat: Array) -> Array:
            return jnp.fft.rfft(rate(KSState(jnp.fft.irfft(hat, cells))).u) - linear * hat

        n0 = jnp.fft.rfft(rate_now.u) - linear * start
        n1 = rest(first := half * start + q * n0)
        n2 = rest(half * start + q * n1)
        n3 = rest(half * first + q * (2 * n2 - n0))
        end = whole * start + f1 * n0 + 2 * f2 * (n1 + n2) + f3 * n3
        return KSState(jnp.fft.irfft(end, cells)), history


class Truncation(AbstractCoarsener):
    """Keeps the waves that the coarse line resolves."""

    fine: PeriodicLine = eqx.field(static=True)
    coarse: PeriodicLine = eqx.field(static=True)

    def __call__(self, state: KSState) -> KSState:
        """Return the state on the coarse line."""
        cells = self.coarse.cells  # their shortest wave has no phase of its own: left out
        hat = jnp.fft.rfft(state.u)[: cells // 2 + 1].at[-1].set(0) * (cells / self.fine.cells)
        return KSState(jnp.fft.irfft(hat, cells))
