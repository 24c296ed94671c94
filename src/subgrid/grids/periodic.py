"""A doubly periodic rectangular grid and its wavenumbers."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class PeriodicGrid:
    """Describes nx × ny cells on a doubly periodic domain; equal grids are equal by value.

    Arrays on it are [..., y, x]; their transforms are `rfft2` over the last two axes, shape
    [..., ny, nx//2+1], unnormalised. Cell centres: x_i = (i + ½) L_x/nx. Wavenumbers
    k = 2π/L_x · [0 … nx/2] and l = 2π/L_y · [0 … ny/2-1, -ny/2 … -1] in rad/m.

    `nx`, `ny`: cells (ny defaults to nx); `length_x`, `length_y`: metres (length_y defaults to
    length_x · ny/nx, square cells). Raises ValueError for odd or too small sizes.
    """

    nx: int
    ny: int = field(default=0)
    length_x: float = field(default=1.0e6)
    length_y: float = field(default=0.0)

    def __post_init__(self):
        if not self.ny:
            object.__setattr__(self, "ny", self.nx)
        if not self.length_y:
            object.__setattr__(self, "length_y", self.length_x * self.ny / self.nx)
        for name in ("nx", "ny"):
            size = getattr(self, name)
            if not isinstance(size, int) or size < 4 or size % 2:
                raise ValueError(f"{name} must be an even whole number of at least 4, got {size!r}")
        for name in ("length_x", "length_y"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive (metres), got {getattr(self, name)!r}")

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

    def resized(self, nx: int, ny: int | None = None) -> "PeriodicGrid":
        """Return the grid of nx × ny cells on the same domain (ny keeps the aspect ratio)."""
        ny = ny or nx * self.ny // self.nx
        return PeriodicGrid(nx, ny, self.length_x, self.length_y)


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
