"""Barotropic vorticity on a doubly periodic plane, pseudo-spectral."""

from typing import Any, SupportsFloat, SupportsIndex

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Complex, Float, PRNGKeyArray
from numpy.typing import NDArray

from subgrid.grids import PeriodicGrid, forward_of_each, inverse_of_each, two_thirds_mask
from subgrid.numbers import positive_number, true_or_false
from subgrid.stepping import RK4, AbstractScheme
from subgrid.systems import barotropic_forcing, barotropic_quantities, flow_quantities
from subgrid.systems.barotropic_forcing import CONFIGURATIONS, LENGTHS, BarotropicPhases
from subgrid.systems.base import (
    DIAGONAL,
    check_whole_waves,
    checked_dtype,
    checked_grid,
    known_configuration,
    merged_constants,
    plain_number,
    refuse_negative,
)
from subgrid.systems.plane import AbstractPlaneSystem
from subgrid.types import Variable

_RK4_REAL = 2.78  # |λ Δt| up to which RK4 damps: viscosity is explicit here


class BarotropicState(eqx.Module):
    """Relative vorticity `vorticity[y, x]` = ∂v/∂x - ∂u/∂y at cell centres, 1/time."""

    vorticity: Float[Array, "*batch y x"]


class BarotropicSpectrum(eqx.Module):
    """The unnormalised rfft2 of the vorticity [l, k]: what the model steps."""

    vorticity: Complex[Array, "*batch l k"]


class BarotropicVorticity(AbstractPlaneSystem):
    """Two-dimensional incompressible flow in terms of its vorticity.

        ∂ω/∂t = -∇·(u ω) - β v - r ω + ν ∇²ω + F,     ∇²ψ = ω, u = -∂ψ/∂y, v = ∂ψ/∂x

    F, the curl of a force, and the defaults stand in `subgrid.systems.barotropic_forcing`, one set
    for each published configuration. With that of otness2025 and β = 0 these are the equations of
    `KolmogorovFlow` with no mean flow, solved in an independent way: derivatives and inversion in
    wavenumber space, products on the grid, dealiased by the 2/3 rule (`dealias`). Without forcing,
    drag and viscosity energy and enstrophy are conserved but for the time scheme.

    | symbol | argument | default: otness2025, graham2013, frezat2024 |
    |---|---|---|
    | L_x, L_y | length_x, length_y | 4π, 2π, 2π, and length_x · ny/nx |
    | ν | viscosity | 1/3500, 1.641e-4, 1e-5 |
    | r | drag | 0.1, 2.005e-2, 2e-2 |
    | β | beta | 0, 0, 30 |
    | A, k_f | forcing_amplitude, forcing_wavenumber | 1, 2.459, 10; and 4, 4, 15 |

    The waves of graham2013 turn in time: their phases are what drives the system from outside
    (`forcing_at`). A `forcing` that is a state is added to the tendency instead, the phases being
    zero. Dimensionless with the defaults; any consistent units will do. `vorticity_bound`: a member
    whose root-mean-square vorticity exceeds it, by up to √2 as the sum over the half plane is
    taken, has blown up. Raises ConfigError for an unknown configuration or constant, for waves that
    do not fit the width and another dtype than float32 and float64,
    ValueError for negative viscosity or drag and for a force that does not fit the height.
    """

    State = BarotropicState
    Evolved = BarotropicSpectrum
    evolves_spectra = True
    limits = ("vorticity_bound",)
    time_units = "1"
    quantities = flow_quantities.QUANTITIES
    drawn = barotropic_quantities.DRAWN
    follows_truth = True
    spectral_slope = 5

    grid: PeriodicGrid = eqx.field(static=True)
    configuration: str = eqx.field(static=True)
    dealias: bool = eqx.field(static=True)
    vorticity_bound: float = eqx.field(static=True)
    _dtype: str = eqx.field(static=True)
    constants: dict[str, Float[Array, ""]]

    def __init__(
        self,
        nx: SupportsIndex,
        ny: SupportsIndex | None = None,
        configuration: str = "otness2025",
        *,
        length_x: SupportsFloat | None = None,
        length_y: SupportsFloat | None = None,
        dealias: bool = True,
        vorticity_bound: SupportsFloat = 1.0e3,
        dtype: DTypeLike = jnp.float32,
        **constants: SupportsFloat,
    ):
        self.configuration = known_configuration(configuration, CONFIGURATIONS)
        side = LENGTHS[configuration] if length_x is None else length_x
        self.grid = checked_grid(nx, ny, side, length_y)
        self.dealias = true_or_false("dealias", dealias)
        self.vorticity_bound = positive_number("vorticity_bound", vorticity_bound)
        self._dtype = checked_dtype(dtype)
        values = merged_constants("BarotropicVorticity", CONFIGURATIONS[configuration], constants)
        refuse_negative(viscosity=values["viscosity"], drag=values["drag"])
        check_whole_waves(values["forcing_wavenumber"], self.grid)
        barotropic_forcing.check_waves_along_x(
            configuration, values["forcing_wavenumber"], self.grid
        )
        self.constants = {name: jnp.asarray(c, self._dtype) for name, c in values.items()}

    @property
    def variables(self) -> tuple[Variable, ...]:
        """The table of state variables."""
        limits = (-self.vorticity_bound, self.vorticity_bound)
        name = "relative vorticity"
        return (Variable("vorticity", ("y", "x"), "1", name, limits=limits, pseudoscalar=True),)

    @property
    def symmetries(self) -> tuple[tuple[str, ...], ...]:
        """All of the plane without force and β, a mirror with β, half a turn under otness2025."""
        beta, amplitude = (float(self.constants[n]) for n in ("beta", "forcing_amplitude"))
        if amplitude != 0:  # the curl of A sin(k_f y) along x is even in y
            return (("x", "y"),) if beta == 0 and self.configuration == "otness2025" else ()
        if beta != 0:
            return (("y",),)
        square = self.grid.nx == self.grid.ny and self.grid.length_x == self.grid.length_y
        return (("y",), ("x",), (DIAGONAL,))[: 3 if square else 2]

    @property
    def forcing_variables(self) -> tuple[Variable, ...]:
        """The phases of the waves that drive the flow, where they turn in time."""
        if not barotropic_forcing.turns(self.constants):
            return ()
        return tuple(
            Variable(f"phase_{axis}", (), "1", f"phase of the wave along {axis}") for axis in "xy"
        )

    def forcing_at(self, time: Float[Array, ""]) -> BarotropicPhases | None:
        """Return the phases at a time, None where the force is steady."""
        if not barotropic_forcing.turns(self.constants):
            return None
        return barotropic_forcing.phases_at(self.constants, time)

    def settings(self) -> dict[str, Any]:
        """Return the arguments that build this system again, as plain numbers and strings."""
        return {
            "nx": self.grid.nx,
            "ny": self.grid.ny,
            "configuration": self.configuration,
            "length_x": self.grid.length_x,
            "length_y": self.grid.length_y,
            "dealias": self.dealias,
            "vorticity_bound": self.vorticity_bound,
            "dtype": self._dtype,
            **{name: plain_number(value) for name, value in self.constants.items()},
        }

    def default_scheme(self) -> AbstractScheme:
        """Return RK4."""
        return RK4()

    def initial_state(self, *, key: PRNGKeyArray) -> BarotropicState:
        """Return smooth random vorticity about κ = 4, root-mean-square 5."""
        kappa2 = self.grid.wavenumber_squared
        shape = jnp.asarray(kappa2 * np.exp(-kappa2 / 8), self.dtype)
        noise = jax.random.normal(key, self.grid.shape, self.dtype)
        field = jnp.fft.irfft2(jnp.fft.rfft2(noise) * shape, s=self.grid.shape)
        return BarotropicState(5 * field / jnp.std(field))

    def tendency(
        self, state: BarotropicState, forcing: BarotropicState | BarotropicPhases | None = None
    ) -> BarotropicState:
        """Return ∂ω/∂t, 1/time²: under these phases, or plus `forcing` if that is a state."""
        return self.to_state(self.evolved_tendency(self.to_evolved(state), forcing))

    def to_evolved(self, state: BarotropicState) -> BarotropicSpectrum:
        """Return the spectrum of the vorticity."""
        return BarotropicSpectrum(jnp.fft.rfft2(jnp.asarray(state.vorticity, self.dtype)))

    def to_state(self, evolved: BarotropicSpectrum) -> BarotropicState:
        """Return the vorticity from its spectrum."""
        return BarotropicState(jnp.fft.irfft2(evolved.vorticity, s=self.grid.shape))

    def increment_to_evolved(self, increment: BarotropicState) -> BarotropicSpectrum:
        """Return the spectrum of an increment of the tendency."""
        return self.to_evolved(increment)

    def evolved_tendency(
        self, evolved: BarotropicSpectrum, forcing: BarotropicState | BarotropicPhases | None = None
    ) -> BarotropicSpectrum:
        """Return ∂ω̂/∂t = -[i k F(u ω) + i l F(v ω)] - β i k ψ̂ - (r + ν κ²) ω̂ + F̂."""
        c, hat = self.constants, evolved.vorticity
        i_k, i_l = self._derivatives()
        psi = self.streamfunction_hat(hat)
        u, v, vorticity = inverse_of_each([-i_l * psi, i_k * psi, hat], self.grid.shape)
        east, north = forward_of_each([u * vorticity, v * vorticity])
        rate = -(i_k * east + i_l * north)
        if self.dealias:
            rate = rate * jnp.asarray(two_thirds_mask(self.grid), self.dtype)
        kappa2 = jnp.asarray(self.grid.wavenumber_squared, self.dtype)
        rate = rate - c["beta"] * i_k * psi - (c["drag"] + c["viscosity"] * kappa2) * hat
        phases = forcing if isinstance(forcing, BarotropicPhases) else None
        along_y, along_x = barotropic_forcing.curl(self.configuration, c, self.grid, phases)
        # a field of y alone has waves of k = 0 alone, the first column; one of x the first row
        rate = rate.at[:, 0].add(self.grid.nx * jnp.fft.fft(along_y))
        if along_x is not None:
            rate = rate.at[0].add(self.grid.ny * jnp.fft.rfft(along_x))
        if not isinstance(forcing, BarotropicState):
            return BarotropicSpectrum(rate)
        return BarotropicSpectrum(rate + self.to_evolved(forcing).vorticity)

    def is_healthy(self, evolved: BarotropicSpectrum) -> Bool[Array, ""]:
        """Return whether the root-mean-square vorticity is finite and within its bound."""
        hat = evolved.vorticity
        # Parseval on the half plane counts inner columns once: within a factor of 2, enough here
        power = jnp.sum(hat.real**2 + hat.imag**2) / float(self.grid.size) ** 2
        return jnp.isfinite(power) & (power <= self.vorticity_bound**2)

    def velocity(self, state: BarotropicState) -> tuple[Float[Array, "y x"], Float[Array, "y x"]]:
        """Return u, v [y, x] at cell centres; their means are zero."""
        i_k, i_l = self._derivatives()
        psi = self.streamfunction_hat(self.to_evolved(state).vorticity)
        u, v = inverse_of_each([-i_l * psi, i_k * psi], self.grid.shape)
        return u, v

    def largest_dt(self, state: BarotropicState, courant: float = 0.9) -> Float[Array, ""]:
        """Return the largest safe step: of advection, 2.83 courant/(π speed/Δ), and viscosity."""
        u, v = self.velocity(state)
        speed = jnp.max(jnp.abs(u)) / self.grid.dx + jnp.max(jnp.abs(v)) / self.grid.dy
        damping = self.constants["viscosity"] * float(self.grid.wavenumber_squared.max())
        advective = courant * 2.83 / (np.pi * jnp.maximum(speed, 1e-30))
        return jnp.minimum(advective, courant * _RK4_REAL / jnp.maximum(damping, 1e-30))

    def diagnostics(self, state: BarotropicState) -> dict[str, Array]:
        """Return domain means: kinetic energy ½(u² + v²) and enstrophy ½ω²."""
        u, v = self.velocity(state)
        return {
            "kinetic_energy": 0.5 * jnp.mean(u**2 + v**2),
            "enstrophy": 0.5 * jnp.mean(state.vorticity**2),
        }

    def observe(
        self, state: BarotropicState, increment: BarotropicState | None = None
    ) -> dict[str, Array]:
        """Return energy, enstrophy, their spectra and the work; see `barotropic_quantities`."""
        return barotropic_quantities.observe(self, state, increment)

    def field(self, state: BarotropicState) -> Float[Array, "1 y x"]:
        """Return the vorticity, or a forcing of it."""
        return state.vorticity[None]

    def values(self, fields: NDArray) -> dict[str, NDArray]:
        """Return values of the vorticity and of its square."""
        return flow_quantities.values(fields)

    def streamfunction_hat(self, hat: Complex[Array, "l k"]) -> Complex[Array, "l k"]:
        """Return the spectrum of ψ, ∇²ψ = ω, from that of the vorticity; its mean is zero."""
        kappa2 = self.grid.wavenumber_squared
        kappa2[0, 0] = np.inf
        return -hat * jnp.asarray(1 / kappa2, self.dtype)

    def _derivatives(self) -> tuple[Array, Array]:
        """Return i k and i l over the half plane; the derivative of a Nyquist wave is 0."""
        shape = self.grid.spectral_shape
        k, l = self.grid.k.copy(), self.grid.l.copy()
        k[-1] = l[self.grid.ny // 2] = 0.0
        return tuple(  # type: ignore[return-value]
            1j * jnp.asarray(np.broadcast_to(w, shape), self.dtype) for w in (k, l[:, None])
        )
