"""What dimensionless flow in two dimensions, of one layer, is observed by, however it is solved."""

from jaxtyping import Array
from numpy.typing import NDArray

from subgrid.systems.quantities import Quantity

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
        of_budget=True,
    ),
)


def values(fields: NDArray) -> dict[str, NDArray]:
    """Return the values whose distributions are compared, each [1, value].

    `fields` [sample, 1, y, x]: vorticities.
    """
    vorticity = fields.reshape(1, -1)
    return {"vorticity": vorticity, "enstrophy": vorticity**2}


def real_product(one: Array, other: Array) -> Array:
    """Return Re(a* b) of two spectra."""
    return one.real * other.real + one.imag * other.imag
