"""Learned closures with the symmetries of their system."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_systems import Advection

from subgrid.closures import (
    Features,
    FluxForm,
    LearnedClosure,
    Output,
    Symmetry,
    ZeroMean,
    load_closure,
    save_closure,
    state_to_channels,
)
from subgrid.closures.laws import closure_laws
from subgrid.errors import ConfigError
from subgrid.grids import PeriodicLine, low_pass
from subgrid.nn import Conv2d, Scaler
from subgrid.randomness import random_key
from subgrid.systems import BarotropicVorticity, KolmogorovFlow, TwoLayerQG

FREE = {"forcing_amplitude": 0.0}
SYSTEMS = {
    "qg": (TwoLayerQG(16), 2),
    "kolmogorov": (KolmogorovFlow(16), 2),
    "barotropic": (BarotropicVorticity(8), 2),
    "free": (BarotropicVorticity(8, **FREE), 8),
    "beta": (BarotropicVorticity(8, beta=3.0, **FREE), 2),
    "oblong": (BarotropicVorticity(8, 16, **FREE), 4),
}


def fields_of(system, seed=0):
    """Return random channels of all scales, as large as those of a state."""
    like = state_to_channels(system.initial_state(key=random_key(0)))
    return jnp.std(like) * jax.random.normal(random_key(seed), like.shape)


def close(got, wanted):
    """Compare to rounding: sums over images, and over taps, come in another order."""
    np.testing.assert_allclose(got, wanted, rtol=0, atol=3e-5 * float(jnp.max(jnp.abs(wanted))))


def learned(system, *constraints, network=None):
    """Return an untrained closure, whose network has no symmetry of its own."""
    channels = len(fields_of(system))
    output = Output(None, constraints).scaled(Scaler.identity(channels))
    if network is None:
        out = output.channels(channels)
        network = Conv2d(channels, out, 3, key=random_key(7))
    sizes = np.full(channels, float(jnp.std(fields_of(system))))
    features = Features(scaler=Scaler(np.zeros(channels), sizes))
    return LearnedClosure(features, network, output, system)


@pytest.mark.parametrize("name", SYSTEMS)
def test_systems_have_the_symmetries_that_they_state(name):
    system, size = SYSTEMS[name]
    constraint = Symmetry.for_system(system)
    assert len(constraint.images) == size - 1
    # without the shortest waves, whose derivative on a grid has no symmetry
    fields = low_pass(fields_of(system), 0.5)

    def rate(fields):
        like = system.initial_state(key=random_key(0))
        leaves, structure = jax.tree.flatten(like)
        parts = jnp.split(fields, len(leaves))
        state = structure.unflatten(
            [p.reshape(leaf.shape) for p, leaf in zip(parts, leaves, strict=True)]
        )
        return state_to_channels(system.tendency(state))

    wanted = rate(fields)
    for image in constraint.images:
        got = rate(constraint.image(fields, image))
        close(got, constraint.image(wanted, image))


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_increment_has_them_and_keeps_other_constraints(name):
    system, _ = SYSTEMS[name]
    constraint = Symmetry.for_system(system)
    bare = learned(system, FluxForm.for_system(system))
    closure = learned(system, FluxForm.for_system(system), constraint, ZeroMean())
    fields = fields_of(system)
    increment = closure.predict(fields)[0]
    for image in constraint.images:
        wanted = constraint.image(increment, image)
        close(closure.predict(constraint.image(fields, image))[0], wanted)
        before = bare.predict(fields)[0]
        turned = bare.predict(constraint.image(fields, image))[0]
        # the network alone has none of them
        assert jnp.max(jnp.abs(turned - constraint.image(before, image))) > 0.01 * jnp.std(before)
    assert abs(float(jnp.mean(increment))) < 1e-5 * float(jnp.std(increment))


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(list(SYSTEMS)), st.integers(0, 2**16))
def test_what_is_symmetric_already_stays_and_images_form_a_group(name, seed):
    system, _ = SYSTEMS[name]
    constraint = Symmetry.for_system(system)
    fields = np.asarray(jax.random.normal(random_key(seed), fields_of(system).shape))
    close(constraint.around(lambda x: x, jnp.asarray(fields)), fields)
    images = [constraint.image(jnp.asarray(fields), image) for image in constraint.images]
    for first in constraint.images:
        back = constraint.image(constraint.image(jnp.asarray(fields), first), first[::-1])
        np.testing.assert_array_equal(back, fields)
        for second in constraint.images:
            product = constraint.image(constraint.image(jnp.asarray(fields), first), second)
            assert any(np.array_equal(product, one) for one in [fields, *images])


def test_a_gradient_reaches_the_weights_through_all_images():
    system, _ = SYSTEMS["free"]
    closure, fields = learned(system, Symmetry.for_system(system)), fields_of(system)
    grad = eqx.filter_grad(lambda c: jnp.sum(c.predict(fields)[0] ** 2))(closure)
    weights = grad.network.weight[..., 0, 0]
    assert jnp.all(jnp.isfinite(weights))
    # a network for a pseudoscalar that keeps all mirrors is odd in its input: no constant
    assert float(jnp.abs(grad.network.bias[0])) < 1e-4 * float(jnp.max(jnp.abs(weights)))


def test_the_tendency_of_an_image_is_that_image():
    system, _ = SYSTEMS["qg"]
    features = Features(("q", "tendency"), Scaler(np.zeros(4), [1e-5, 1e-6, 1e-11, 1e-12]))
    output = Output(Scaler.identity(2), [Symmetry.for_system(system)])
    closure = LearnedClosure(features, Conv2d(4, 2, 3, key=random_key(1)), output, system)
    state = system.initial_state(key=random_key(0))
    fields = state_to_channels(state)
    known = state_to_channels(system.tendency(state))
    close(closure.predict(fields, tendency=known)[0], closure.predict(fields)[0])


def test_it_is_claimed_stored_and_checked(tmp_path):
    system, _ = SYSTEMS["qg"]
    closure = learned(system, Symmetry.for_system(system))
    assert closure.claims == ("mirror symmetric",)
    mirrored = next(one for one in closure_laws(closure, system) if one.name == "mirror along y")
    assert mirrored.holds, mirrored.detail
    save_closure(closure, tmp_path / "model")
    fields = fields_of(system)
    again = load_closure(tmp_path / "model").predict(fields)[0]
    np.testing.assert_array_equal(again, closure.predict(fields)[0])


class Remembering(eqx.Module):
    def init(self, seen, *, key):
        return jnp.zeros(())

    def __call__(self, seen, memory):
        return seen, memory


def test_where_it_does_not_apply():
    with pytest.raises(ConfigError, match="Advection states none"):
        Symmetry.for_system(Advection(PeriodicLine(16, 1.0)))

    class Oblong(BarotropicVorticity):
        symmetries = (("diagonal",),)

    with pytest.raises(ConfigError, match=r"symmetry 'diagonal', but .* \['y', 'x'\]"):
        Symmetry.for_system(Oblong(8, 16, **FREE))
    system, _ = SYSTEMS["qg"]
    with pytest.raises(ConfigError, match="no memory"):
        learned(system, Symmetry.for_system(system), network=Remembering())
