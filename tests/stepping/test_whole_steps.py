"""Steps and frames: integers of Python and NumPy everywhere, floats and booleans nowhere."""

import jax
import numpy as np
import pytest

from subgrid.errors import ConfigError, KindError
from subgrid.evaluation import RunPlan
from subgrid.stepping import rollout, simulate
from subgrid.systems import TwoLayerQG


@pytest.fixture(scope="module")
def run():
    system = TwoLayerQG(8)
    return system.model(7200.0), system.initial_state(key=jax.random.key(0))


def test_integers_of_numpy_are_steps(untyped, run):
    plain = rollout(*run, 4, 2)
    same = rollout(*run, np.int64(4), np.int32(2))
    assert same.steps.tolist() == plain.steps.tolist() == [2, 4]
    np.testing.assert_array_equal(same.states.q, plain.states.q)
    frames = simulate(*run, np.array(4), np.uint8(2), progress=False)
    np.testing.assert_array_equal(frames["q"].values[1:], plain.states.q)
    assert RunPlan(np.int64(4), np.int64(2)) == RunPlan(4, 2)


@pytest.mark.parametrize("number", [4.0, True, "4", None])
def test_nothing_else_is_a_number_of_steps(untyped, run, number):
    for call in (rollout, simulate, lambda _, __, steps, every=1: RunPlan(steps, every)):
        with pytest.raises(KindError, match="steps must be a whole number"):
            call(*run, number)
        with pytest.raises(KindError, match="save_every must be a whole number"):
            call(*run, 4, number)


def test_steps_are_counted_in_32_bits(run):
    with pytest.raises(ConfigError, match="at most 2147483647"):
        rollout(*run, 2**31)
    with pytest.raises(ConfigError, match="multiple of save_every"):
        RunPlan(5, 2)


@pytest.mark.parametrize("closure", ["none", TwoLayerQG, print])
def test_what_is_no_closure_is_told_how_to_become_one(run, closure):
    model, state = run
    words = "is a class: build it" if isinstance(closure, type) else "subgrid.closures.AbstractClo"
    with pytest.raises(TypeError, match=words):
        model.system.model(model.dt, closure).init(state)
