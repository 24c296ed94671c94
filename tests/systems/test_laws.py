"""`subgrid check` on systems of any domain: a broken law is named."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_systems import SMALL, WATER, Advection, LineState, Tracer, TracerState, Wind

from subgrid.closures import AbstractClosure
from subgrid.closures.laws import closure_laws
from subgrid.grids import MaskedBasin, PeriodicLine
from subgrid.systems import KolmogorovFlow, Lorenz96
from subgrid.systems.laws import system_laws

LINE, BASIN = PeriodicLine(16, 2 * np.pi), MaskedBasin(WATER, 10.0)


class Flooded(Tracer):
    def tendency(self, state, forcing=None):
        return TracerState(super().tendency(state, forcing).c + 1e-3)


class TwoWinds(Tracer):
    def forcing_at(self, time):
        return super().forcing_at(time), super().forcing_at(time)


class CoarseWind(Tracer):
    def forcing_at(self, time):
        return Wind(super().forcing_at(time).east[:2])


class Unnamed(Advection):
    def observe(self, state, increment=None):
        return {**super().observe(state, increment), "maximum": jnp.max(state.h)}


class HalfSpectrum(Advection):
    def observe(self, state, increment=None):
        found = super().observe(state, increment)
        return {**found, "h_spectrum": found["h_spectrum"][:-1]}


class OtherField(Advection):
    def field(self, state):
        return state.h[None]


class Forgetful(Advection):
    def __init__(self, domain, speed=1.0):
        self.domain, self.speed = domain, 2 * speed

    def settings(self):
        return {"domain": self.domain, "speed": self.speed}


class Growing(Advection):
    def tendency(self, state, forcing=None):
        return LineState(1e6 * state.h)


class Pinned(Advection):
    """Not the same everywhere: reported, as a coast or a mountain would do it."""

    def tendency(self, state, forcing=None):
        return LineState(super().tendency(state).h * jnp.arange(16.0))


@pytest.mark.parametrize(
    ("system", "name", "detail"),
    [
        (Flooded(BASIN), "land", "c changes on land"),
        (TwoWinds(BASIN), "interface", "forcing_at must return arrays of the shapes [(4, 6)]"),
        (CoarseWind(BASIN), "interface", "but returned [(2, 6)]"),
        (Unnamed(LINE), "quantities", "observe and `quantities` differ in maximum"),
        (HalfSpectrum(LINE), "quantities", "h_spectrum must be (9,), as its dims say, but is (8,)"),
        (OtherField(LINE), "quantities", "field must return (16,), but returned (1, 16)"),
        (Forgetful(LINE), "settings", "speed is another when built again"),
        (Growing(LINE), "model step", "left its bounds at step"),
    ],
)
def test_a_broken_law_is_named(system, name, detail):
    broken = [law for law in system_laws(system) if law.holds is False]
    assert [law.name for law in broken] == [name]
    assert detail in broken[0].detail


def test_what_holds_of_one_system_alone_is_reported():
    laws = {law.name: law for law in system_laws(Pinned(LINE))}
    assert laws["shift along x"].holds is None
    assert laws["shift along x"].detail.startswith("does not shift")
    assert laws["coarser"].detail == "at(8) has 8 points"
    basin = {law.name: law for law in system_laws(SMALL["basin"])}
    assert "no coarser version" in basin["coarser"].detail
    assert not [name for name in basin if name.startswith("shift")]  # it is closed


@pytest.mark.parametrize(
    "system",
    [pytest.param(KolmogorovFlow(16), marks=pytest.mark.slow), Lorenz96(8, 4), Lorenz96(8, 0)],
)
def test_shipped_systems_obey_the_laws(system):
    laws = {law.name: law for law in system_laws(system)}
    assert not [law for law in laws.values() if law.holds is False]
    shifts = [law.detail for name, law in laws.items() if name.startswith("shift")]
    assert shifts
    # a force that varies with y: not the same at every y
    moving = [detail.startswith("shifts") for detail in shifts]
    assert moving == ([True, False] if isinstance(system, KolmogorovFlow) else [True])


class Drag(AbstractClosure):
    """Slows everything down, wherever it lives."""

    system: object
    claims = ("translation invariant", "mirror symmetric")

    def __call__(self, state, memory=None, forcing=None):
        return jax.tree.map(lambda leaf: -0.1 * leaf, state), memory


class Source(eqx.Module):
    claims = ("conserves mean",)

    def init(self, state, *, key=None):
        return None

    def __call__(self, state, memory=None, forcing=None):
        return jax.tree.map(jnp.ones_like, state), memory


@pytest.mark.parametrize("name", SMALL)
def test_the_laws_of_closures_are_those_of_any_domain(name):
    system = SMALL[name]
    laws = {law.name: law for law in closure_laws(Drag(system), system)}
    assert not [law for law in laws.values() if law.holds is False]
    broken = [law for law in closure_laws(Source(), system) if law.holds is False]
    assert "zero mean" in [law.name for law in broken]
