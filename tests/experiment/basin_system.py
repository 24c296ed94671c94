"""A closed basin with a coastline, as a stranger could write it: a tracer that a wind carries.

Nothing of subgrid knows it; a config names it `basin_system:Basin`.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from subgrid.coarsening import AbstractCoarsener
from subgrid.grids import MaskedBasin
from subgrid.stepping import RK4
from subgrid.systems import AbstractSystem, DrawnField, Quantity
from subgrid.types import Variable


class BasinState(eqx.Module):
    """The tracer `c[y, x]`, 0 on land."""

    c: Float[Array, "*batch y x"]


class Wind(eqx.Module):
    """Velocities on the east and on the north faces of cells."""

    east: Float[Array, "*batch y x"]
    north: Float[Array, "*batch y x"]


def water_of(cells: int):
    """Return where there is water: a square with a headland in the south and an island."""
    x = (np.arange(cells) + 0.5) / cells
    island = np.hypot(x[None] - 0.65, x[:, None] - 0.6) < 0.15
    headland = (abs(x[None] - 0.3) < 0.1) & (x[:, None] < 0.3)
    return ~(island | headland)


class Basin(AbstractSystem):
    """∂c/∂t = -∇·(u c - D ∇c) in a unit square, with no flux through its coast; u is given.

    The wind turns a gyre, ψ = A sin(πx) sin(πy) (1 + ½ sin t) and 0 at the coast,
    u = (-∂ψ/∂y, ∂ψ/∂x). How much tracer there is in all does not change.
    """

    State = BasinState
    time_units = "1"
    follows_truth = True
    drawn = DrawnField("c", "tracer", "1", "S", "subgrid forcing", "1", components=())
    quantities = (
        Quantity("c", ("time", "y", "x"), "1", "tracer", kind="field"),
        Quantity("content", ("time",), "1", "mean over the water"),
        Quantity("variance", ("time",), "1", "mean square over the water"),
    )
    variables = (Variable("c", ("y", "x"), "1", "tracer", limits=(-10.0, 10.0)),)
    forcing_variables = (
        Variable("east", ("y", "x"), "1", "eastward wind", position="east"),
        Variable("north", ("y", "x"), "1", "northward wind", position="north"),
    )
    domain: MaskedBasin = eqx.field(static=True)
    diffusivity: float = eqx.field(static=True)

    def __init__(self, nx: int, diffusivity: float = 2e-3):
        self.domain = MaskedBasin(water_of(nx), 1.0 / nx)
        self.diffusivity = diffusivity

    def settings(self):
        return {"nx": self.domain.shape[1], "diffusivity": self.diffusivity}

    def at(self, size, **changes):
        return Basin(**{**self.settings(), "nx": size, **changes})

    def default_scheme(self):
        return RK4()

    def forcing_at(self, time):
        cells = self.domain.shape[0]
        edges = np.arange(1, cells + 1) / cells
        psi = 0.03 * np.sin(np.pi * edges)[None] * np.sin(np.pi * edges)[:, None]  # NE corners
        sea = self.domain.mask & np.roll(self.domain.mask, -1, 0)
        psi *= sea & np.roll(sea, -1, 1)  # 0 along the coast: no flow through it
        psi = np.pad(psi, ((1, 0), (1, 0)))
        strength = (1 + 0.5 * jnp.sin(time)).astype(jnp.float32)
        east, north = -np.diff(psi[:, 1:], axis=0) * cells, np.diff(psi[1:], axis=1) * cells
        return Wind(*(strength * jnp.asarray(part, jnp.float32) for part in (east, north)))

    def initial_state(self, *, key):
        cells, water = self.domain.shape[0], self._water
        x = (np.arange(cells) + 0.5) / cells
        middle = jax.random.uniform(key, (2,), minval=0.2, maxval=0.8)
        far = (x[None] - middle[0]) ** 2 + (x[:, None] - middle[1]) ** 2
        return BasinState((jnp.exp(-far / 0.02) * water).astype(jnp.float32))

    def tendency(self, state, forcing=None):
        cells = self.domain.shape[0]
        wind = self.forcing_at(jnp.zeros(())) if forcing is None else forcing
        rate = sum(
            self._convergence(state.c, face, axis) * cells
            for axis, face in ((1, wind.east), (0, wind.north))
        )
        return BasinState(rate)

    def _convergence(self, c, wind, axis):
        """Return minus the difference of fluxes through faces with water on both sides."""
        ahead, water = jnp.roll(c, -1, axis), self._water
        open_face = water * jnp.roll(water, -1, axis)
        last = jnp.arange(c.shape[axis]) == c.shape[axis] - 1  # the outer wall
        open_face = jnp.where(last if axis else last[:, None], 0.0, open_face)
        slope = (ahead - c) * self.domain.shape[0]
        flux = open_face * (wind * 0.5 * (c + ahead) - self.diffusivity * slope)
        return jnp.roll(flux, 1, axis) - flux

    def increment_to_evolved(self, increment):
        """Return what a closure adds, on water alone."""
        return BasinState(increment.c * self._water)

    def diagnostics(self, state):
        water = float(self.domain.mask.sum())
        return {"content": jnp.sum(state.c) / water, "variance": jnp.sum(state.c**2) / water}

    def observe(self, state, increment=None):
        return {"c": state.c, **self.diagnostics(state)}

    def field(self, state):
        return state.c

    def values(self, fields):
        return {"c": fields[:, self.domain.mask].reshape(1, -1)}

    @property
    def _water(self):
        return jnp.asarray(self.domain.mask, jnp.float32)


class WaterMean(AbstractCoarsener):
    """The mean over the water of the fine cells that make a coarse one; 0 on coarse land."""

    fine: MaskedBasin = eqx.field(static=True)
    coarse: MaskedBasin = eqx.field(static=True)

    def __call__(self, state):
        cells, ratio = self.coarse.shape[0], self.fine.shape[0] // self.coarse.shape[0]

        def summed(values):
            return values.reshape(cells, ratio, cells, ratio).sum((1, 3))

        water = np.maximum(summed(self.fine.mask.astype(np.float32)), 1)
        return BasinState(summed(state.c) / water * self.coarse.mask)
