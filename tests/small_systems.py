"""Systems of every kind of domain, small enough to read: nothing above `systems` knows them."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from subgrid.grids import MaskedBasin, PeriodicGrid, PeriodicLine, Points
from subgrid.stepping import RK4, Euler
from subgrid.systems import AbstractSystem, DrawnField, Quantity
from subgrid.types import Variable


class LineState(eqx.Module):
    h: Float[Array, " x"]


class Advection(AbstractSystem):
    """∂h/∂t = -c ∂h/∂x on a periodic line, spectral in x: every wave keeps its amplitude."""

    State = LineState
    time_units = "1"
    quantities = (
        Quantity("mean_square", ("time",), "1", "mean square"),
        Quantity("h_spectrum", ("wavenumber",), "1", "spectrum"),
    )
    drawn = DrawnField("h", "height", "1", "S", "forcing of the height", "1", components=())
    follows_truth = True
    domain: PeriodicLine = eqx.field(static=True)
    speed: float = 1.0

    @property
    def variables(self):
        return (Variable("h", ("x",), "1", "height", limits=(-10.0, 10.0)),)

    def at(self, size):
        return Advection(self.domain.resized(size), self.speed)

    def initial_state(self, *, key):
        phase = jax.random.uniform(key) * self.domain.length
        wave = 2 * np.pi / self.domain.length
        return LineState(jnp.sin(wave * (jnp.asarray(self.domain.x, jnp.float32) - phase)))

    def tendency(self, state, forcing=None):
        hat = jnp.fft.rfft(state.h) * (-1j * self.speed * self.domain.k)
        return LineState(jnp.fft.irfft(hat, n=self.domain.cells).astype(jnp.float32))

    def diagnostics(self, state):
        return {"mean_square": jnp.mean(state.h**2)}

    def default_scheme(self):
        return RK4()

    def observe(self, state, increment=None):
        density = jnp.abs(jnp.fft.rfft(state.h)) ** 2 / self.domain.cells**2
        return {"mean_square": jnp.mean(state.h**2), "h_spectrum": density}

    def field(self, state):
        return state.h

    def values(self, fields):
        return {"h": fields.reshape(1, -1)}


class RingState(eqx.Module):
    x: Float[Array, " k"]
    y: Float[Array, "k j"]


class Ring(AbstractSystem):
    """Two-scale Lorenz 96: slow x[k] on a ring, fast y[k, j]; `at` keeps x alone."""

    State = RingState
    time_units = "1"
    quantities = (
        Quantity("x", ("time", "k"), "1", "slow variable", kind="field"),
        Quantity("energy", ("time",), "1", "mean of x²/2"),
    )
    drawn = DrawnField("x", "slow variable", "1", "S", "missing tendency", "1", components=())
    follows_truth = True
    domain: Points = eqx.field(static=True)
    fast: int = eqx.field(static=True, default=0)

    @property
    def variables(self):
        return (
            Variable("x", ("k",), "1", "slow variable", limits=(-50.0, 50.0)),
            Variable("y", ("k", "j"), "1", "fast variable"),
        )

    def coordinates(self):
        attributes = {"long_name": "number of the fast variable", "units": "1"}
        return {**super().coordinates(), "j": (np.arange(self.fast), attributes)}

    def initial_state(self, *, key):
        x = 8 + jax.random.normal(key, self.domain.shape)
        return RingState(x, jnp.zeros((*self.domain.shape, self.fast)))

    def tendency(self, state, forcing=None):
        x, y = state.x, state.y
        coupling = jnp.sum(y, axis=-1)
        rate = -jnp.roll(x, 1) * (jnp.roll(x, 2) - jnp.roll(x, -1)) - x + 8 - coupling
        return RingState(rate, 0.1 * x[:, None] - y)

    def diagnostics(self, state):
        return {"energy": 0.5 * jnp.mean(state.x**2)}

    def default_scheme(self):
        return RK4()

    def observe(self, state, increment=None):
        return {"x": state.x, "energy": 0.5 * jnp.mean(state.x**2)}

    def field(self, state):
        return state.x

    def values(self, fields):
        return {"x": fields.reshape(1, -1)}


class TracerState(eqx.Module):
    c: Float[Array, "y x"]


class Wind(eqx.Module):
    east: Float[Array, "y x"]


class Tracer(AbstractSystem):
    """A tracer in a closed basin, mixed along x by exchange between wet neighbours, which a given
    wind carries eastward in proportion to `speed` · sin(time)."""

    State = TracerState
    quantities = (Quantity("content", ("time",), "1", "mean over the water"),)
    drawn = DrawnField("c", "tracer", "1", "S", "forcing of the tracer", "s-1", components=())
    domain: MaskedBasin = eqx.field(static=True)
    speed: float = 0.0

    @property
    def variables(self):
        return (Variable("c", ("y", "x"), "1", "tracer", bounds=(0.0, 1.0)),)

    @property
    def forcing_variables(self):
        return (Variable("east", ("y", "x"), "s-1", "eastward exchange by the wind"),)

    def forcing_at(self, time):
        return Wind(jnp.full(self.domain.shape, self.speed * jnp.sin(time), jnp.float32))

    def initial_state(self, *, key):
        return TracerState(jax.random.uniform(key, self.domain.shape) * self._water)

    def tendency(self, state, forcing=None):
        c, wet = state.c, self._water
        open_east = wet[:, :-1] * wet[:, 1:]
        wind = 0.0 if forcing is None else forcing.east[:, :-1]
        flux = open_east * (0.1 * (c[:, :-1] - c[:, 1:]) + wind * c[:, :-1])
        padded = jnp.pad(flux, ((0, 0), (1, 1)))
        return TracerState(padded[:, :-1] - padded[:, 1:])

    def diagnostics(self, state):
        return {"content": jnp.sum(state.c * self._water)}

    def default_scheme(self):
        return Euler()

    def observe(self, state, increment=None):
        return {"content": jnp.sum(state.c) / float(self.domain.mask.sum())}

    def field(self, state):
        return state.c

    @property
    def _water(self):
        return jnp.asarray(self.domain.mask, jnp.float32)


NAMES = tuple("cabdefghi")  # not in the order of the alphabet, in which JAX puts names
_SHAPES = {name: ("level", "y", "x") if name in "abc" else ("y", "x") for name in NAMES}
_SHAPES["i"] = ()


class NineState(eqx.Module):
    c: Array
    a: Array
    b: Array
    d: Array
    e: Array
    f: Array
    g: Array
    h: Array
    i: Array


class Nine(AbstractSystem):
    """Nine fields on a plane that decay: three of three levels, five of one, and a number."""

    State = NineState
    quantities = tuple(Quantity(n, ("time",), "1", f"mean of {n}") for n in NAMES)
    drawn = DrawnField("a", "first", "1", "S", "forcing", "s-1")
    domain: PeriodicGrid = eqx.field(static=True)

    @property
    def variables(self):
        return tuple(Variable(name, dims, "1", f"field {name}") for name, dims in _SHAPES.items())

    def coordinates(self):
        levels = np.arange(1, 4), {"long_name": "level", "units": "1"}
        return {"level": levels, **super().coordinates()}

    def at(self, size):
        return Nine(self.domain.at(size))

    def initial_state(self, *, key):
        sizes = {"level": 3, "y": self.domain.ny, "x": self.domain.nx}
        keys = jax.random.split(key, len(NAMES))
        return NineState(
            *(
                jax.random.normal(k, tuple(sizes[dim] for dim in dims))
                for k, dims in zip(keys, _SHAPES.values(), strict=True)
            )
        )

    def tendency(self, state, forcing=None):
        return jax.tree.map(jnp.negative, state)

    def diagnostics(self, state):
        return {}

    def default_scheme(self):
        return Euler()

    def observe(self, state, increment=None):
        return {name: jnp.mean(getattr(state, name)) for name in NAMES}

    def field(self, state):
        return state.a


WATER = np.ones((4, 6), bool)
WATER[1:3, 2] = False
SMALL = {
    "line": Advection(PeriodicLine(16, 2 * np.pi)),
    "ring": Ring(Points(8, "k", ring=True), 4),
    "basin": Tracer(MaskedBasin(WATER, 10.0), 0.05),
    "nine": Nine(PeriodicGrid(8)),
}
