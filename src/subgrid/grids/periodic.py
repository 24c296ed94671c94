"""A doubly periodic rectangular grid and its wavenumbers."""

from dataclasses import dataclass, field
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from subgrid.errors import ConfigError, ShapeError
from subgrid.grids.domain import AbstractDomain, Coordinates
from subgrid.numbers import LARGEST_COUNT, positive_number, whole_number


@dataclass(frozen=True)
class PeriodicGrid(AbstractDomain):
    """Describes nx × ny cells on a doubly periodic domain; equal grids are equal by value.

    Arrays on it are [..., y, x]; their transforms are `rfft2` over the last two axes, shape
    [..., ny, nx//2+1], unnormalised. Cell centres: x_i = (i + ½) L_x/nx. Wavenumbers
    k = 2π/L_x · [0 … nx/2] and l = 2π/L_y · [0 … ny/2-1, -ny/2 … -1] in rad/m.

    `nx`, `ny`: cells (ny defaults to nx); `length_x`, `length_y`: metres (length_y defaults to
    length_x · ny/nx, square cells). Raises ValueError for odd or too small sizes, for lengths that
    are not positive and for more cells than 32-bit indices count; for other kinds than numbers that
    error is a TypeError as well.
    """

    nx: int
    ny: int = field(default=0)
    length_x: float = field(default=1.0e6)
    length_y: float = field(default=0.0)

    has_spectrum = True

    def __post_init__(self):
        def put(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        put("nx", whole_number("nx", self.nx, least=4, even=True))
        put("ny", whole_number("ny", self.ny or self.nx, least=4, even=True))
        put("length_x", positive_number("length_x", self.length_x))
        square = self.length_x * self.ny / self.nx
        put("length_y", positive_number("length_y", self.length_y or square))
        if self.nx * self.ny > LARGEST_COUNT:
            raise ConfigError(
                f"nx times ny must be at most {LARGEST_COUNT} cells, as many as 32-bit indices "
                f"count, got {self.nx} x {self.ny}"
            )

    @property
    def dims(self) -> tuple[str, str]:
        """("y", "x")."""
        return "y", "x"

    @property
    def periodic(self) -> tuple[bool, bool]:
        """(True, True)."""
        return True, True

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (ny, nx) of a field."""
        return self.ny, self.nx

    @property
    def spectral_shape(self) -> tuple[int, int]:
        """Shape (ny, nx//2+1) of a transformed field."""
        return self.ny, self.nx // 2 + 1

    @property
    def size(self) -> int:
        """Number of cells."""
        return self.nx * self.ny

    @property
    def dx(self) -> float:
        """Cell width in x, metres."""
        return self.length_x / self.nx

    @property
    def dy(self) -> float:
        """Cell width in y, metres."""
        return self.length_y / self.ny

    @property
    def x(self) -> NDArray[np.float64]:
        """Cell centres in x [nx], metres."""
        return (np.arange(self.nx, dtype=np.float64) + 0.5) * self.dx

    @property
    def y(self) -> NDArray[np.float64]:
        """Cell centres in y [ny], metres."""
        return (np.arange(self.ny, dtype=np.float64) + 0.5) * self.dy

    @property
    def k(self) -> NDArray[np.float64]:
        """Wavenumbers in x [nx//2+1], rad/m; the Nyquist one is positive."""
        return np.arange(self.nx // 2 + 1, dtype=np.float64) * (2 * np.pi / self.length_x)

    @property
    def l(self) -> NDArray[np.float64]:  # noqa: E743 - the field's name for it
        """Wavenumbers in y [ny], rad/m; the Nyquist one is negative."""
        indices = np.asarray(np.fft.fftfreq(self.ny, 1 / self.ny), np.float64)
        return indices * (2 * np.pi / self.length_y)

    @property
    def wavenumber_squared(self) -> NDArray[np.float64]:
        """κ² = k² + l² [ny, nx//2+1], rad²/m²."""
        return self.k[None, :] ** 2 + self.l[:, None] ** 2

    @property
    def nyquist(self) -> float:
        """The smaller of the two axes' Nyquist wavenumbers, rad/m."""
        return min(np.pi / self.dx, np.pi / self.dy)

    @property
    def weights(self) -> NDArray[np.float64]:
        """Area of every cell [ny, nx], m²."""
        return np.full(self.shape, self.dx * self.dy)

    def coordinates(self, units: str = "m") -> Coordinates:
        """Return the cell centres, y and x, with their CF attributes."""
        return {
            "y": (self.y, {"long_name": "distance north", "units": units, "axis": "Y"}),
            "x": (self.x, {"long_name": "distance east", "units": units, "axis": "X"}),
        }

    def isotropic_spectrum(
        self, density: ArrayLike, **options: Any
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return ring centres and spectrum; see `subgrid.grids.isotropic_spectrum`."""
        from subgrid.grids.spectra import isotropic_spectrum

        return isotropic_spectrum(density, self, **options)

    def larger_scales(self, fields: NDArray, share: float) -> NDArray[np.float64]:
        """Return fields [..., y, x] with the waves w ≤ π · `share`; see `scaled_wavenumber`."""
        from subgrid.grids.filters import scaled_wavenumber

        kept = scaled_wavenumber(self) <= share * np.pi
        return np.fft.irfft2(np.fft.rfft2(fields) * kept, s=self.shape)

    def check_fields(self, *fields: Any) -> None:
        """Raise ShapeError unless fields have one and the same shape [..., ny, nx]."""
        shapes = [tuple(field.shape) for field in fields]
        if len(set(shapes)) > 1 or shapes[0][-2:] != self.shape:
            raise ShapeError(
                f"fields on this grid have one shape, which ends in {self.shape} (ny, nx), got "
                f"{', '.join(map(str, shapes))}"
            )

    def resized(self, nx: SupportsIndex, ny: SupportsIndex | None = None) -> "PeriodicGrid":
        """Return the grid of nx × ny cells on the same domain (ny keeps the aspect ratio).

        Raises ValueError where no whole ny keeps it.
        """
        nx = whole_number("nx", nx, least=4, even=True)
        if ny is None and nx * self.ny % self.nx:
            raise ValueError(
                f"nx = {nx} makes ny = {nx * self.ny / self.nx:g} on a domain of {self.nx} x "
                f"{self.ny} cells: choose an nx that makes it whole, or give ny"
            )
        rows = nx * self.ny // self.nx if ny is None else ny
        rows = whole_number("ny", rows, least=4, even=True)
        return PeriodicGrid(nx, rows, self.length_x, self.length_y)

    def at(self, size: SupportsIndex | tuple[SupportsIndex, SupportsIndex]) -> "PeriodicGrid":
        """Return the grid of nx cells along x, or of a shape (ny, nx), on the same domain."""
        return self.resized(*reversed(size)) if isinstance(size, tuple) else self.resized(size)


def derivative_wavenumbers(grid: PeriodicGrid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return k and l [ny, nx//2+1] with zeros where a first derivative has no real content.

    The columns k = 0 and Nyquist of a real field's transform hold both signs of l, so they are
    Hermitian: hat(-l) = hat(l)*. A factor i k of the Nyquist column, and i l of the Nyquist row in
    both, makes them anti-Hermitian, and the inverse transform drops that: the derivative of such a
    wave, sampled at the cells, vanishes. With these k and l, i k hat is the transform of a real
    field, and i k (i l hat) the derivative taken in two trips through real space.
    """
    k, l = (np.array(w) for w in np.broadcast_arrays(grid.k[None, :], grid.l[:, None]))
    k[:, -1] = 0.0
    l[own_conjugates(grid)] = 0.0
    return k, l


def own_conjugates(grid: PeriodicGrid) -> NDArray[np.bool_]:
    """Return where [ny, nx//2+1] a wave is its own conjugate: a real field's hat is real there."""
    mask = np.zeros(grid.spectral_shape, bool)
    mask[np.ix_([0, grid.ny // 2], [0, -1])] = True
    return mask
