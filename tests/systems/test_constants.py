"""Every constant of every system acts, differentiates and maps, however it was changed."""

import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from subgrid.stepping import repeat
from subgrid.systems import BarotropicVorticity, KolmogorovFlow, TwoLayerQG

# class, constants (none hidden behind a zero, no force at the Nyquist wave), dt, size of a state
SYSTEMS = {
    "qg": (TwoLayerQG, {"lower_velocity": 0.01}, 3600.0, 1e-5),
    "kolmogorov": (KolmogorovFlow, {"forcing_wavenumber": 2.0}, 0.01, 1.0),
    "barotropic": (BarotropicVorticity, {"forcing_wavenumber": 2.0, "beta": 0.5}, 0.01, 1.0),
}
CONSTANTS = [
    (kind, name)
    for kind, (cls, given, _, _) in SYSTEMS.items()
    for name in (*cls(8, **given).constants, *(["filter_sharpness"] if cls is TwoLayerQG else []))
]
of_every_constant = pytest.mark.parametrize(("kind", "name"), CONSTANTS)


def made(kind: str, **changes):
    cls, given, _, _ = SYSTEMS[kind]
    return cls(16, **{**given, **changes})


def value_of(system, name: str):
    return system.filter_sharpness if name == "filter_sharpness" else system.constants[name]


def with_constant(system, name: str, value):
    return eqx.tree_at(lambda system: value_of(system, name), system, value)


def other_value(system, name: str) -> float:
    """Return another value, at which a whole number of waves of a force fits."""
    value = float(str(np.asarray(value_of(system, name))))
    return value + 1 if name == "forcing_wavenumber" else 1.3 * value


def noise(kind: str):
    """Return states of all scales, so that filter and viscosity have something to do."""
    like = jax.eval_shape(lambda: made(kind).initial_state(key=jax.random.key(0)))
    leaves, structure = jax.tree.flatten(like)
    keys = jax.random.split(jax.random.key(7), len(leaves))
    draws = [
        SYSTEMS[kind][3] * jax.random.normal(key, leaf.shape, leaf.dtype)
        for key, leaf in zip(keys, leaves, strict=True)
    ]
    return structure.unflatten(draws)


def stepped(system, state, dt: float):
    """Return the state three steps later."""
    model = system.model(dt)
    return model.state(repeat(lambda c, _: model.step(c), model.init(state), 3))


@eqx.filter_jit
def faces(system, state, dt: float):
    """Return all that a system says of a state, and where steps take it."""
    seen = {
        "steps": stepped(system, state, dt),
        "tendency": system.tendency(state),
        "diagnostics": system.diagnostics(state),
        "largest_dt": system.largest_dt(state),
    }
    if hasattr(system, "velocity"):
        seen["velocity"] = system.velocity(state)
    if isinstance(system, TwoLayerQG):
        seen["filtered"] = system.after_step(system.to_evolved(state))
        seen["streamfunction"] = system.streamfunction(state)
        seen["budget"] = system.spectral_budget(state)
        seen["of constants"] = (system.stretching, system.background_velocity, system.layer_weights)
    return seen


def distances(first, second) -> list[float]:
    """Return, array by array, the largest difference over the largest value."""
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    return [float(jnp.max(jnp.abs(a - b)) / (jnp.max(jnp.abs(b)) + 1e-37)) for a, b in pairs]


@of_every_constant
def test_a_changed_constant_acts_as_if_the_system_were_made_with_it(kind, name):
    system, state, dt = made(kind), noise(kind), SYSTEMS[kind][2]
    value = other_value(system, name)
    changed, wanted = with_constant(system, name, jnp.float32(value)), made(kind, **{name: value})
    found = faces(changed, state, dt)
    # coefficients in float32 instead of float64: a few roundings, of terms that partly cancel
    assert max(distances(found, faces(wanted, state, dt))) < 2e-5
    assert max(distances(found, faces(system, state, dt))) > 1e-4
    assert changed.settings() == wanted.settings()
    # and back: the bits of before
    same = with_constant(changed, name, value_of(system, name))
    assert max(distances(faces(same, state, dt), faces(system, state, dt))) == 0.0


@pytest.mark.parametrize("kind", SYSTEMS)
def test_the_gradient_of_every_constant_agrees_with_finite_differences(kind, float64):
    system = made(kind, dtype=jnp.float64)
    state = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), noise(kind))

    @eqx.filter_jit
    @eqx.filter_value_and_grad
    def loss(system):
        moved = jax.tree.map(jnp.subtract, stepped(system, state, SYSTEMS[kind][2]), state)
        return sum(jnp.mean((leaf / SYSTEMS[kind][3]) ** 2) for leaf in jax.tree.leaves(moved))

    here, slopes = loss(system)
    for name in [name for of, name in CONSTANTS if of == kind]:
        value = value_of(system, name)
        size = 1e-5 * value
        ahead, behind = (loss(with_constant(system, name, value + s))[0] for s in (size, -size))
        difference = float((ahead - behind) / (2 * size))
        assert abs(difference * value) > 1e-6 * here, name
        # a central difference errs by (1e-5)² of the third derivative; the loss is rounded to 1e-15
        # of itself, over steps of 1e-5 of what it changes by, at least 1e-6
        np.testing.assert_allclose(value_of(slopes, name), difference, rtol=1e-4, err_msg=name)


@pytest.mark.parametrize("kind", SYSTEMS)
def test_mapping_over_stacked_constants_is_one_after_the_other(kind):
    """One program for all members, each with another constant changed."""
    system, state, dt = made(kind), noise(kind), SYSTEMS[kind][2]
    names = [name for of, name in CONSTANTS if of == kind]
    members = [made(kind, **{name: other_value(system, name)}) for name in names]

    def stacked(name: str):
        return jnp.stack([value_of(member, name) for member in (system, *members)])

    @eqx.filter_jit
    def mapped(values):
        def one(values):
            changed = system
            for name, value in values.items():
                changed = with_constant(changed, name, value)
            return stepped(changed, state, dt), changed.largest_dt(state)

        return jax.vmap(one)(values)

    together = mapped({name: stacked(name) for name in names})
    for i, member in enumerate((system, *members)):
        ours = jax.tree.map(lambda leaf, i=i: leaf[i], together)
        # coefficients in float32, and transforms of a batch round in another order
        alone = faces(member, state, dt)
        assert max(distances(ours, (alone["steps"], alone["largest_dt"]))) < 2e-5


def test_a_compiled_loop_computes_the_coefficients_once_before_its_first_step():
    """The step costs what it cost with stored numbers: XLA moves what no step changes out."""
    model = made("qg").model(3600.0)
    carry = model.init(noise("qg"))
    compiled = eqx.filter_jit(lambda model, c: repeat(lambda c, _: model.step(c), c, 9))
    text = compiled.lower(model, carry).compile().compiled.as_text()
    heads = re.split(r"^(?:ENTRY )?%?([\w.\-]+) (?=.*\{$)", text, flags=re.MULTILINE)[1:]
    blocks = dict(zip(heads[::2], heads[1::2], strict=True))

    def reached(name: str) -> str:
        called = re.findall(r"(?:calls|to_apply|body|condition)=%?([\w.\-]+)", blocks[name])
        return blocks[name] + "".join(reached(other) for other in called)

    bodies = re.findall(r"body=%?([\w.\-]+)", text)
    assert bodies
    # the filter is an exponential, the inversion a quotient
    assert "exponential(" in text
    assert "divide(" in text
    for body in bodies:
        assert "exponential(" not in reached(body)
        assert "divide(" not in reached(body)
