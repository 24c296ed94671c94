"""The limit on the energy that a learned closure gives to a flow."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from subgrid import nn
from subgrid.closures import (
    DivergenceFree,
    EnergyLimit,
    Features,
    LearnedClosure,
    Output,
    ScaleCut,
    ZeroMean,
    check_closure,
    load_closure,
    save_closure,
)
from subgrid.errors import ConfigError, ShapeError
from subgrid.stepping import rollout
from subgrid.systems import KolmogorovFlow, KolmogorovState, TwoLayerQG

SYSTEM = KolmogorovFlow(16)
STATE = SYSTEM.initial_state(key=jax.random.key(1))
increment_of = eqx.filter_jit(lambda closure, state: closure(state)[0])


def limited(closure, limit):
    """Return the closure with another limit, or with none."""
    output = closure.output.without(EnergyLimit)
    if limit is not None:
        output = output.with_constraints(EnergyLimit(limit))
    return closure.changed(output=output)


class Along(eqx.Module):
    """A network that returns the flow it sees and some of its neighbours."""

    factor: float

    def __call__(self, seen):
        return self.factor * (seen + 0.5 * jnp.roll(seen[::-1], 1, -1))


def closure_of(factor=0.5, constraints=(), scaler=None):
    return LearnedClosure(Features(), Along(factor), Output(scaler, constraints))


def limit_of(closure):
    (limit,) = [c for c in closure.output.constraints if isinstance(c, EnergyLimit)]
    return limit.limit


def power(state, increment):
    """Return <u S_u + v S_v> in float64."""
    pairs = zip(jax.tree.leaves(state), jax.tree.leaves(increment), strict=True)
    return sum(np.mean(np.float64(x) * np.float64(s)) for x, s in pairs)


def same_bits(first, second):
    return all(
        np.array_equal(np.asarray(a).view(np.uint32), np.asarray(b).view(np.uint32))
        for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    )


FREE = increment_of(closure_of(), STATE)
POWER = power(STATE, FREE)


@pytest.mark.parametrize("share", [0.9, 0.1, 0.0, -0.5])
def test_the_power_ends_at_the_limit(share):
    assert POWER > 1
    limit = share * POWER
    held = increment_of(limited(closure_of(), limit), STATE)
    np.testing.assert_allclose(power(STATE, held), limit, rtol=0, atol=1e-6 * POWER)  # float32 sums
    # what is taken away is a share of the flow, one for both components
    taken = [
        (f - h) / x for f, h, x in zip(*map(jax.tree.leaves, (FREE, held, STATE)), strict=True)
    ]
    square = power(STATE, STATE)
    for component, x in zip(taken, jax.tree.leaves(STATE), strict=True):
        fast = np.abs(x) > 0.5  # quotients of roundings elsewhere
        wanted = (POWER - limit) / square
        np.testing.assert_allclose(component[fast], wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("run", [increment_of, lambda closure, state: closure(state)[0]])
def test_below_the_limit_no_bit_changes(run):
    free = run(closure_of(), STATE)
    assert same_bits(run(limited(closure_of(), 1.001 * POWER), STATE), free)
    assert not same_bits(run(limited(closure_of(), 0.999 * POWER), STATE), free)
    taking = closure_of(-0.5)  # it takes energy
    assert same_bits(run(limited(taking, 0.0), STATE), run(taking, STATE))


def test_nothing_happens_at_rest_and_the_gradient_is_finite_there():
    rest = jax.tree.map(jnp.zeros_like, STATE)
    closure = closure_of(1.0, [EnergyLimit(0.0)], nn.Scaler([1.0, -2.0], [1.0, 1.0]))
    held = increment_of(closure, rest)
    np.testing.assert_array_equal(held.u, 1.0)
    np.testing.assert_array_equal(held.v, -2.0)
    gradient = jax.grad(lambda x: jnp.sum(closure(x)[0].u))(rest)
    assert all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(gradient))
    # and close to it the correction is no larger than the increment
    slow = jax.tree.map(lambda x: 1e-12 * jnp.abs(x), STATE)
    near = increment_of(closure, slow)
    assert all(float(jnp.abs(leaf).max()) < 10 for leaf in jax.tree.leaves(near))


def test_it_acts_in_runs_and_on_members():
    dt = 0.25 * SYSTEM.grid.dx / 7
    runs = {
        limit: rollout(SYSTEM.model(dt, limited(closure_of(), limit)), STATE, 4, 4)
        for limit in (None, 0.0)
    }
    energies = {limit: power(run.states, run.states) for limit, run in runs.items()}
    assert energies[0.0] < 0.99 * energies[None]
    # two members, of which the limit holds one alone
    both = jax.tree.map(lambda x: jnp.stack([x, 0.1 * x]), STATE)
    closure = limited(closure_of(), 0.1 * POWER)
    held = eqx.filter_jit(jax.vmap(lambda state: closure(state)[0]))(both)
    powers = [power(*(jax.tree.map(lambda x, i=i: x[i], t) for t in (both, held))) for i in (0, 1)]
    np.testing.assert_allclose(powers, [0.1 * POWER, 0.01 * POWER], rtol=1e-5)


def test_it_comes_back_from_a_folder(tmp_path):
    network = nn.build("psm4", in_channels=2, out_channels=1, key=jax.random.key(0), width=0.125)
    output = Output(nn.Scaler([0.0], [10.0]), [DivergenceFree(SYSTEM.grid)])
    free = LearnedClosure(Features(), network, output)
    increment = increment_of(free, STATE)
    size = np.sqrt(power(increment, increment) * power(STATE, STATE))
    limit = float(power(STATE, increment) - 0.01 * size)
    save_closure(limited(free, limit), tmp_path)
    again = load_closure(tmp_path)
    assert limit_of(again) == limit
    held = increment_of(again, STATE)
    np.testing.assert_allclose(power(STATE, held), limit, rtol=0, atol=1e-6 * size)  # float32 sums
    assert same_bits(increment_of(limited(again, None), STATE), increment)


def test_with_and_without_it_the_rest_is_the_same():
    kept = ZeroMean(), ScaleCut(0.7)
    closure = closure_of(constraints=kept)
    held = limited(limited(closure, 1.0), 2.0)
    assert held.output.constraints == (*kept, EnergyLimit(2.0))
    assert held.network is closure.network
    assert limited(held, None) == closure


def test_it_is_for_velocities_alone():
    layers = TwoLayerQG(16, 12)
    closure = closure_of(constraints=[EnergyLimit(1.0)])
    with pytest.raises(ConfigError, match=r"TwoLayerQG has none among \['q'\]"):
        EnergyLimit.for_system(layers)
    assert EnergyLimit.for_system(SYSTEM, limit=1.0) == EnergyLimit(1.0)
    with pytest.raises(ShapeError, match=r"velocities \['u', 'v'\], .*each, got .*'q': \(2, 12"):
        check_closure(closure, layers)
    with pytest.raises(ShapeError, match=r"'u': \(2, 4, 4\)"):
        closure({"u": jnp.zeros((2, 4, 4)), "v": jnp.zeros((2, 4, 4))})
    with pytest.raises(ShapeError, match="got a tuple"):
        closure((jnp.zeros((2, 16, 16)),))
    with pytest.raises(ShapeError, match="'pressure'"):
        closure({"u": jnp.zeros((4, 4)), "pressure": jnp.zeros((4, 4))})
    check_closure(closure, SYSTEM)
    assert type(closure(STATE)[0]) is KolmogorovState


def test_other_variables_of_a_state_are_left_alone():
    limit = EnergyLimit(0.5 * POWER)
    state = {"depth": 3 * STATE.u, "u": STATE.u, "v": STATE.v}
    increment = {"depth": 2 * FREE.v, "u": FREE.u, "v": FREE.v}
    held = limit.in_run(increment, state)
    np.testing.assert_array_equal(held["depth"], increment["depth"])
    wanted = limit.in_run(FREE, STATE)
    assert same_bits((held["u"], held["v"]), (wanted.u, wanted.v))


def test_wrong_limits_are_named():
    for limit in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="energy limit must be a finite number"):
            EnergyLimit(limit)
    with pytest.raises(ConfigError, match="has no number yet"):
        closure_of(constraints=[EnergyLimit()])(STATE)
