"""The values of what barotropic flow is observed by, from its vorticity."""

from typing import TYPE_CHECKING

from jaxtyping import Array

from subgrid.systems.flow_quantities import real_product
from subgrid.systems.quantities import DrawnField

if TYPE_CHECKING:
    from subgrid.systems.barotropic import BarotropicState, BarotropicVorticity

DRAWN = DrawnField("ω", "vorticity", "1", "S", "subgrid forcing", "1")


def observe(
    system: "BarotropicVorticity",
    state: "BarotropicState",
    increment: "BarotropicState | None" = None,
) -> dict[str, Array]:
    """Return the `flow_quantities.QUANTITIES` of a state, spectra as densities.

    Everything is dimensionless. Series: domain means of ½(u² + v²) and ½ω². Densities on the half
    plane: -½Re(ψ̂* ω̂)/M², ½|ω̂|²/M² and, of the `increment` S of the vorticity's tendency,
    -Re(ψ̂* Ŝ)/M², positive where it feeds the flow.
    """
    scale = 1.0 / system.grid.size**2
    vorticity = system.to_evolved(state).vorticity
    psi = system.streamfunction_hat(vorticity)
    means = system.diagnostics(state)
    found = {
        "total_kinetic_energy": means["kinetic_energy"],
        "total_enstrophy": means["enstrophy"],
        "kinetic_energy_spectrum": -0.5 * scale * real_product(psi, vorticity)[None],
        "enstrophy_spectrum": 0.5 * scale * real_product(vorticity, vorticity)[None],
    }
    if increment is not None:
        added = system.to_evolved(increment).vorticity
        found["closure_work"] = -scale * real_product(psi, added)
    return found
