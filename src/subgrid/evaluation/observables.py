"""What is recorded of a flow at a frame: energies, enstrophy, spectral densities."""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree
from numpy.typing import NDArray

from subgrid.coarsening import AbstractForcing, TendencyForcing
from subgrid.errors import ConfigError
from subgrid.evaluation.kolmogorov_observables import KolmogorovObservables
from subgrid.evaluation.layers import LEVEL_NAMES, Layers
from subgrid.randomness import random_key
from subgrid.systems import KolmogorovFlow, TwoLayerQG

LAYER_SPECTRA = ("kinetic_energy_spectrum", "enstrophy_spectrum")
BUDGET_SPECTRA = (
    "kinetic_energy_flux",
    "potential_energy_flux",
    "potential_energy_generation",
    "bottom_drag",
)
POOLED_QUANTITIES = ("q", "u", "v", "kinetic_energy", "enstrophy")
# name: (dimensions after the member, units, long name)
QUANTITIES: dict[str, tuple[tuple[str, ...], str, str]] = {
    "kinetic_energy": (("time", "level"), "m2 s-2", "mean eddy kinetic energy of a layer"),
    "total_kinetic_energy": (("time",), "m2 s-2", "mean eddy kinetic energy, layers weighted"),
    "enstrophy": (("time", "level"), "s-2", "mean potential enstrophy of a layer"),
    "total_enstrophy": (("time",), "s-2", "mean potential enstrophy, layers weighted"),
    "kinetic_energy_spectrum": (
        ("level", "wavenumber"),
        "m3 s-2",
        "isotropic spectrum of the eddy kinetic energy of a layer",
    ),
    "enstrophy_spectrum": (
        ("level", "wavenumber"),
        "m s-2",
        "isotropic spectrum of the potential enstrophy of a layer",
    ),
    "kinetic_energy_flux": (
        ("wavenumber",),
        "m3 s-3",
        "kinetic energy gained by advection and closure",
    ),
    "potential_energy_flux": (
        ("wavenumber",),
        "m3 s-3",
        "available potential energy gained by advection and closure",
    ),
    "potential_energy_generation": (
        ("wavenumber",),
        "m3 s-3",
        "available potential energy taken from the mean shear",
    ),
    "bottom_drag": (("wavenumber",), "m3 s-3", "kinetic energy lost to bottom drag"),
}


class QGObservables(eqx.Module):
    """Maps a state (and the increment of its closure) to what is recorded at a frame.

    `series`: per layer ½⟨u² + v²⟩ and ½⟨q²⟩, and their means weighted with H_i/H. `power`: spectral
    densities [..., ny, nx//2+1] whose isotropic spectra are averaged over a run: ½κ²|ψ̂|²/M² and
    ½|q̂|²/M² per layer and the terms of the spectral budget. Eddy velocities, without the
    background flow. A sum of an isotropic spectrum times the ring width is the layer's energy or
    enstrophy (but for what lies beyond the last ring).
    """

    system: Any

    layers: ClassVar[Layers] = LEVEL_NAMES
    follows: ClassVar[bool] = False  # statistics are compared, not trajectories
    field_name: ClassVar[tuple[str, str, str]] = ("q", "potential vorticity anomaly", "s-1")
    forcing_name: ClassVar[tuple[str, str, str]] = ("S", "subgrid forcing", "s-2")
    quantities: ClassVar[dict[str, tuple[tuple[str, ...], str, str]]] = QUANTITIES

    def __call__(self, state: PyTree, increment: PyTree = None) -> dict[str, dict[str, Array]]:
        """Return {"series": {name: value}, "power": {name: density}} of one state.

        `state`: q [level, y, x], 1/s. `increment`: what the closure, or the true subgrid forcing,
        adds to the tendency (1/s²).
        """
        system = self.system
        scale = 1.0 / system.grid.size**2
        q, psi = system.to_evolved(state), system.invert(state)
        density = 0.5 * scale * (psi.real**2 + psi.imag**2)
        energy = density * _kappa2(system)[None]
        enstrophy = 0.5 * scale * (q.real**2 + q.imag**2)
        layers = {
            "kinetic_energy": _plane_sum(energy),
            "enstrophy": _plane_sum(enstrophy),
        }
        totals = {
            f"total_{name}": jnp.sum(system.layer_weights * value) for name, value in layers.items()
        }
        return {
            "series": {**layers, **totals},
            "power": {
                "kinetic_energy_spectrum": energy,
                "enstrophy_spectrum": enstrophy,
                **self._budget(state, increment),
            },
        }

    def alone(self, state: PyTree) -> dict[str, dict[str, Array]]:
        """Return the same of a model without a closure."""
        return self(state)

    def field(self, state: PyTree) -> Float[Array, "level y x"]:
        """Return the field that is kept as a snapshot and drawn: q, or of a forcing S."""
        return state.q

    def pooled(self, fields: NDArray, background: bool = True) -> dict[str, NDArray]:
        """Return the values whose distributions are compared, each [level, value].

        `fields` [sample, level, y, x]: q, 1/s. q [1/s]; u, v [m/s], u with the background flow
        unless `background` is False; kinetic_energy u² + v² [m²/s²]; enstrophy (∂v/∂x - ∂u/∂y)² of
        the eddies [1/s²]: squares without a half, as Ross et al. 2023 have them.
        """
        flow = self.system.background_velocity * float(background)
        others = _velocity_fields(self.system, jnp.asarray(fields), flow)
        values = [fields, *(np.asarray(field) for field in others)]
        return {
            name: np.moveaxis(value, 1, 0).reshape(fields.shape[1], -1)
            for name, value in zip(POOLED_QUANTITIES, values, strict=True)
        }

    def _budget(self, state: PyTree, increment: PyTree) -> dict[str, Array]:
        """Return the densities of `BUDGET_SPECTRA` [l, k], m²/s³, the closure's work shared out.

        The increment c changes the kinetic energy by Σ δ_i κ² Re{ψ̂_i* ψ̂(c)_i}/M²; the rest of its
        work is potential energy (paramspec_KEflux and paramspec_APEflux of pyqg).
        """
        system = self.system
        terms = system.spectral_budget(state, increment)
        budget = {name: terms[name] for name in BUDGET_SPECTRA}
        if increment is None:
            return budget
        psi, added = system.invert(state), system.invert(increment)
        product = psi.real * added.real + psi.imag * added.imag
        weights = system.layer_weights[:, None, None] / system.grid.size**2
        kinetic = _kappa2(system) * jnp.sum(weights * product, axis=0)
        budget["kinetic_energy_flux"] += kinetic
        budget["potential_energy_flux"] += terms["closure"] - kinetic
        return budget


Observables = QGObservables | KolmogorovObservables


def observables_of(system: Any) -> Observables:
    """Return what is recorded of a system; raises ConfigError for one that has no such table."""
    for kind, observables in ((TwoLayerQG, QGObservables), (KolmogorovFlow, KolmogorovObservables)):
        if isinstance(system, kind):
            return observables(system)
    raise ConfigError(
        f"nothing is known of how to score free runs of {type(system).__name__}: evaluation knows "
        "TwoLayerQG and KolmogorovFlow, and what derives from them"
    )


class ModelObserver(eqx.Module):
    """Observes the states of a coarse model; its closure's increment enters the spectral budget.

    A closure that carries memory is left out of the budget: its increment is not a function of the
    state alone.
    """

    observables: Observables
    closure: Any = None

    def __call__(self, state: PyTree) -> dict[str, dict[str, Array]]:
        """Return what the observables record of the state."""
        if self.closure is None:
            return self.observables.alone(state)
        # with a key, for a closure that draws: what it draws is not looked at
        memory = self.closure.init(state, key=random_key(0))
        if memory is not None:
            return self.observables(state)
        return self.observables(state, self.closure(state, None)[0])

    def coarse(self, state: PyTree) -> PyTree:
        """Return the state kept as a snapshot: the state itself."""
        return state


class CoarsenedObserver(eqx.Module):
    """Observes a fine model as the coarse one should be: coarsened, with its true forcing."""

    observables: Observables
    fine: Any
    coarsener: Any
    forcing: AbstractForcing = TendencyForcing()

    def __call__(self, state: PyTree) -> dict[str, dict[str, Array]]:
        """Return what the observables record of the coarsened state and its forcing."""
        return self.observables(
            *self.forcing(self.fine, self.observables.system, self.coarsener, state)
        )

    def coarse(self, state: PyTree) -> PyTree:
        """Return the coarsened state."""
        return self.coarsener(state)


@eqx.filter_jit
def _velocity_fields(system: Any, stacked: jax.Array, flow: jax.Array) -> tuple[jax.Array, ...]:
    """Return u + flow, v, the sum of their squares and squared vorticity of stacked fields of q."""

    def one(field: jax.Array) -> tuple[jax.Array, ...]:
        state = system.State(field)
        u, v = system.velocity(state)
        u = u + flow
        return u, v, u**2 + v**2, relative_vorticity(system, state) ** 2

    return jax.vmap(one)(stacked)


def relative_vorticity(system: Any, state: PyTree) -> Float[Array, "level y x"]:
    """Return ∇²ψ = ∂v/∂x - ∂u/∂y of the eddies [level, y, x], 1/s."""
    minus_kappa2 = -_kappa2(system)[None]
    return system.to_state(jax.tree.map(lambda part: part * minus_kappa2, system.invert(state))).q


def _kappa2(system: Any) -> Float[Array, "l k"]:
    """Return κ² of the half plane, rad²/m², in the precision of the system."""
    return jnp.asarray(system.grid.wavenumber_squared, system.dtype)


def _plane_sum(density: Array) -> Array:
    """Return the sum over the full spectral plane of a density on the half plane [..., l, k]."""
    columns = density.sum(axis=-2)
    return 2 * columns.sum(axis=-1) - columns[..., 0] - columns[..., -1]
