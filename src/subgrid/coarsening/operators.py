"""Linear maps C from a fine to a coarse grid: the three operators of Ross et al. 2023.

Ross, Li, Perezhogin, Fernandez-Granda & Zanna 2023, JAMES 15, e2022MS003258,
doi:10.1029/2022MS003258. With κ² = k² + l² and Δ the coarse cell:

| name | what it does | sizes |
|---|---|---|
| Operator1 | spectral truncation × the coarse model's own small-scale filter | any |
| Operator2 | spectral truncation × exp(-κ² (2Δ)²/24) | any |
| Operator3 | Gaussian on the fine grid, then the mean over blocks of cells | whole ratios |

"Any" means even sizes smaller than the fine ones in both directions; nx and ny are independent.
"""

import abc
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree
from numpy.typing import NDArray

from subgrid.computing import promoting
from subgrid.errors import ConfigError, ShapeError
from subgrid.grids import (
    PeriodicGrid,
    exponential_filter,
    gaussian_filter,
    truncate_spectrum,
    upscale,
)
from subgrid.systems import AbstractSystem

_GAUSSIAN_CELLS = 2.0  # in Operator2: twice the coarse cell is the shortest resolved wave


class AbstractCoarsener(eqx.Module):
    """A linear map from the states of a fine system to those of a coarse one.

    Calling it maps a state, or a tendency, to one of the coarse system, of the same dtype and
    units. A coarsener holds no arrays, so it is a constant under `jit` and unchanged by `vmap`. It
    knows nothing about any equation. `positions`: where in a cell the fields that it takes sit.
    `multiplies_spectra`: whether it has a `coarsen_spectrum`, which saves transforms.
    """

    positions: ClassVar[tuple[str, ...]] = ("centre",)
    multiplies_spectra: ClassVar[bool] = False

    @classmethod
    def between(cls, fine: AbstractSystem, coarse: AbstractSystem) -> "AbstractCoarsener":
        """Return the map from the states of one system to those of another."""
        return cls(fine.domain, coarse.domain)  # type: ignore[call-arg]

    @abc.abstractmethod
    def __call__(self, state: PyTree) -> PyTree:
        """Return the state of the coarse system; raises ShapeError if it is not one of the fine."""

    def refine(self, state: PyTree) -> PyTree:
        """Return a state of the fine system, with no scales of its own, that coarsens to `state`.

        Raises ConfigError for a map that cannot be reversed so.
        """
        raise ConfigError(f"{type(self).__name__} does not lead back to finer states")

    def check_systems(self, fine: AbstractSystem, coarse: AbstractSystem) -> None:
        """Raise ShapeError unless these are systems whose states the coarsener connects."""


class KeptVariables(AbstractCoarsener):
    """Keeps the variables `kept` of a state as they are and drops all others.

    For systems whose coarse version has fewer scales: `between` keeps what the coarse one has. What
    is dropped must be None by default in the class of the state.
    """

    kept: tuple[str, ...] = eqx.field(static=True)

    @classmethod
    def between(cls, fine: AbstractSystem, coarse: AbstractSystem) -> "KeptVariables":
        """Return the map that keeps the variables of `coarse`."""
        return cls(tuple(variable.name for variable in coarse.variables))

    def __call__(self, state: PyTree) -> PyTree:
        """Return the state without the variables that are dropped."""
        return type(state)(**{name: getattr(state, name) for name in self.kept})


class AbstractGridCoarsener(AbstractCoarsener):
    """A coarsener from `fine_grid` to `coarse_grid`, two planes: every array [..., Y, X] to [y, x].

    Other axes are left alone. It preserves domain means.
    """

    fine_grid: eqx.AbstractVar[PeriodicGrid]
    coarse_grid: eqx.AbstractVar[PeriodicGrid]

    @abc.abstractmethod
    def coarsen(self, field: Float[Array, "*batch Y X"]) -> Float[Array, "*batch y x"]:
        """Return one field on the coarse grid."""

    def __call__(self, state: PyTree) -> PyTree:
        """Return the state on the coarse grid; raises ShapeError if it is not on the fine one."""
        self.check_shapes(state)
        return jax.tree.map(self.coarsen, state)

    def refine(self, state: PyTree) -> PyTree:
        """Return a coarse state on the fine grid, with no scales of its own there: D† of it.

        See `subgrid.grids.upscale`. Raises ShapeError for a state that is not on the coarse grid.
        """
        self.check_shapes(state, self.coarse_grid.shape, "the coarse grid")
        return jax.tree.map(lambda field: upscale(field, *self.fine_grid.shape), state)

    def check_systems(self, fine: AbstractSystem, coarse: AbstractSystem) -> None:
        """Raise ShapeError unless both systems live on the grids that the coarsener connects."""
        for word, system, grid in (
            ("fine", fine, self.fine_grid),
            ("coarse", coarse, self.coarse_grid),
        ):
            if system.domain != grid:
                raise ShapeError(
                    f"the {word} system lives on {system.domain}, but the coarsener's {word} grid "
                    f"is {grid}"
                )

    def check_shapes(
        self, state: PyTree, shape: tuple[int, int] | None = None, what: str = "the fine grid"
    ) -> None:
        """Raise ShapeError unless every array of a state ends in `shape`, that of the fine grid.

        Axes before are free: the map acts on each [y, x] for itself.
        """
        wanted = self.fine_grid.shape if shape is None else shape
        for leaf in jax.tree.leaves(state):
            if jnp.shape(leaf)[-2:] != wanted:
                raise ShapeError(
                    f"{type(self).__name__} takes arrays [..., y, x] that end in {wanted}, {what}, "
                    f"but got one of shape {jnp.shape(leaf)}. Make the coarsener with the grid of "
                    "the state."
                )


def check_positions(system: AbstractSystem, coarsener: AbstractCoarsener) -> None:
    """Raise TypeError if a variable of `system` sits where the coarsener takes no fields.

    A fine cell's face lies on no coarse cell's, or at another place of it, unless its operator was
    made for faces: the coarse field would be shifted.
    """
    for variable in system.variables:
        if variable.position not in coarsener.positions:
            raise TypeError(
                f"{type(coarsener).__name__} takes fields at {' and '.join(coarsener.positions)} "
                f"of cells, but {variable.name!r} of {type(system).__name__} sits at "
                f"{variable.position!r}; velocities on faces take staggered-mean, fields at the "
                "centre operator1"
            )


class AbstractSpectralCoarsener(AbstractGridCoarsener):
    """A coarsener that cuts the spectrum to the coarse grid and multiplies it.

        Cq = F⁻¹[ multiplier(k, l) q̂(k, l) / ρ² ]     for the wavenumbers of the coarse grid

    ρ² is the ratio of cell counts. The coarse Nyquist waves are zeroed.
    """

    multiplies_spectra: ClassVar[bool] = True

    @property
    @abc.abstractmethod
    def multiplier(self) -> NDArray[np.float64]:
        """The factor of each wave [ny, nx//2+1] of the coarse grid."""

    def coarsen(self, field: Float[Array, "*batch Y X"]) -> Float[Array, "*batch y x"]:
        """Return one field on the coarse grid; raises ShapeError if it is not on the fine one."""
        self.check_shapes(field)
        hat = self.coarsen_spectrum(jnp.fft.rfft2(field))
        return jnp.fft.irfft2(hat, s=self.coarse_grid.shape).astype(field.dtype)

    @promoting()
    def coarsen_spectrum(self, hat: PyTree) -> PyTree:
        """Return the rfft2 of the coarse fields from those of the fine ones, [..., L, K] arrays.

        Real and imaginary parts may be arrays of their own: the factors are real. Raises ShapeError
        for spectra of another grid.
        """
        grid = self.coarse_grid
        self.check_shapes(hat, self.fine_grid.spectral_shape, "the spectra of the fine grid")
        scaled = self.multiplier * grid.size / self.fine_grid.size

        def cut(part: Array) -> Array:
            kept = truncate_spectrum(part, grid.ny, grid.nx)
            return kept * jnp.broadcast_to(jnp.asarray(scaled, part.real.dtype), kept.shape)

        return jax.tree.map(cut, hat)


class Operator1(AbstractSpectralCoarsener):
    """Cuts the spectrum to the coarse grid and applies the coarse model's small-scale filter.

        Cq = F⁻¹[ filter(k, l) q̂(k, l) / ρ² ]     for the wavenumbers of the coarse grid

    The multiplier is `exponential_filter(coarse_grid)` with sharpness 1, also where the coarse
    model itself runs with another one (Otness, Zanna & Bruna 2025 do so). It is 1 below 0.65 of the
    Nyquist wavenumber, so those waves are kept as they are, and 1e-15 at it, so the Nyquist waves
    need no rule. It commutes with derivatives, the inversion and shifts by coarse cells.
    """

    fine_grid: PeriodicGrid = eqx.field(static=True)
    coarse_grid: PeriodicGrid = eqx.field(static=True)

    def __init__(self, fine_grid: PeriodicGrid, coarse_grid: PeriodicGrid):
        check_pair(fine_grid, coarse_grid)
        self.fine_grid, self.coarse_grid = fine_grid, coarse_grid

    @property
    def multiplier(self) -> NDArray[np.float64]:
        """The filter of the coarse grid."""
        return exponential_filter(self.coarse_grid)


class Operator2(AbstractSpectralCoarsener):
    """Cuts the spectrum to the coarse grid and multiplies by a Gaussian of twice the coarse cell.

        Cq = F⁻¹[ exp(-(k² (2Δx)² + l² (2Δy)²)/24) q̂(k, l) / ρ² ]

    Δx, Δy: the coarse cell. The Gaussian is 0.19 at the Nyquist wavenumber of an axis, so a rule is
    needed there: as in D (`subgrid.grids.downscale`) and in Perezhogin et al. 2023 the coarse
    Nyquist waves are zeroed, which keeps the map symmetric and lets it commute with derivatives.
    The code of Ross et al. keeps them.
    """

    fine_grid: PeriodicGrid = eqx.field(static=True)
    coarse_grid: PeriodicGrid = eqx.field(static=True)

    def __init__(self, fine_grid: PeriodicGrid, coarse_grid: PeriodicGrid):
        check_pair(fine_grid, coarse_grid)
        self.fine_grid, self.coarse_grid = fine_grid, coarse_grid

    @property
    def multiplier(self) -> NDArray[np.float64]:
        """The Gaussian."""
        return gaussian_filter(self.coarse_grid, _GAUSSIAN_CELLS)


class Operator3(AbstractGridCoarsener):
    """Smooths on the fine grid with a Gaussian of one coarse cell, then averages over blocks.

        Cq = mean over ρ_y × ρ_x blocks of  F⁻¹[ exp(-(ρ_x² s_x² + ρ_y² s_y²)/24) q̂ ]
        s_x = 2 sin(k Δx/2),   s_y = 2 sin(l Δy/2)      (Δx, Δy: the fine cell)

    -s² is the 5-point Laplacian in units of cells, so this is the limit of many steps of the
    Gaussian in gcm-filters (grid type REGULAR, filter scale ρ, Grooms et al. 2021,
    doi:10.1029/2021MS002552). gcm-filters itself applies a polynomial of that Laplacian, 3 steps at
    ρ = 2 and 5 at ρ = 4, which differs from the Gaussian by at most 0.0008 and 0.0023 for any wave.

    The ratios ρ_x and ρ_y must be whole. Blocks centre the result on the coarse cells, that is
    (ρ - 1)/2 fine cells away from where operators 1 and 2 put it: those keep the first grid point.
    Averaging aliases, so this map does not commute with derivatives exactly.
    """

    fine_grid: PeriodicGrid = eqx.field(static=True)
    coarse_grid: PeriodicGrid = eqx.field(static=True)

    def __init__(self, fine_grid: PeriodicGrid, coarse_grid: PeriodicGrid):
        check_pair(fine_grid, coarse_grid)
        check_whole_ratios(fine_grid, coarse_grid, "Operator3", "Operator1 or Operator2")
        self.fine_grid, self.coarse_grid = fine_grid, coarse_grid

    @promoting()
    def coarsen(self, field: Float[Array, "*batch Y X"]) -> Float[Array, "*batch y x"]:
        """Return one field on the coarse grid; raises ShapeError if it is not on the fine one."""
        self.check_shapes(field)
        fine, (ny, nx) = self.fine_grid, self.coarse_grid.shape
        block_y, block_x = fine.ny // ny, fine.nx // nx
        sine_x = 2 * np.sin(fine.k * fine.dx / 2)[None, :]
        sine_y = 2 * np.sin(fine.l * fine.dy / 2)[:, None]
        gaussian = np.exp(-((block_x * sine_x) ** 2 + (block_y * sine_y) ** 2) / 24)
        hat = jnp.fft.rfft2(field)
        hat = hat * jnp.broadcast_to(jnp.asarray(gaussian, hat.real.dtype), hat.shape)
        smooth = jnp.fft.irfft2(hat, s=fine.shape).astype(field.dtype)
        blocks = smooth.reshape(*field.shape[:-2], ny, block_y, nx, block_x)
        return blocks.mean(axis=(-3, -1))


def check_whole_ratios(fine: PeriodicGrid, coarse: PeriodicGrid, name: str, instead: str) -> None:
    """Raise ValueError unless each side of a coarse cell is a whole number of fine ones.

    `name`: of the operator; `instead`: what reaches other sizes, for the message.
    """
    for side in ("nx", "ny"):
        many, few = getattr(fine, side), getattr(coarse, side)
        if many % few:
            divisors = [n for n in range(4, many, 2) if many % n == 0]
            raise ValueError(
                f"{name} averages whole cells: {side} = {few} does not divide {many}. "
                f"Choose one of {divisors}, or {instead}."
            )


def check_pair(fine: PeriodicGrid, coarse: PeriodicGrid) -> None:
    """Raise ShapeError unless `coarse` covers the domain of `fine` with fewer cells each way."""
    if coarse.nx >= fine.nx or coarse.ny >= fine.ny:
        raise ShapeError(
            "the coarse grid must have fewer cells than the fine one in x and in y, got "
            f"coarse nx = {coarse.nx}, ny = {coarse.ny} from fine nx = {fine.nx}, ny = {fine.ny}"
        )
    for name in ("length_x", "length_y"):
        long, short = getattr(fine, name), getattr(coarse, name)
        # lengths may come from different arithmetic: nx · dx need not be length_x to the bit
        if abs(long - short) > 1e-9 * long:
            raise ShapeError(
                f"both grids must cover one domain, but {name} is {long} m (fine) and {short} m "
                "(coarse). Make the coarse grid with fine_grid.resized(nx, ny)."
            )
