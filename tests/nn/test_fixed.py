"""What is fixed is found by no training, and comes back with its bits."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from subgrid.closures import CLOSURES, Features, LearnedClosure, Output, load_closure, save_closure
from subgrid.nn import Cascade, Conv2d, Fixed, Scaler, SeparatedNetwork, parameter_count, trainable
from subgrid.systems import KolmogorovFlow, Lorenz96, TwoLayerQG

KEY = jax.random.key(0)
QG = TwoLayerQG(8)
# anything but 0 and 1, so that a step or a decay would show
TWO = Scaler([0.3, -0.2], [2.0, 0.7])
FOUR = Scaler([0.3, -0.2, 0.1, 0.4], [2.0, 0.7, 1.5, 0.9])


def conv(inputs, outputs=2):
    return Conv2d(inputs, outputs, 3, key=KEY)


def learned():
    return LearnedClosure(Features(("q", "tendency"), FOUR), conv(4), Output(TWO), QG)


def cascade():
    networks = [conv(2), conv(4)]
    network = Cascade(networks, (8, 6), jnp.array([0.5, 3.0]))
    return LearnedClosure(Features(scaler=TWO), network, Output(TWO))


def separated():
    return SeparatedNetwork(conv(2), TWO, TWO, "direct", 8)


def classical(name):
    flow = KolmogorovFlow(8) if name.startswith("staggered") else QG
    if name in (*ARGUMENTS, "wilks-2005"):
        flow = Lorenz96(8, 0)
    return lambda: CLOSURES.get(name)(flow, **ARGUMENTS.get(name, {}))


MADE = {"learned": learned, "cascade": cascade, "separated": separated}
ARGUMENTS = {  # of those that do not make do with a system
    "polynomial": {"coefficients": [0.5, -0.8]},
    "autoregressive": {"coefficients": [0.5, -0.8], "persistence": 0.5, "spread": 1.0},
}
MADE |= {name: classical(name) for name in CLOSURES.names() if name != "learned"}


def constants(module):
    """Return the numbers of a module that are not to be learned."""
    if isinstance(module, SeparatedNetwork):
        return module.inputs.mean, module.inputs.scale, module.targets.mean, module.targets.scale
    if not isinstance(module, LearnedClosure):
        return jax.tree.leaves(module.system)
    scalers = module.features.scaler, module.output.scaler
    found = [number for one in scalers for number in (one.mean, one.scale)]
    if isinstance(module.network, Cascade):
        found.append(module.network.scales)
    return found if module.system is None else [*found, *jax.tree.leaves(module.system)]


@pytest.mark.parametrize("name", MADE)
def test_a_step_with_weight_decay_leaves_what_is_not_learned(name):
    """The idiom of Equinox's documentation, on every class that holds such numbers."""
    module = MADE[name]()
    weights, rest = eqx.partition(module, eqx.is_inexact_array)
    assert jax.tree.leaves(weights)
    optimiser = optax.adamw(0.1, weight_decay=0.5)
    slope = jax.tree.map(jnp.ones_like, weights)
    change, _ = optimiser.update(slope, optimiser.init(weights), weights)
    stepped = eqx.combine(optax.apply_updates(weights, change), rest)
    for before, after in zip(constants(module), constants(stepped), strict=True):
        assert np.asarray(before).tobytes() == np.asarray(after).tobytes()
    assert parameter_count(stepped) == sum(leaf.size for leaf in jax.tree.leaves(weights))
    assert jax.tree.leaves(trainable(module)) == [
        eqx.is_inexact_array(leaf) for leaf in jax.tree.leaves(module)
    ]


def test_gradients_reach_the_network_alone():
    closure = learned()
    state = TwoLayerQG.State(1e-6 * jax.random.normal(KEY, (2, 8, 8)))
    slope = eqx.filter_grad(lambda c: jnp.sum(c(state)[0].q ** 2))(closure)
    assert len(jax.tree.leaves(slope)) == 2  # weight and bias
    assert float(jnp.max(jnp.abs(slope.network.weight))) > 0


@pytest.mark.slow
def test_a_system_alone_is_differentiated():
    state = TwoLayerQG.State(1e-6 * jax.random.normal(KEY, (2, 8, 8)))
    slope = eqx.filter_grad(lambda system: jnp.sum(system.tendency(state).q ** 2))(QG)
    assert jax.tree.leaves(slope)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "complex64", "complex128"])
def test_every_bit_comes_back(dtype, float64):
    random = np.random.default_rng(3)
    words = random.integers(0, 256, 16 * 12, dtype=np.uint8)  # NaN, infinities, -0 and all
    array = jnp.asarray(words.view(dtype))
    tree = {"a": array, "b": (jnp.arange(3), None, "text")}
    found = jax.jit(lambda fixed: fixed.value["a"])(Fixed({"a": array}))
    assert np.asarray(found).tobytes() == np.asarray(array).tobytes()
    back = Fixed(tree).value
    assert np.asarray(back["a"]).tobytes() == np.asarray(array).tobytes()
    assert back["a"].dtype == dtype
    assert back["b"][0].dtype == tree["b"][0].dtype
    assert not jax.tree.leaves(eqx.filter(Fixed(tree), eqx.is_inexact_array))


def test_a_cast_of_the_bits_is_an_error(float64):
    cast = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), TWO)
    with pytest.raises(TypeError, match="were cast to float64; change only the leaves"):
        cast.normalise(jnp.ones((2, 4, 4)))


def test_other_numbers_compile_nothing():
    count = 0

    @eqx.filter_jit
    def apply(scaler, field):
        nonlocal count
        count += 1
        return scaler.normalise(field)

    field = jnp.ones((2, 4, 4))
    for scale in (1.0, 2.0, 4.0):
        np.testing.assert_array_equal(apply(Scaler([0.0, 0.0], [scale, 1.0]), field)[0], 1 / scale)
    assert count == 1


class Own(eqx.Module):
    """A module of a user's that holds a system fixed."""

    system: Fixed


def test_files_hold_what_is_fixed_under_its_own_name(tmp_path):
    from safetensors.numpy import load_file

    save_closure(learned(), tmp_path / "learned")
    names = load_file(tmp_path / "learned" / "weights.safetensors")
    assert names["features.scaler.scale"].dtype == np.float32
    assert not any(name.startswith("system") for name in names)  # which settings build again
    assert load_closure(tmp_path / "learned").system.settings() == QG.settings()
    save_closure(Own(Fixed(QG)), tmp_path / "own")
    back = load_closure(tmp_path / "own", trust=True)
    assert isinstance(back.system, Fixed)
    assert back.system.value.settings() == QG.settings()
