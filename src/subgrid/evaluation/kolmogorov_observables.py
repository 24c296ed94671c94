"""What is recorded of Kolmogorov flow at a frame: energy, enstrophy, spectra, closure's work."""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree
from numpy.typing import NDArray

from subgrid.evaluation.layers import CORRELATION, WORK, Layers


class KolmogorovObservables(eqx.Module):
    """Maps a state (and the increment of its closure) to what is recorded at a frame.

    `series`: domain means of ½(u² + v²) and ½ω² at the staggered points. `power`: spectral
    densities [..., ny, nx//2+1] of both, ½(|û|² + |v̂|²)/M² and ½|ω̂|²/M², and of the work
    Re(û* Ŝ_u + v̂* Ŝ_v)/M² of the increment S, positive where it feeds the flow; their isotropic
    spectra are averaged over a run. Everything is dimensionless. Staggered points need no
    interpolation: a shift changes no modulus.
    """

    system: Any

    layers: ClassVar[Layers] = ("",)
    follows: ClassVar[bool] = True  # runs are compared with the truth's own trajectory
    field_name: ClassVar[tuple[str, str, str]] = ("ω", "vorticity", "1")
    forcing_name: ClassVar[tuple[str, str, str]] = ("curl S", "curl of the subgrid forcing", "1")
    quantities: ClassVar[dict[str, tuple[tuple[str, ...], str, str]]] = {
        "total_kinetic_energy": (("time",), "1", "mean kinetic energy"),
        "total_enstrophy": (("time",), "1", "mean enstrophy"),
        CORRELATION: (("time",), "1", "correlation of the vorticity with that of the truth"),
        "kinetic_energy_spectrum": (
            ("level", "wavenumber"),
            "1",
            "isotropic spectrum of the kinetic energy",
        ),
        "enstrophy_spectrum": (("level", "wavenumber"), "1", "isotropic spectrum of the enstrophy"),
        WORK: (("wavenumber",), "1", "kinetic energy gained from the closure"),
    }

    def __call__(self, state: PyTree, increment: PyTree = None) -> dict[str, dict[str, Array]]:
        """Return {"series": {name: value}, "power": {name: density}} of one state.

        `state`: u, v [y, x]. `increment`: what the closure, or the true subgrid forcing, adds per
        time.
        """
        system, scale = self.system, 1.0 / self.system.grid.size**2
        u, v, vorticity = (
            jnp.fft.rfft2(field) for field in (state.u, state.v, self.field(state)[0])
        )
        energy = 0.5 * scale * (_square(u) + _square(v))
        power = {
            "kinetic_energy_spectrum": energy[None],
            "enstrophy_spectrum": 0.5 * scale * _square(vorticity)[None],
        }
        if increment is not None:
            system.check_state(increment)
            added = jax.tree.map(jnp.fft.rfft2, (increment.u, increment.v))
            power[WORK] = scale * (_product(u, added[0]) + _product(v, added[1]))
        means = system.diagnostics(state)
        return {
            "series": {
                "total_kinetic_energy": means["kinetic_energy"],
                "total_enstrophy": means["enstrophy"],
            },
            "power": power,
        }

    def alone(self, state: PyTree) -> dict[str, dict[str, Array]]:
        """Return the same of a model without a closure, whose work is zero."""
        return self(state, jax.tree.map(jnp.zeros_like, state))

    def field(self, state: PyTree) -> Float[Array, "level y x"]:
        """Return the field that is kept as a snapshot and drawn: the vorticity [1, y, x].

        Linear: of a forcing it is the curl, which holds all that acts on the flow.
        """
        return self.system.vorticity(state)[None]

    def pooled(self, fields: NDArray) -> dict[str, NDArray]:
        """Return the values whose distributions are compared, each [level, value]."""
        values = fields.reshape(1, -1)
        return {"vorticity": values, "enstrophy": values**2}


def _square(hat: Array) -> Array:
    return hat.real**2 + hat.imag**2


def _product(one: Array, other: Array) -> Array:
    return one.real * other.real + one.imag * other.imag
