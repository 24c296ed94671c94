"""What two-layer QG is observed by: energies, enstrophy, their spectra and the spectral budget."""

from typing import TYPE_CHECKING

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import NDArray

from subgrid.systems.quantities import DrawnField, Quantity

if TYPE_CHECKING:
    from subgrid.systems.qg import QGState, TwoLayerQG

_OF_A_LAYER = ("level", "wavenumber")
LAYER_SPECTRA = (
    Quantity(
        "kinetic_energy_spectrum",
        _OF_A_LAYER,
        "m3 s-2",
        "isotropic spectrum of the eddy kinetic energy of a layer",
    ),
    Quantity(
        "enstrophy_spectrum",
        _OF_A_LAYER,
        "m s-2",
        "isotropic spectrum of the potential enstrophy of a layer",
    ),
)
BUDGET_SPECTRA = (
    Quantity(
        "kinetic_energy_flux",
        ("wavenumber",),
        "m3 s-3",
        "kinetic energy gained by advection and closure",
        of_budget=True,
    ),
    Quantity(
        "potential_energy_flux",
        ("wavenumber",),
        "m3 s-3",
        "available potential energy gained by advection and closure",
        of_budget=True,
    ),
    Quantity(
        "potential_energy_generation",
        ("wavenumber",),
        "m3 s-3",
        "available potential energy taken from the mean shear",
        of_budget=True,
    ),
    Quantity(
        "bottom_drag",
        ("wavenumber",),
        "m3 s-3",
        "kinetic energy lost to bottom drag",
        of_budget=True,
    ),
)
QUANTITIES = (
    Quantity("kinetic_energy", ("time", "level"), "m2 s-2", "mean eddy kinetic energy of a layer"),
    Quantity(
        "total_kinetic_energy", ("time",), "m2 s-2", "mean eddy kinetic energy, layers weighted"
    ),
    Quantity("enstrophy", ("time", "level"), "s-2", "mean potential enstrophy of a layer"),
    Quantity("total_enstrophy", ("time",), "s-2", "mean potential enstrophy, layers weighted"),
    *LAYER_SPECTRA,
    *BUDGET_SPECTRA,
)
DRAWN = DrawnField("q", "potential vorticity anomaly", "s-1", "S", "subgrid forcing", "s-2")
ENERGY_SPECTRA = (
    ("kinetic_energy_spectrum",),
    ("kinetic_energy_flux", "potential_energy_flux"),
    ("potential_energy_generation",),
)
POOLED = ("q", "u", "v", "kinetic_energy", "enstrophy")


def observe(
    system: "TwoLayerQG", state: "QGState", increment: "QGState | None" = None
) -> dict[str, Array]:
    """Return the `QUANTITIES` of a state, spectra as densities.

    Series: per layer ½⟨u² + v²⟩ and ½⟨q²⟩, and their means weighted with H_i/H. Densities:
    ½κ²|ψ̂|²/M² and ½|q̂|²/M² per layer and the terms of the spectral budget, into which the
    `increment` of a closure, or the true subgrid forcing (1/s²), enters. Eddy velocities, without
    the background flow. A sum of an isotropic spectrum times the ring width is the layer's energy
    or enstrophy (but for what lies beyond the last ring).
    """
    scale = 1.0 / system.grid.size**2
    q, psi = system.to_evolved(state), system.invert(state)
    density = 0.5 * scale * (psi.real**2 + psi.imag**2)
    energy = density * _kappa2(system)[None]
    enstrophy = 0.5 * scale * (q.real**2 + q.imag**2)
    layers = {"kinetic_energy": _plane_sum(energy), "enstrophy": _plane_sum(enstrophy)}
    totals = {
        f"total_{name}": jnp.sum(system.layer_weights * value) for name, value in layers.items()
    }
    return {
        **layers,
        **totals,
        "kinetic_energy_spectrum": energy,
        "enstrophy_spectrum": enstrophy,
        **_budget(system, state, increment),
    }


def diagnostics(system: "TwoLayerQG", state: "QGState") -> dict[str, Array]:
    """Return domain means of a state; see `TwoLayerQG.diagnostics`."""
    east, north = system.velocity(state)
    psi, weights = system.streamfunction(state), system.layer_weights
    layers = 0.5 * jnp.mean(east**2 + north**2, axis=(-2, -1))
    shear = jnp.mean((psi[0] - psi[1]) ** 2)
    ape = 0.5 * system.constants["deformation_radius"] ** -2 * weights[0] * weights[1] * shear
    enstrophy = 0.5 * jnp.mean(state.q**2, axis=(-2, -1))
    return {
        "kinetic_energy": jnp.sum(weights * layers),
        "kinetic_energy_layers": layers,
        "available_potential_energy": ape,
        "enstrophy": jnp.sum(weights * enstrophy),
        "enstrophy_layers": enstrophy,
    }


def values(system: "TwoLayerQG", fields: NDArray, background: bool = True) -> dict[str, NDArray]:
    """Return the values whose distributions are compared, `POOLED`, each [level, value].

    `fields` [sample, level, y, x]: q, 1/s. q [1/s]; u, v [m/s], u with the background flow unless
    `background` is False; kinetic_energy u² + v² [m²/s²]; enstrophy (∂v/∂x - ∂u/∂y)² of the eddies
    [1/s²]: squares without a half, as Ross et al. 2023 have them.
    """
    flow = system.background_velocity * float(background)
    others = _velocity_fields(system, jnp.asarray(fields), flow)
    found = [fields, *(np.asarray(field) for field in others)]
    return {
        name: np.moveaxis(value, 1, 0).reshape(fields.shape[1], -1)
        for name, value in zip(POOLED, found, strict=True)
    }


def relative_vorticity(system: "TwoLayerQG", state: "QGState") -> Float[Array, "level y x"]:
    """Return ∇²ψ = ∂v/∂x - ∂u/∂y of the eddies [level, y, x], 1/s."""
    minus_kappa2 = -_kappa2(system)[None]
    return system.to_state(jax.tree.map(lambda part: part * minus_kappa2, system.invert(state))).q


def _budget(
    system: "TwoLayerQG", state: "QGState", increment: "QGState | None"
) -> dict[str, Array]:
    """Return the densities of `BUDGET_SPECTRA` [l, k], m²/s³, the closure's work shared out.

    The increment c changes the kinetic energy by Σ δ_i κ² Re{ψ̂_i* ψ̂(c)_i}/M²; the rest of its work
    is potential energy (paramspec_KEflux and paramspec_APEflux of pyqg).
    """
    terms = system.spectral_budget(state, increment)
    budget = {quantity.name: terms[quantity.name] for quantity in BUDGET_SPECTRA}
    if increment is None:
        return budget
    psi, added = system.invert(state), system.invert(increment)
    product = psi.real * added.real + psi.imag * added.imag
    weights = system.layer_weights[:, None, None] / system.grid.size**2
    kinetic = _kappa2(system) * jnp.sum(weights * product, axis=0)
    budget["kinetic_energy_flux"] += kinetic
    budget["potential_energy_flux"] += terms["closure"] - kinetic
    return budget


@eqx.filter_jit
def _velocity_fields(
    system: "TwoLayerQG", stacked: jax.Array, flow: jax.Array
) -> tuple[jax.Array, ...]:
    """Return u + flow, v, the sum of their squares and squared vorticity of stacked fields of q."""

    def one(field: jax.Array) -> tuple[jax.Array, ...]:
        state = system.State(field)
        u, v = system.velocity(state)
        u = u + flow
        return u, v, u**2 + v**2, relative_vorticity(system, state) ** 2

    return jax.vmap(one)(stacked)


def _kappa2(system: "TwoLayerQG") -> Float[Array, "l k"]:
    """Return κ² of the half plane, rad²/m², in the precision of the system."""
    return jnp.asarray(system.grid.wavenumber_squared, system.dtype)


def _plane_sum(density: Array) -> Array:
    """Return the sum over the full spectral plane of a density on the half plane [..., l, k]."""
    # rfft2 leaves out the columns of negative k, twins of those between the first and the last
    columns = density.sum(axis=-2)
    return 2 * columns.sum(axis=-1) - columns[..., 0] - columns[..., -1]
