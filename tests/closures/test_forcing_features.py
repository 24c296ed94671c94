"""Networks that see what drives a system from outside."""

import jax.numpy as jnp
import numpy as np
import pytest
from small_systems import SMALL, TracerState, Wind

from subgrid.closures import Features, LearnedClosure, Output, Symmetry, check_closure
from subgrid.errors import ConfigError, UnknownNameError
from subgrid.nn import Conv2d, Scaler
from subgrid.randomness import random_key
from subgrid.stepping import rollout
from subgrid.systems import BarotropicVorticity, TwoLayerQG

BASIN = SMALL["basin"]


class LastChannel:
    """The last of the channels that are seen."""

    def __call__(self, seen):
        return seen[-1:]


def test_fields_that_drive_are_channels():
    features = Features(("forcing", "c"), Scaler([1.0, 0.0], [2.0, 1.0]))
    assert features.count(BASIN) == 2
    c, east = np.random.default_rng(0).random((2, *BASIN.domain.shape)).astype(np.float32)
    seen = features(jnp.asarray(c)[None], BASIN, forcing=Wind(jnp.asarray(east)))
    np.testing.assert_allclose(seen, np.stack([(east - 1) / 2, c]), rtol=1e-6)
    still = features(jnp.asarray(c)[None], BASIN)  # at time 0 there is no wind
    np.testing.assert_allclose(still[0], -0.5)


def test_numbers_that_drive_are_the_same_everywhere():
    system = BarotropicVorticity(8, configuration="graham2013")
    features = Features(("vorticity", "forcing"))
    assert features.count(system) == 3
    fields = system.initial_state(key=random_key(0)).vorticity[None]
    outside = system.forcing_at(jnp.asarray(1.7))
    seen = features(fields, system, forcing=outside)
    assert seen.shape == (3, 8, 8)
    np.testing.assert_array_equal(seen[1], np.full((8, 8), outside.x))
    np.testing.assert_array_equal(seen[2], np.full((8, 8), outside.y))


def test_a_model_tells_its_closure_what_drives_it():
    closure = LearnedClosure(Features(("c", "forcing")), LastChannel(), Output(), BASIN)
    check_closure(closure, BASIN)
    dt, state = 0.5, BASIN.initial_state(key=random_key(1))
    got = rollout(BASIN.model(dt, closure), state, 4).states.c[-1]
    value = state
    for step in range(4):
        wind = BASIN.forcing_at(jnp.asarray(step * dt))
        rate = BASIN.tendency(value, wind).c + wind.east
        value = TracerState(value.c + dt * rate)
    np.testing.assert_allclose(got, value.c, rtol=1e-5, atol=1e-6)


def test_who_cannot_see_it():
    system = TwoLayerQG(8)
    with pytest.raises(UnknownNameError, match="forcing"):
        LearnedClosure(Features(("q", "forcing")), None, Output(), system)
    free = BarotropicVorticity(8, configuration="graham2013", forcing_amplitude=0.0)
    output, network = Output(None, [Symmetry.for_system(free)]), Conv2d(3, 1, 3, key=random_key(0))
    with pytest.raises(ConfigError, match="see nothing of the forcing"):
        LearnedClosure(Features(("vorticity", "forcing")), network, output, free)
