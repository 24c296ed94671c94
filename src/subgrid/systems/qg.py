"""Two-layer quasi-geostrophic flow on a doubly periodic β-plane with a mean vertical shear."""

from typing import Any, SupportsFloat, SupportsIndex

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, PRNGKeyArray
from numpy.typing import NDArray

from subgrid.grids import (
    FILTER_BEGINS,
    PeriodicGrid,
    derivative_wavenumbers,
    forward_of_each,
    inverse_of_each,
    own_conjugates,
    two_thirds_mask,
)
from subgrid.numbers import finite_number, positive_number, true_or_false
from subgrid.stepping import AB3, AbstractScheme
from subgrid.systems import qg_quantities
from subgrid.systems.base import checked_dtype, checked_grid, known_configuration, plain_number
from subgrid.systems.plane import AbstractPlaneSystem
from subgrid.systems.qg_budget import spectral_budget
from subgrid.systems.qg_coefficients import Coefficients as _Coefficients
from subgrid.systems.qg_coefficients import followed, formulas, stretching
from subgrid.systems.qg_constants import CONFIGURATIONS, checked_constants
from subgrid.systems.qg_time_step import QGStepLimits
from subgrid.systems.quantities import LEVEL_NAMES
from subgrid.types import Variable


class QGState(eqx.Module):
    """Potential vorticity anomaly `q[level, y, x]` in 1/s; level 0 is the upper layer."""

    q: Float[Array, "*batch level y x"]


class QGSpectrum(eqx.Module):
    """The unnormalised rfft2 of q as two real arrays [level, l, k], 1/s: what the model steps.

    Real arithmetic on two arrays is several times faster on CPUs than complex arithmetic on one.
    """

    real: Float[Array, "*batch level l k"]
    imag: Float[Array, "*batch level l k"]


class TwoLayerQG(AbstractPlaneSystem):
    """Two-layer quasi-geostrophic flow, the model of pyqg (Abernathey et al.).

        ∂q_i/∂t = -∇·[(u_i + U_i) q_i] - v_i Q_yi - [i = 2] r ∇²ψ₂
        q₁ = ∇²ψ₁ + F₁(ψ₂ - ψ₁),   q₂ = ∇²ψ₂ + F₂(ψ₁ - ψ₂)
        u_i = -∂ψ_i/∂y,  v_i = ∂ψ_i/∂x,   F₁ = 1/(r_d²(1 + δ)),  F₂ = δ F₁
        Q_y1 = β + F₁(U₁ - U₂),   Q_y2 = β - F₂(U₁ - U₂)

    Products are formed on the model grid without dealiasing unless `dealias`; after every step the
    spectrum is multiplied by the small-scale filter (`subgrid.grids.exponential_filter`), the only
    dissipation besides the drag. The domain mean of q is conserved and does not move the fluid;
    without drag, shear and filter total energy and each layer's enstrophy are conserved but for
    aliasing and the time scheme.

    | symbol | argument | default (eddy / jet) |
    |---|---|---|
    | L_x, L_y | length_x, length_y | 10⁶ m |
    | β | beta | 1.5e-11 / 1e-11 1/(m s) |
    | r_d | deformation_radius | 15000 m |
    | δ = H₁/H₂ | thickness_ratio | 0.25 / 0.1 |
    | H₁ | upper_thickness | 500 m |
    | U₁, U₂ | upper_velocity, lower_velocity | 0.025, 0 m/s |
    | r | bottom_drag | 5.787e-7 / 7e-8 1/s |
    | α | filter_sharpness | 1; 0 switches the filter off |

    Constants: Ross et al. 2023, JAMES 15, e2022MS003258, doi:10.1029/2022MS003258. H₁ is in none of
    these equations and no entry of `constants`; the others act however they are changed. `dtype` is
    the precision of state and step (float64 needs `jax_enable_x64`); coefficients are built in
    float64, and where a constant was changed later or is traced, in that precision.
    `pv_bound` (1/s): a member whose layer-wise root-mean-square q exceeds it has blown up.
    Raises ConfigError for an unknown configuration or constant, ValueError for values out of range.
    """

    State = QGState
    Evolved = QGSpectrum
    evolves_spectra = True
    limits = ("pv_bound",)
    quantities = qg_quantities.QUANTITIES
    citations = ("pyqg", "ross2023")
    drawn = qg_quantities.DRAWN
    step_limits = QGStepLimits(CONFIGURATIONS)
    energy_spectra = qg_quantities.ENERGY_SPECTRA
    filter_begins = FILTER_BEGINS
    diagnosing = (
        "deformation_radius",
        "thickness_ratio",
        "upper_thickness",
        "upper_velocity",
        "lower_velocity",
    )

    grid: PeriodicGrid = eqx.field(static=True)
    configuration: str = eqx.field(static=True)
    dealias: bool = eqx.field(static=True)
    upper_thickness: float = eqx.field(static=True)
    pv_bound: float = eqx.field(static=True)
    _dtype: str = eqx.field(static=True)
    constants: dict[str, Float[Array, ""]]
    filter_sharpness: Float[Array, ""]
    _built: _Coefficients
    _built_for: dict[str, Float[Array, ""]]

    def __init__(
        self,
        nx: SupportsIndex,
        ny: SupportsIndex | None = None,
        configuration: str = "eddy",
        *,
        length_x: SupportsFloat = 1.0e6,
        length_y: SupportsFloat | None = None,
        filter_sharpness: SupportsFloat = 1.0,
        dealias: bool = False,
        pv_bound: SupportsFloat = 1.0e-3,
        dtype: DTypeLike = jnp.float32,
        **constants: SupportsFloat,
    ):
        self.grid = checked_grid(nx, ny, length_x, length_y)
        self.configuration = known_configuration(configuration, CONFIGURATIONS)
        self.dealias = true_or_false("dealias", dealias)
        self.pv_bound = positive_number("pv_bound", pv_bound)
        self._dtype = checked_dtype(dtype)
        filter_sharpness = finite_number("filter_sharpness", filter_sharpness, least=0.0)
        values = checked_constants(configuration, constants)
        self.upper_thickness = values.pop("upper_thickness")
        as_array = lambda value: jnp.asarray(np.asarray(value, np.float64), self._dtype)  # noqa: E731
        self.constants = {name: as_array(value) for name, value in values.items()}
        self.filter_sharpness = as_array(filter_sharpness)
        values["filter_sharpness"] = float(filter_sharpness)
        built = formulas(np, self.grid, self.dealias, values)
        self._built = _Coefficients(**{name: as_array(value) for name, value in built.items()})
        self._built_for = {name: as_array(value) for name, value in values.items()}

    @property
    def variables(self) -> tuple[Variable, ...]:
        """The table of state variables."""
        return (
            Variable(
                "q",
                ("level", "y", "x"),
                "s-1",
                "potential vorticity anomaly",
                limits=(-self.pv_bound, self.pv_bound),
                pseudoscalar=True,
            ),
        )

    @property
    def symmetries(self) -> tuple[tuple[str, ...], ...]:
        """A mirror along y: β and the background flow point one way along x."""
        return (("y",),)

    @property
    def layer_weights(self) -> Float[Array, " level"]:
        """H_i/H: δ/(1+δ) and 1/(1+δ), the weights of vertical means."""
        ratio = self.constants["thickness_ratio"]
        return jnp.stack([ratio, jnp.ones_like(ratio)]) / (1 + ratio)

    @property
    def stretching(self) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """F₁ and F₂, 1/m²."""
        return stretching(self.constants)

    @property
    def background_velocity(self) -> Float[Array, "level 1 1"]:
        """U₁ and U₂, m/s."""
        names = ("upper_velocity", "lower_velocity")
        velocities = [jnp.asarray(self.constants[name], self.dtype) for name in names]
        return jnp.stack(velocities)[:, None, None]

    def settings(self) -> dict[str, Any]:
        """Return the arguments that build this system again, as plain numbers and strings."""
        return {
            "nx": self.grid.nx,
            "ny": self.grid.ny,
            "configuration": self.configuration,
            "length_x": self.grid.length_x,
            "length_y": self.grid.length_y,
            "filter_sharpness": plain_number(self.filter_sharpness),
            "dealias": self.dealias,
            "pv_bound": self.pv_bound,
            "dtype": self._dtype,
            "upper_thickness": self.upper_thickness,
            **{name: plain_number(value) for name, value in self.constants.items()},
        }

    def default_scheme(self) -> AbstractScheme:
        """Return AB3, as pyqg uses."""
        return AB3()

    def coordinates(self) -> dict[str, tuple[np.ndarray, dict[str, str]]]:
        """Return level numbers and cell centres with their CF attributes."""
        return {
            "level": (
                np.array([1, 2]),
                {
                    "long_name": "layer, 1 is the upper one",
                    "units": "1",
                    LEVEL_NAMES: "upper lower",
                },
            ),
            **super().coordinates(),
        }

    def initial_state(self, *, key: PRNGKeyArray) -> QGState:
        """Return small random q₁ = 10⁻⁷ U(0,1)[y,x] + 10⁻⁶ U(0,1)[x] and q₂ = 0, 1/s (pyqg)."""
        cells, stripes = jax.random.split(key)
        upper = 1e-7 * jax.random.uniform(cells, self.grid.shape, self.dtype)
        upper += 1e-6 * jax.random.uniform(stripes, (1, self.grid.nx), self.dtype)
        return QGState(jnp.stack([upper, jnp.zeros_like(upper)]))

    def tendency(self, state: QGState, forcing: QGState | None = None) -> QGState:
        """Return ∂q/∂t (without the filter) in 1/s², plus `forcing` (1/s²) if given."""
        return self.to_state(self.evolved_tendency(self.to_evolved(state), forcing))

    def to_evolved(self, state: QGState) -> QGSpectrum:
        """Return the spectrum of q."""
        return _split(jnp.fft.rfft2(jnp.asarray(state.q, self.dtype)))

    def to_state(self, evolved: QGSpectrum) -> QGState:
        """Return q from its spectrum."""
        return QGState(self._inverse(evolved.real, evolved.imag))

    def increment_to_evolved(self, increment: QGState) -> QGSpectrum:
        """Return the spectrum of an increment of the tendency."""
        return self.to_evolved(increment)

    def evolved_tendency(self, evolved: QGSpectrum, forcing: QGState | None = None) -> QGSpectrum:
        """Return ∂q̂/∂t = -[i k F((u+U)q) + i l F(v q)] - i k Q_y ψ̂ + [i = 2] r κ² ψ̂."""
        c, (k, l) = self._coefficients, self._wavenumbers
        psi = _inverted(c, evolved)
        east, north = self._pv_flux(evolved, psi)
        # -i k a = k Im a - i k Re a
        along = k * east.imag + l * north.imag + c.pv_gradient_k * psi.imag
        across = k * east.real + l * north.real + c.pv_gradient_k * psi.real
        bottom = jnp.array([0.0, 1.0], self.dtype)[:, None, None] * c.drag
        # i l would make the Nyquist wave of a real field imaginary, where it is its own conjugate
        imag = jnp.where(own_conjugates(self.grid)[None], 0, bottom * psi.imag - across)
        rate = QGSpectrum(along + bottom * psi.real, imag)
        if forcing is None:
            return rate
        return jax.tree.map(jnp.add, rate, self.to_evolved(forcing))

    def after_step(self, evolved: QGSpectrum) -> QGSpectrum:
        """Return the spectrum multiplied by the small-scale filter."""
        small_scale = self._coefficients.filter
        return jax.tree.map(lambda part: part * small_scale, evolved)

    def is_healthy(self, evolved: QGSpectrum) -> Bool[Array, ""]:
        """Return whether each layer's root-mean-square q is finite and below `pv_bound`."""
        twice = np.full(self.grid.nx // 2 + 1, 2.0)
        twice[[0, -1]] = 1.0  # the columns that the half plane holds whole
        parseval = jnp.asarray(twice / self.grid.size**2, self.dtype)[None, None]
        power = (evolved.real**2 + evolved.imag**2) * parseval
        return jnp.all(jnp.sum(power, axis=(-2, -1)) < self.pv_bound**2)

    def invert(self, q: QGState) -> QGSpectrum:
        """Return the spectrum of the streamfunction, ψ̂ [level, l, k] in m²/s."""
        return _inverted(self._coefficients, self.to_evolved(q))

    def streamfunction(self, state: QGState) -> Float[Array, "level y x"]:
        """Return ψ [level, y, x] in m²/s with zero mean."""
        psi = self.invert(state)
        return self._inverse(psi.real, psi.imag)

    def velocity(
        self, state: QGState
    ) -> tuple[Float[Array, "level y x"], Float[Array, "level y x"]]:
        """Return the eddy velocities u, v [level, y, x] in m/s; the background is not included."""
        (k, l), psi = self._wavenumbers, self.invert(state)
        east = self._inverse(l * psi.imag, -l * psi.real)
        north = self._inverse(-k * psi.imag, k * psi.real)
        return east, north

    advected = "q"  # the variable that `advective_flux` carries

    def advective_flux(
        self, state: QGState
    ) -> tuple[Float[Array, "level y x"], Float[Array, "level y x"]]:
        """Return (u + U) q and v q [level, y, x] in m/s², whose divergence the tendency holds."""
        east, north = self.velocity(state)
        return (east + self.background_velocity) * state.q, north * state.q

    def largest_dt(self, state: QGState, courant: float = 0.7) -> Float[Array, ""]:
        """Return the largest safe step (s): courant · Δx / max(|u + U|, |v|).

        AB3 on the spectral advection of one wave is stable up to ω dt = 0.72 (Durran 1991); the
        fastest undamped wave has ω = 0.65 π U/Δx, but the maximum speed is met nearly nowhere:
        courant 0.7 was found safe in free runs (see docs/numerics.md).
        """
        east, north = self.velocity(state)
        speed_x = jnp.max(jnp.abs(east + self.background_velocity)) / self.grid.dx
        speed_y = jnp.max(jnp.abs(north)) / self.grid.dy
        return courant / jnp.maximum(speed_x, speed_y)

    def diagnostics(self, state: QGState) -> dict[str, Array]:
        """Return domain means: kinetic energy, APE (m²/s²), enstrophy (1/s²), total and by layer.

        `kinetic_energy` is the layer-weighted mean of ½(u² + v²), eddy velocities; `enstrophy` that
        of ½ q²; APE = ½ r_d⁻² δ₁ δ₂ (ψ₁ - ψ₂)², δ_i = H_i/H.
        """
        return qg_quantities.diagnostics(self, state)

    def spectral_budget(
        self, state: QGState, closure_increment: QGState | None = None, dt: float | None = None
    ) -> dict[str, Float[Array, "l k"]]:
        """Return the terms of the spectral energy budget; see `subgrid.systems.qg_budget`."""
        return spectral_budget(self, state, closure_increment, dt)

    def observe(self, state: QGState, increment: QGState | None = None) -> dict[str, Array]:
        """Return energies, enstrophies, their spectra and the budget; see `qg_quantities`."""
        return qg_quantities.observe(self, state, increment)

    def field(self, state: QGState) -> Float[Array, "level y x"]:
        """Return q, or S of a forcing."""
        return state.q

    def values(self, fields: NDArray) -> dict[str, NDArray]:
        """Return values of q, velocities, their squares and vorticity; see `qg_quantities`."""
        return qg_quantities.values(self, fields)

    def eddy_values(self, fields: NDArray) -> dict[str, NDArray]:
        """Return the same with the velocities of the eddies alone."""
        return qg_quantities.values(self, fields, background=False)

    @property
    def _coefficients(self) -> _Coefficients:
        """What the constants, as they are now, make of each wavenumber."""
        constants = {**self.constants, "filter_sharpness": self.filter_sharpness}
        return followed(self.grid, self.dealias, self._built, self._built_for, constants)

    @property
    def _wavenumbers(self) -> tuple[Float[Array, "1 1 k"], Float[Array, "1 l 1"]]:
        """Return k, 0 at the Nyquist wave as for first derivatives, and l, rad/m."""
        k, _ = derivative_wavenumbers(self.grid)
        return jnp.asarray(k[None, :1], self.dtype), jnp.asarray(
            self.grid.l[None, :, None], self.dtype
        )

    def _pv_flux(self, q: QGSpectrum, psi: QGSpectrum) -> tuple[Array, Array]:
        """Return the spectra of (u+U) q and v q, complex [level, l, k] each."""
        k, l = (w[0] for w in self._wavenumbers)
        spectra = []
        for i in range(2):  # u = -∂ψ/∂y, v = ∂ψ/∂x and q, layer by layer
            spectra += [
                jax.lax.complex(l * psi.imag[i], -l * psi.real[i]),
                jax.lax.complex(-k * psi.imag[i], k * psi.real[i]),
                jax.lax.complex(q.real[i], q.imag[i]),
            ]
        fields = inverse_of_each(spectra, self.grid.shape)
        flux = []
        for i in range(2):
            east, north, pv = fields[3 * i : 3 * i + 3]
            flux += [(east + self.background_velocity[i]) * pv, north * pv]
        hats = forward_of_each(flux)
        if self.dealias:
            mask = jnp.asarray(two_thirds_mask(self.grid), self.dtype)
            hats = [hat * mask for hat in hats]
        return jnp.stack(hats[0::2]), jnp.stack(hats[1::2])

    def _inverse(self, real: Array, imag: Array) -> Array:
        return jnp.fft.irfft2(jax.lax.complex(real, imag), s=self.grid.shape)


def _inverted(c: _Coefficients, q: QGSpectrum) -> QGSpectrum:
    """Return ψ̂ of q̂."""

    def both(part: Array) -> Array:
        upper, lower = part[0], part[1]
        return jnp.stack(
            [c.invert_11 * upper + c.invert_12 * lower, c.invert_21 * upper + c.invert_22 * lower]
        )

    return jax.tree.map(both, q)


def _split(hat: Array) -> QGSpectrum:
    return QGSpectrum(hat.real, hat.imag)
