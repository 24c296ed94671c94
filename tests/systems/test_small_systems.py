"""Systems on a line, a ring, in a masked basin and of nine variables state their facts."""

import jax
import numpy as np
import pytest
from small_systems import SMALL, WATER, Tracer

from subgrid.coarsening import KeptVariables, subgrid_forcing
from subgrid.errors import ConfigError, ShapeError
from subgrid.grids import MaskedBasin
from subgrid.systems import Lorenz96, Quantity, check_table
from subgrid.systems.laws import system_laws


@pytest.mark.parametrize("name", SMALL)
def test_every_law_holds(name):
    broken = [law for law in system_laws(SMALL[name]) if law.holds is False]
    assert not broken


@pytest.mark.parametrize("name", SMALL)
def test_a_state_of_another_shape_is_refused(name):
    system = SMALL[name]
    check_table(system)
    state = system.initial_state(key=jax.random.key(0))
    two = jax.tree.map(lambda leaf: leaf[None].repeat(2, 0), state)
    with pytest.raises(ShapeError, match="one sample"):
        system.tendency(two)


def test_a_system_of_one_resolution_says_so():
    with pytest.raises(ConfigError, match="has no coarser version"):
        SMALL["basin"].at(4)


def test_the_kind_of_a_quantity_fits_its_dims():
    assert Quantity("a", ("level", "wavenumber"), "1", "").kind == "spectrum"
    assert Quantity("a", ("time",), "1", "").kind == "series"
    assert Quantity("a", ("time", "k"), "1", "", kind="field").kind == "field"
    for dims, kind in ((("time",), "spectrum"), (("wavenumber",), "series"), (("time",), "other")):
        with pytest.raises(ValueError, match="cannot be of kind"):
            Quantity("a", dims, "1", "", kind=kind)


def test_the_target_of_dropped_scales_is_their_coupling():
    fine = Lorenz96(8, 4)
    coarse = fine.at(8)
    coarsener = KeptVariables.between(fine, coarse)
    state = fine.initial_state(key=jax.random.key(0))
    missing = subgrid_forcing(fine, coarse, coarsener, state)
    assert missing.y is None
    # -(h c/b) ΣY with h = 1, c = b; float32 differences of tendencies up to a thousand
    np.testing.assert_allclose(missing.x, -state.y.sum(axis=-1), atol=1e-3)


def test_both_systems_are_driven_at_the_time_of_the_state():
    basin = MaskedBasin(WATER, 10.0)
    windy, still = Tracer(basin, 0.5), Tracer(basin, 0.0)
    coarsener = KeptVariables.between(windy, still)
    state = windy.initial_state(key=jax.random.key(0))
    for time in (0.0, 1.5):
        missing = subgrid_forcing(windy, still, coarsener, state, time)
        carried = windy.tendency(state, windy.forcing_at(time)).c - still.tendency(state).c
        np.testing.assert_allclose(missing.c, carried, atol=1e-6)  # float32
        assert bool(np.any(missing.c != 0)) == (time > 0)
