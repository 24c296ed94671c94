"""What barotropic flow is observed by: energy, enstrophy, their spectra, the closure's work."""

from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpy.typing import NDArray

from subgrid.systems.quantities import DrawnField, Quantity

if TYPE_CHECKING:
    from subgrid.systems.barotropic import BarotropicState, BarotropicVorticity

QUANTITIES = (
    Quantity("total_kinetic_energy", ("time",), "1", "mean kinetic energy"),
    Quantity("total_enstrophy", ("time",), "1", "mean enstrophy"),
    Quantity(
        "kinetic_energy_spectrum",
        ("level", "wavenumber"),
        "1",
        "isotropic spectrum of the kinetic energy",
    ),
    Quantity(
        "enstrophy_spectrum", ("level", "wavenumber"), "1", "isotropic spectrum of the enstrophy"
    ),
    Quantity(
        "closure_work",
        ("wavenumber",),
        "1",
        "kinetic energy gained from the closure",
        of_closure=True,
    ),
)
DRAWN = DrawnField("ω", "vorticity", "1", "S", "subgrid forcing", "1")


def observe(
    system: "BarotropicVorticity",
    state: "BarotropicState",
    increment: "BarotropicState | None" = None,
) -> dict[str, Array]:
    """Return the `QUANTITIES` of a state, spectra as densities; everything is dimensionless.

    Series: domain means of ½(u² + v²) and ½ω². Densities on the half plane: ½|ω̂|²/(κ²M²),
    ½|ω̂|²/M² and, of the `increment` S of the vorticity's tendency, -Re(ψ̂* Ŝ)/M² = Re(ω̂* Ŝ)/(κ²M²),
    positive where it feeds the flow.
    """
    scale = 1.0 / system.grid.size**2
    vorticity = system.to_evolved(state).vorticity
    kappa2 = system.grid.wavenumber_squared.copy()
    kappa2[0, 0] = np.inf  # the mean vorticity moves nothing
    inverse = jnp.asarray(1 / kappa2, system.dtype)
    enstrophy = 0.5 * scale * (vorticity.real**2 + vorticity.imag**2)
    means = system.diagnostics(state)
    found = {
        "total_kinetic_energy": means["kinetic_energy"],
        "total_enstrophy": means["enstrophy"],
        "kinetic_energy_spectrum": (enstrophy * inverse)[None],
        "enstrophy_spectrum": enstrophy[None],
    }
    if increment is not None:
        added = system.to_evolved(increment).vorticity
        product = vorticity.real * added.real + vorticity.imag * added.imag
        found["closure_work"] = scale * inverse * product
    return found


def values(fields: NDArray) -> dict[str, NDArray]:
    """Return the values whose distributions are compared, each [1, value].

    `fields` [sample, 1, y, x]: vorticities.
    """
    vorticity = fields.reshape(1, -1)
    return {"vorticity": vorticity, "enstrophy": vorticity**2}
