"""What drives barotropic flow: the curl of a force, for each published configuration.

With A = `forcing_amplitude` and k_f = `forcing_wavenumber`, a whole number of waves in the domain:

| configuration | F, the curl of the force | side; other constants |
|---|---|---|
| otness2025 | -A k_f cos(k_f y): a force A sin(k_f y) along x | 4π; ν = 1/3500, r = 0.1 |
| graham2013 | A [cos(k_f y + φ_y) - cos(k_f x + φ_x)], φ = π sin(ω t) | 2π; see below |
| frezat2024 | A [cos(k_f x) + cos(k_f y)] | 2π; ν = 1e-5, r = 2e-2, β = 30 |

otness2025: Otness, Zanna & Bruna 2025, Mach. Learn.: Sci. Technol. 6, 045072.

graham2013: Graham & Ringler 2013, Ocean Model. 65, 25, arXiv:1207.5852, as Frezat
et al. 2022 (doi:10.1029/2022MS003124) run it. Units are 5040 km/π and 1.2e6 s, so 2π are 10,080 km.
r = 2.005e-2; ν = 1.641e-4, that is 352 m²/s, for 512² cells (22 m²/s = 1.026e-5 for 2048²). Their
code keeps 3 ≤ |k| ≤ 5 and scales F until ½<F²> = 1.75e-18 s⁻³ = 3.024. Both waves lie in that band
and <F²> = A² whatever the phases, so A = √6.048. Phases turn at ω_x = 1.44 and ω_y = 0.48 π. The
drag is linear, as in their code, though its 1.25e-8 1/m reads like that of a quadratic one.

frezat2024: Frezat et al. 2024, arXiv:2310.19385, revised code: 2048² cells, a coarse model of 128².
"""

import math

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from subgrid.errors import ConfigError
from subgrid.grids import PeriodicGrid

CONFIGURATIONS: dict[str, dict[str, float]] = {
    "otness2025": {
        "viscosity": 1 / 3500,
        "drag": 0.1,
        "beta": 0.0,
        "forcing_amplitude": 1.0,
        "forcing_wavenumber": 4.0,
    },
    "graham2013": {
        "viscosity": 1.641e-4,
        "drag": 2.005e-2,
        "beta": 0.0,
        "forcing_amplitude": math.sqrt(2 * 3.024),
        "forcing_wavenumber": 4.0,
        "phase_rate_x": 1.44,
        "phase_rate_y": 0.48 * math.pi,
    },
    "frezat2024": {
        "viscosity": 1e-5,
        "drag": 2e-2,
        "beta": 30.0,
        "forcing_amplitude": 10.0,
        "forcing_wavenumber": 15.0,
    },
}
LENGTHS = {"otness2025": 4 * math.pi, "graham2013": 2 * math.pi, "frezat2024": 2 * math.pi}
_ALONG_X = {"otness2025": 0.0, "graham2013": -1.0, "frezat2024": 1.0}  # factor of cos(k_f x)


class BarotropicPhases(eqx.Module):
    """The phases of the two waves that drive the flow of Graham & Ringler, radians."""

    x: Float[Array, "*batch"]
    y: Float[Array, "*batch"]


def turns(constants: dict[str, Array]) -> bool:
    """Return whether the waves of the force move in time."""
    return "phase_rate_x" in constants


def phases_at(constants: dict[str, Array], time: Float[Array, ""]) -> BarotropicPhases:
    """Return φ = π sin(ω t) of both waves."""
    dtype = constants["phase_rate_x"].dtype
    rates = (constants[name] for name in ("phase_rate_x", "phase_rate_y"))
    return BarotropicPhases(*((math.pi * jnp.sin(rate * time)).astype(dtype) for rate in rates))


def curl(
    configuration: str,
    constants: dict[str, Array],
    grid: PeriodicGrid,
    phases: BarotropicPhases | None,
) -> tuple[Float[Array, " y"], Float[Array, " x"] | None]:
    """Return the parts of F that depend on y alone and on x alone (None if there is none)."""
    amplitude, wave = constants["forcing_amplitude"], constants["forcing_wavenumber"]
    y = wave * jnp.asarray(grid.y, wave.dtype)
    if configuration == "otness2025":
        return -amplitude * wave * jnp.cos(y), None
    x = wave * jnp.asarray(grid.x, wave.dtype)
    if phases is not None:
        x, y = x + phases.x, y + phases.y
    return amplitude * jnp.cos(y), _ALONG_X[configuration] * amplitude * jnp.cos(x)


def check_waves_along_x(configuration: str, wavenumber: float, grid: PeriodicGrid) -> None:
    """Raise ConfigError unless a whole number of waves fits the width, where waves go along x."""
    waves = wavenumber * grid.length_x / (2 * math.pi)
    if _ALONG_X[configuration] and abs(waves - round(waves)) > 1e-9 * max(waves, 1):
        raise ConfigError(
            f"forcing_wavenumber = {wavenumber:g} makes {waves:g} waves over the width "
            f"{grid.length_x:g}; a whole number must fit"
        )
