"""The values of what Kolmogorov flow is observed by, on its staggered points."""

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from jaxtyping import Array

from subgrid.systems.flow_quantities import real_product
from subgrid.systems.quantities import DrawnField

if TYPE_CHECKING:
    from subgrid.systems.kolmogorov import KolmogorovFlow, KolmogorovState

# the curl of a forcing holds all of it that acts on the flow
DRAWN = DrawnField("ω", "vorticity", "1", "curl S", "curl of the subgrid forcing", "1")


def observe(
    system: "KolmogorovFlow", state: "KolmogorovState", increment: "KolmogorovState | None" = None
) -> dict[str, Array]:
    """Return the `flow_quantities.QUANTITIES` of a state, spectra as densities.

    Everything is dimensionless. Series: domain means of ½(u² + v²) and ½ω² at the staggered points.
    Densities [..., ny, nx//2+1] of both, ½(|û|² + |v̂|²)/M² and ½|ω̂|²/M², and, of the work of an
    `increment` S per time, what a closure or the true subgrid forcing adds,
    Re(û* Ŝ_u + v̂* Ŝ_v)/M², positive where it feeds the flow. Staggered points need no
    interpolation: a shift changes no modulus.
    """
    scale = 1.0 / system.grid.size**2
    u, v, vorticity = (
        jnp.fft.rfft2(field) for field in (state.u, state.v, system.vorticity(state))
    )
    means = system.diagnostics(state)
    found = {
        "total_kinetic_energy": means["kinetic_energy"],
        "total_enstrophy": means["enstrophy"],
        "kinetic_energy_spectrum": (0.5 * scale * (_square(u) + _square(v)))[None],
        "enstrophy_spectrum": 0.5 * scale * _square(vorticity)[None],
    }
    if increment is not None:
        added = jax.tree.map(jnp.fft.rfft2, (increment.u, increment.v))
        found["closure_work"] = scale * (real_product(u, added[0]) + real_product(v, added[1]))
    return found


def _square(hat: Array) -> Array:
    return hat.real**2 + hat.imag**2
