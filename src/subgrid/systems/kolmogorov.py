"""Kolmogorov flow: two-dimensional turbulence driven by a steady sine, on a staggered grid."""

import math
from typing import Any, SupportsFloat, SupportsIndex

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray
from numpy.typing import NDArray

from subgrid.grids import PeriodicGrid, forward_of_each, inverse_of_each
from subgrid.grids.staggered import (
    laplacian_eigenvalues,
    rotated_gradient_symbols,
    staggered_divergence,
    staggered_laplacian,
    staggered_vorticity,
)
from subgrid.numbers import positive_number, time_step
from subgrid.stepping import SSPRK3, AbstractScheme, SplitModel
from subgrid.systems import flow_quantities, kolmogorov_quantities
from subgrid.systems.base import (
    check_whole_waves,
    checked_dtype,
    checked_grid,
    known_configuration,
    merged_constants,
    plain_number,
    refuse_negative,
)
from subgrid.systems.kolmogorov_time_step import KolmogorovStepLimits
from subgrid.systems.plane import AbstractPlaneSystem
from subgrid.systems.van_leer import advection
from subgrid.types import Variable

# `otness2025`: Otness, Zanna & Bruna 2025, section 4.1.2 (their solver ran 2.86e-4: the viscosity
# was printed with six decimals). `kochkov2021`: PNAS 118, e2101784118, Reynolds number 1000.
CONFIGURATIONS: dict[str, dict[str, float]] = {
    "otness2025": {"domain_scale": 2, "viscosity": 1 / 3500},
    "kochkov2021": {"domain_scale": 1, "viscosity": 1e-3},
}
_COMMON = {"drag": 0.1, "forcing_amplitude": 1.0, "forcing_wavenumber": 4.0}
FASTEST, _PEAK, _SPREAD = 7.0, 4.0, 0.25  # of the initial state: Kochkov et al. 2021


class KolmogorovState(eqx.Module):
    """Velocities `u[y, x]` on the east and `v[y, x]` on the north faces of cells, dimensionless."""

    u: Float[Array, "*batch y x"]
    v: Float[Array, "*batch y x"]


class _Coefficients(eqx.Module):
    """Real arrays per wavenumber, built in float64 and cast."""

    laplacian: Float[Array, "l k"]  # λ, 1 at (0, 0)
    u_real: Float[Array, "l 1"]  # û = (u_real + i u_imag) ψ̂
    u_imag: Float[Array, "l 1"]
    v_real: Float[Array, "1 k"]
    v_imag: Float[Array, "1 k"]
    fluctuating: Float[Array, "l k"]  # 0 at (0, 0), else 1
    y: Float[Array, "y 1"]


class KolmogorovFlow(AbstractPlaneSystem):
    """Incompressible flow with sine forcing and linear drag, second-order finite volumes.

        ∂u/∂t = -∇·(u u) - ∇p + ν ∇²u + A sin(k_f y) x̂ - r u,     ∇·u = 0

    One step of `advance`: van Leer advection (`subgrid.systems.van_leer`), forcing and drag by
    forward Euler; projection onto fields without discrete divergence; then implicit viscosity,
    (1 - ν Δt L)⁻¹, L the 5-point Laplacian. First order in time, second in space. Projection and
    viscosity share their transforms: with ω = C(u) the discrete curl, ψ̂ = ω̂/(λ (1 - ν Δt λ)) gives
    both velocities, so a step takes three transforms instead of six (`subgrid.grids.staggered`).
    The mean momentum obeys d<u>/dt = -r <u>. `tendency` is the same in space, without time step:
    projected advection (no Lax-Wendroff part), forcing and drag, plus ν L u.

    | symbol | argument | default (otness2025 / kochkov2021) |
    |---|---|---|
    | domain side 2π m | domain_scale = m | 2 / 1 |
    | ν | viscosity | 1/3500 / 1/1000 |
    | A | forcing_amplitude | 1 |
    | k_f | forcing_wavenumber | 4; a whole number of waves must fit the height |
    | r | drag | 0.1 |

    Everything is dimensionless. Arrays are [y, x]; `ny` defaults to `nx`, with square cells
    (`length_x` = 2π m, `length_y` = length_x · ny/nx). Re = m/ν = 7000 with the defaults.
    `velocity_bound`: a member with a faster velocity component has blown up. `dtype`: float32 or
    float64 (which needs `jax_enable_x64`). Source: Otness, Zanna & Bruna 2025, Mach. Learn.: Sci.
    Technol. 6, 045072; Kochkov et al. 2021, doi:10.1073/pnas.2101784118, whose jax-cfd takes the
    same steps. Raises ConfigError for an unknown configuration or constant and another dtype,
    ValueError for values out of range.
    """

    State = KolmogorovState
    limits = ("velocity_bound",)
    velocities = ("u", "v")
    derived = ("vorticity",)
    time_units = "1"
    quantities = flow_quantities.QUANTITIES
    citations = ("kochkov2021", "otness2025")
    drawn = kolmogorov_quantities.DRAWN
    step_limits = KolmogorovStepLimits({**_COMMON, **CONFIGURATIONS["otness2025"]}, FASTEST)
    follows_truth = True
    spectral_slope = 5

    grid: PeriodicGrid = eqx.field(static=True)
    configuration: str = eqx.field(static=True)
    domain_scale: float = eqx.field(static=True)
    velocity_bound: float = eqx.field(static=True)
    _dtype: str = eqx.field(static=True)
    constants: dict[str, Float[Array, ""]]
    _coefficients: _Coefficients

    def __init__(
        self,
        nx: SupportsIndex,
        ny: SupportsIndex | None = None,
        configuration: str = "otness2025",
        *,
        domain_scale: SupportsFloat | None = None,
        velocity_bound: SupportsFloat = 50.0,
        dtype: DTypeLike = jnp.float32,
        **constants: SupportsFloat,
    ):
        values = _checked_constants(configuration, constants, domain_scale)
        self.domain_scale = values.pop("domain_scale")
        self.grid = checked_grid(nx, ny, 2 * np.pi * self.domain_scale)
        self.configuration = configuration
        self.velocity_bound = positive_number("velocity_bound", velocity_bound)
        self._dtype = checked_dtype(dtype)
        check_whole_waves(values["forcing_wavenumber"], self.grid)
        as_array = lambda value: jnp.asarray(np.asarray(value, np.float64), self._dtype)  # noqa: E731
        self.constants = {name: as_array(value) for name, value in values.items()}
        built = _build(self.grid)
        self._coefficients = _Coefficients(**{name: as_array(c) for name, c in built.items()})

    @property
    def variables(self) -> tuple[Variable, ...]:
        """The table of state variables."""
        limits = (-self.velocity_bound, self.velocity_bound)
        return tuple(
            Variable(name, ("y", "x"), "1", f"{face}ward velocity", limits=limits, position=face)
            for name, face in (("u", "east"), ("v", "north"))
        )

    @property
    def symmetries(self) -> tuple[tuple[str, ...], ...]:
        """Half a turn about the origin: the force is odd in y, and along x."""
        return (("x", "y"),)

    def settings(self) -> dict[str, Any]:
        """Return the arguments that build this system again, as plain numbers and strings."""
        return {
            "nx": self.grid.nx,
            "ny": self.grid.ny,
            "configuration": self.configuration,
            "domain_scale": self.domain_scale,
            "velocity_bound": self.velocity_bound,
            "dtype": self._dtype,
            **{name: plain_number(c) for name, c in self.constants.items()},
        }

    def at(
        self, size: SupportsIndex | tuple[SupportsIndex, SupportsIndex], **changes: Any
    ) -> AbstractPlaneSystem:
        """Return the system of nx, or (ny, nx), square cells; `changes` override settings."""
        resized = self.grid.at(size)
        if abs(resized.dx - resized.dy) > 1e-9 * resized.dx:
            raise ValueError(
                f"cells must be square: {resized.nx} x {resized.ny} cells do not suit a domain of "
                f"{self.grid.nx} x {self.grid.ny}"
            )
        return super().at(size, **changes)

    @property
    def step_operations(self) -> float:
        """Three real transforms, and some 150 operations per cell for the limiter."""
        return self.grid.size * (3 * 2.5 * math.log2(self.grid.size) + 150)

    def default_scheme(self) -> AbstractScheme:
        """Return the scheme for `tendency` where one is wanted: SSPRK3, which suits a limiter."""
        return SSPRK3()

    def model(
        self, dt: SupportsFloat, closure: Any = None, scheme: AbstractScheme | None = None
    ) -> Any:
        """Return the model that takes steps of `advance`; with a scheme, one that uses `tendency`.

        The increment of a closure is added after the step as published, dt · S(state before it);
        see `subgrid.stepping.SplitModel` for other ways.
        """
        if scheme is not None:
            return super().model(dt, closure, scheme)
        return SplitModel(system=self, dt=time_step(dt), closure=closure)

    def initial_state(self, *, key: PRNGKeyArray) -> KolmogorovState:
        """Return random velocities of a log-normal spectrum about κ = 4, largest speed 7.

        White noise times exp(-(ln 4 + ¼ - ln κ)²/½ - ln κ)/κ, then three times projected and scaled
        (Kochkov et al. 2021).
        """
        kappa = np.sqrt(self.grid.wavenumber_squared)
        kappa[0, 0] = 1.0
        exponent = -((np.log(_PEAK) + _SPREAD - np.log(kappa)) ** 2) / (2 * _SPREAD) - np.log(kappa)
        density = np.exp(exponent) / kappa
        density[0, 0] = 0.0
        noise = jax.random.normal(key, (2, *self.grid.shape), self.dtype)
        hat = jnp.fft.rfft2(noise) * jnp.asarray(density, self.dtype)[None]
        u, v = jnp.fft.irfft2(hat, s=self.grid.shape)
        state = KolmogorovState(u, v)
        for _ in range(3):
            state = self.project(state)
            fastest = jnp.sqrt(jnp.max(state.u**2 + state.v**2))
            state = jax.tree.map(lambda c, f=fastest: c * (FASTEST / f), state)
        return state

    def advance(
        self, state: KolmogorovState, dt: float, forcing: KolmogorovState | None = None
    ) -> KolmogorovState:
        """Return the state after one step of `dt`; `forcing` (velocity per time) acts inside it."""
        u_rate, v_rate = self._explicit(state, dt, forcing)
        return self._without_divergence(
            state.u + dt * u_rate, state.v + dt * v_rate, dt * self.constants["viscosity"]
        )

    def tendency(
        self, state: KolmogorovState, forcing: KolmogorovState | None = None
    ) -> KolmogorovState:
        """Return ∂u/∂t, velocity per time, plus the part of `forcing` without divergence."""
        explicit = self.project(KolmogorovState(*self._explicit(state, 0.0, forcing)))
        return jax.tree.map(
            lambda rate, c: rate + self.constants["viscosity"] * staggered_laplacian(c, self.grid),
            explicit,
            state,
        )

    def project(self, state: KolmogorovState) -> KolmogorovState:
        """Return the nearest velocities without discrete divergence; the mean is kept."""
        return self._without_divergence(state.u, state.v, jnp.zeros((), self.dtype))

    def divergence(self, state: KolmogorovState) -> Float[Array, "y x"]:
        """Return ∂u/∂x + ∂v/∂y at cell centres, 1/time; 0 to rounding in every state of a run."""
        return staggered_divergence(state.u, state.v, self.grid)

    def vorticity(self, state: KolmogorovState) -> Float[Array, "y x"]:
        """Return ∂v/∂x - ∂u/∂y at north-east corners, 1/time."""
        return staggered_vorticity(state.u, state.v, self.grid)

    def largest_dt(self, state: KolmogorovState, courant: float = 0.5) -> Float[Array, ""]:
        """Return the largest safe step: courant · Δx/max(|u|, |v|); viscosity is implicit."""
        speed_x = jnp.max(jnp.abs(state.u)) / self.grid.dx
        speed_y = jnp.max(jnp.abs(state.v)) / self.grid.dy
        return courant / jnp.maximum(speed_x, speed_y)

    def diagnostics(self, state: KolmogorovState) -> dict[str, Array]:
        """Return domain means at the staggered points: ½(u² + v²), ½ω², and the mean momentum."""
        return {
            "kinetic_energy": 0.5 * jnp.mean(state.u**2 + state.v**2),
            "enstrophy": 0.5 * jnp.mean(self.vorticity(state) ** 2),
            "mean_u": jnp.mean(state.u),
            "mean_v": jnp.mean(state.v),
        }

    def observe(
        self, state: KolmogorovState, increment: KolmogorovState | None = None
    ) -> dict[str, Array]:
        """Return energy, enstrophy, their spectra and the work; see `kolmogorov_quantities`."""
        return kolmogorov_quantities.observe(self, state, increment)

    def field(self, state: KolmogorovState) -> Float[Array, "1 y x"]:
        """Return the vorticity, or the curl of a forcing."""
        return self.vorticity(state)[None]

    def values(self, fields: NDArray) -> dict[str, NDArray]:
        """Return values of the vorticity and of its square."""
        return flow_quantities.values(fields)

    def _explicit(
        self, state: KolmogorovState, dt: float, forcing: KolmogorovState | None
    ) -> tuple[Array, Array]:
        """Return the rates of advection, sine, drag and `forcing`."""
        c = self.constants
        u_rate, v_rate = advection(state.u, state.v, self.grid, dt)
        sine = c["forcing_amplitude"] * jnp.sin(c["forcing_wavenumber"] * self._coefficients.y)
        u_rate += jnp.broadcast_to(sine, self.grid.shape) - c["drag"] * state.u
        v_rate -= c["drag"] * state.v
        if forcing is None:
            return u_rate, v_rate
        return u_rate + forcing.u, v_rate + forcing.v

    def _without_divergence(self, u: Array, v: Array, diffusion: Array) -> KolmogorovState:
        """Return (1 - diffusion L)⁻¹ P (u, v) by way of the streamfunction, P the projection."""
        c = self._coefficients
        (hat,) = forward_of_each([staggered_vorticity(u, v, self.grid)])
        invert = c.fluctuating / (c.laplacian * (1 - diffusion * c.laplacian))
        psi_real, psi_imag = hat.real * invert, hat.imag * invert
        spectra = [
            jax.lax.complex(real * psi_real - imag * psi_imag, real * psi_imag + imag * psi_real)
            for real, imag in ((c.u_real, c.u_imag), (c.v_real, c.v_imag))
        ]
        across, along = inverse_of_each(spectra, self.grid.shape)
        return KolmogorovState(across + jnp.mean(u), along + jnp.mean(v))


def _checked_constants(
    configuration: str, given: dict[str, Any], domain_scale: SupportsFloat | None
) -> dict[str, float]:
    known_configuration(configuration, CONFIGURATIONS)
    if domain_scale is not None:
        given = {**given, "domain_scale": positive_number("domain_scale", domain_scale)}
    defaults = {**_COMMON, **CONFIGURATIONS[configuration]}
    values = merged_constants("KolmogorovFlow", defaults, given)
    refuse_negative(viscosity=values["viscosity"], drag=values["drag"])
    return values


def _build(grid: PeriodicGrid) -> dict[str, np.ndarray]:
    """Return the arrays of `_Coefficients` in float64."""
    eigenvalues = laplacian_eigenvalues(grid)
    fluctuating = np.ones_like(eigenvalues)
    fluctuating[0, 0], eigenvalues[0, 0] = 0.0, 1.0
    u_of_psi, v_of_psi = rotated_gradient_symbols(grid)
    return {
        "laplacian": eigenvalues,
        "u_real": u_of_psi.real,
        "u_imag": u_of_psi.imag,
        "v_real": v_of_psi.real,
        "v_imag": v_of_psi.imag,
        "fluctuating": fluctuating,
        "y": grid.y[:, None],
    }
