"""What a network sees of a state: variables and resolved tendencies, as channels."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from subgrid import nn
from subgrid.closures import (
    AbstractClosure,
    Features,
    LearnedClosure,
    Output,
    Smagorinsky,
    check_closure,
    in_system,
    load_closure,
    save_closure,
)
from subgrid.errors import ConfigError, ShapeError, UnknownNameError
from subgrid.stepping import rollout
from subgrid.systems import BarotropicVorticity, KolmogorovFlow, TwoLayerQG

PV_SCALE = jnp.array([8e-6, 1e-6])[:, None, None]


class Pick(eqx.Module):
    """A network that returns some of its channels."""

    first: int

    def __call__(self, fields):
        return fields[self.first : self.first + 2]


def unscaled(count):
    return nn.Scaler(jnp.zeros(count), jnp.ones(count))


def closure_of(system, names, network, scaler=None):
    return LearnedClosure(Features(names, scaler), network, Output(), system)


@pytest.fixture(scope="module")
def system():
    return TwoLayerQG(16, 12)


@pytest.fixture(scope="module")
def state(system):
    return system.State(PV_SCALE * jax.random.normal(jax.random.key(1), (2, 12, 16)))


@pytest.mark.parametrize("names", [("q",), ("tendency",), ("q", "tendency"), ("tendency", "q")])
def test_channels_come_in_the_order_of_the_names(system, state, names):
    features = Features(names)
    found = features(state.q, system)
    wanted = {"q": state.q, "tendency": system.tendency(state).q}
    np.testing.assert_array_equal(found, jnp.concatenate([wanted[name] for name in names]))
    assert features.count(system) == found.shape[0] == 2 * len(names)


def test_a_closure_is_given_its_inputs_standardised(system, state):
    scaler = nn.Scaler(jnp.arange(4.0) * 1e-7, jnp.array([8e-6, 1e-6, 3e-11, 2e-12]))
    closure = closure_of(system, ("q", "tendency"), Pick(2), scaler)
    tendency = system.tendency(state).q
    wanted = (tendency - scaler.mean[2:, None, None]) / scaler.scale[2:, None, None]
    found, _ = closure(state)
    np.testing.assert_allclose(found.q, wanted, rtol=1e-6)  # a rounding or two


def test_a_network_that_returns_the_tendency_doubles_it_online(system, state):
    closure = closure_of(system, ("q", "tendency"), Pick(2))
    check_closure(closure, system)
    slow = rollout(system.model(3600.0, closure), state, 1).states.q[-1]
    before = system.to_state(system.after_step(system.to_evolved(state))).q
    alone = rollout(system.model(3600.0), state, 1).states.q[-1]
    # the first step is Euler forward and then the filter
    np.testing.assert_allclose(slow - before, 2 * (alone - before), rtol=0, atol=1e-11)
    assert float(jnp.max(jnp.abs(alone - before))) > 1e-8


def test_a_model_hands_on_the_tendency_it_has_formed(system, state):
    # the closure's own would be another: its system is the jet's, and fails when asked
    class Silent(TwoLayerQG):
        def tendency(self, state, forcing=None):
            raise AssertionError("formed a second time")

    closure = closure_of(Silent(16, 12, "jet"), ("tendency",), Pick(0))
    assert closure.takes_tendency
    # put in past the check, which refuses a closure of another system
    own = system.model(3600.0, closure_of(system, ("tendency",), Pick(0)))
    model = eqx.tree_at(lambda model: model.closure, own, closure)
    with pytest.raises(AssertionError, match="second time"):
        closure(state)
    carry = jax.eval_shape(system.model(3600.0).init, state)
    jax.eval_shape(model.step, carry)  # does not ask it
    with pytest.raises(AssertionError, match="second time"):
        jax.eval_shape(model.step, carry, state)  # a forcing from outside is none of its inputs
    assert not closure_of(system, ("q",), Pick(0)).takes_tendency
    assert not Smagorinsky(system).takes_tendency


def test_an_own_closure_is_given_the_tendency_if_it_takes_it(system, state):
    class Doubling(AbstractClosure):
        @property
        def takes_tendency(self):
            return True

        def __call__(self, state, memory=None, forcing=None, *, tendency=None):
            return jax.tree.map(jnp.zeros_like, state) if tendency is None else tendency, memory

    own = rollout(system.model(3600.0, Doubling()), state, 3).states.q
    learned = closure_of(system, ("q", "tendency"), Pick(2))
    np.testing.assert_allclose(
        own, rollout(system.model(3600.0, learned), state, 3).states.q, rtol=1e-6
    )
    assert float(jnp.max(jnp.abs(own - rollout(system.model(3600.0), state, 3).states.q))) > 1e-8


def test_gradients_reach_the_network_and_the_state(system, state):
    network = nn.Conv2d(4, 2, 3, key=jax.random.key(0))
    closure = closure_of(system, ("q", "tendency"), network)

    def size(closure, q):
        return jnp.sum(closure(system.State(q))[0].q ** 2)

    of_weights = eqx.filter_jit(eqx.filter_grad(size))(closure, state.q).network.weight
    of_state = jax.jit(jax.grad(lambda q: size(closure, q)))(state.q)
    assert float(jnp.min(jnp.max(jnp.abs(of_weights[:, 0]), axis=(1, 2)))) > 0
    assert bool(jnp.all(jnp.isfinite(of_state)))
    assert float(jnp.max(jnp.abs(of_state))) > 0


def test_the_tendency_is_that_of_the_system_it_runs_in(system, state):
    jet = TwoLayerQG(16, 12, "jet")
    closure = closure_of(jet, ("q", "tendency"), Pick(2))
    np.testing.assert_array_equal(closure(state)[0].q, jet.tendency(state).q)
    bound = in_system(closure, system)
    np.testing.assert_array_equal(bound(state)[0].q, system.tendency(state).q)
    assert float(jnp.max(jnp.abs(bound(state)[0].q - closure(state)[0].q))) > 0
    plain = LearnedClosure(Features(), Pick(0), Output())
    in_system(plain, system).check_system(system)
    with pytest.raises(ConfigError, match="another system"):
        in_system(plain, system).check_system(jet)
    smagorinsky = Smagorinsky(system)
    assert in_system(smagorinsky, system) is smagorinsky


def test_it_is_stored_with_its_system(system, state, tmp_path):
    closure = closure_of(system, ("tendency", "q"), nn.Conv2d(4, 2, 3, key=jax.random.key(0)))
    save_closure(closure, tmp_path / "model")
    again = load_closure(tmp_path / "model")
    np.testing.assert_array_equal(again(state)[0].q, closure(state)[0].q)
    assert again.features.names == ("tendency", "q")


@pytest.mark.parametrize(
    "names", [("u", "v", "vorticity"), ("vorticity",), ("vorticity", "tendency", "v")]
)
def test_a_vorticity_that_the_system_offers_is_an_input(names):
    flow = KolmogorovFlow(16, 12)
    state = flow.initial_state(key=jax.random.key(2))
    features = Features(names)
    found = features(jnp.stack([state.u, state.v]), flow)
    rate = flow.tendency(state)
    wanted = {
        "u": [state.u],
        "v": [state.v],
        "vorticity": [flow.vorticity(state)],
        "tendency": [rate.u, rate.v],
    }
    np.testing.assert_array_equal(found, jnp.stack([c for name in names for c in wanted[name]]))
    assert features.count(flow) == found.shape[0]
    assert float(jnp.std(flow.vorticity(state))) > 1


def test_the_vorticity_is_that_of_the_system_it_runs_in(tmp_path):
    flow = KolmogorovFlow(16)
    state = flow.initial_state(key=jax.random.key(2))
    closure = closure_of(flow, ("vorticity", "u", "v"), Pick(0))
    assert not closure.takes_tendency
    check_closure(closure, flow)
    np.testing.assert_array_equal(closure(state)[0].u, flow.vorticity(state))
    wider = KolmogorovFlow(16, domain_scale=4)
    np.testing.assert_allclose(
        in_system(closure, wider)(state)[0].u, 0.5 * flow.vorticity(state), rtol=1e-5, atol=1e-5
    )
    save_closure(closure, tmp_path)
    again = load_closure(tmp_path, trust=True)
    np.testing.assert_array_equal(again(state)[0].u, closure(state)[0].u)


def test_a_vorticity_that_the_system_does_not_offer_is_unknown(system):
    with pytest.raises(UnknownNameError, match=r"feature 'vorticity'.*Known: q, tendency\."):
        Features(["q", "vorticity"]).check(system)
    with pytest.raises(UnknownNameError, match="unknown feature 'vorticity'"):
        in_system(closure_of(KolmogorovFlow(16), ("vorticity", "u"), Pick(0)), system)
    with pytest.raises(UnknownNameError, match=r"'vortices'.*Known: u, v, vorticity, tendency\."):
        Features(["vortices"]).check(KolmogorovFlow(16))
    # where it is the variable it is that
    flow = BarotropicVorticity(16)
    features = Features(["vorticity", "tendency"])
    features.check(flow)
    field = jax.random.normal(jax.random.key(0), (1, 16, 16))
    np.testing.assert_array_equal(features(field, flow)[:1], field)
    assert features.count(flow) == 2


def test_wrong_names_and_shapes_are_named(system):
    with pytest.raises(UnknownNameError, match=r"unknown feature 'tendencies'.*'tendency'"):
        Features(["tendencies"]).check(system)
    for names in ([], ["q", "q"]):
        with pytest.raises(ValueError, match="each once"):
            Features(names)
    with pytest.raises(ValueError, match=r"features \['q'\] are formed by a system: give it"):
        LearnedClosure(Features(["q"]), Pick(0), Output())
    with pytest.raises(ShapeError, match=r"\(2, 8, 8\).*\(2, 12, 16\)"):
        Features(["q"])(jnp.zeros((2, 8, 8)), system)
    with pytest.raises(ShapeError, match="are 4 channels, but the scaler has 2"):
        closure_of(system, ("q", "tendency"), Pick(0), unscaled(2))


def test_constants_of_the_system_are_no_weights(system):
    network = nn.Conv2d(4, 2, 3, key=jax.random.key(0))
    closure = closure_of(system, ("q", "tendency"), network)
    assert nn.parameter_count(closure) == nn.parameter_count(network) == 9 * 4 * 2 + 2
    assert not any(jax.tree.leaves(nn.trainable(closure).features))
    assert not any(jax.tree.leaves(nn.trainable(closure)._system))
