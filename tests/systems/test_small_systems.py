"""Systems on a line, a ring, in a masked basin and of nine variables state their facts."""

import jax
import pytest
from small_systems import SMALL

from subgrid.errors import ConfigError, ShapeError
from subgrid.experiment import system_laws
from subgrid.systems import Quantity, check_table


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
