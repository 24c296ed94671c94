"""Networks as closures: channels, scaling, conservation of the mean, errors of shape."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subgrid import nn
from subgrid.closures import (
    Features,
    FluxForm,
    LearnedClosure,
    Output,
    ScaleCut,
    ZeroMean,
    channels_to_state,
    check_closure,
    state_to_channels,
)
from subgrid.errors import ShapeError
from subgrid.grids import low_pass, scaled_wavenumber
from subgrid.stepping import rollout
from subgrid.systems import TwoLayerQG

PV_SCALE = np.array([8e-6, 1e-6], np.float32)
FORCING_SCALE = np.array([7e-12, 1e-13], np.float32)
increment_of = eqx.filter_jit(lambda closure, state: closure(state)[0])


class TwoFields(eqx.Module):
    """A state of two single-level fields, as of Kolmogorov flow."""

    u: jax.Array
    v: jax.Array


def scaler(mean, scale) -> nn.Scaler:
    return nn.Scaler(jnp.asarray(mean, jnp.float32), jnp.asarray(scale, jnp.float32))


def learned(out_channels: int = 2, output_scale=FORCING_SCALE, constraints=()) -> LearnedClosure:
    network = nn.build(
        "psm4", in_channels=2, out_channels=out_channels, key=jax.random.key(0), width=0.125
    )
    mean = 0.1 * np.asarray(output_scale)
    features = Features(scaler=scaler([5e-7, 0.0], PV_SCALE))
    return LearnedClosure(features, network, Output(scaler(mean, output_scale), constraints))


def unscaled(network, constraints=(), features: int = 2, outputs: int = 2) -> LearnedClosure:
    seen, said = nn.Scaler.identity(features), nn.Scaler.identity(outputs)
    return LearnedClosure(Features(scaler=seen), network, Output(said, constraints))


def state(system: TwoLayerQG, seed: int = 1):
    noise = jax.random.normal(jax.random.key(seed), (2, *system.grid.shape))
    return system.State(jnp.asarray(PV_SCALE)[:, None, None] * noise)


@pytest.fixture(scope="module")
def system():
    return TwoLayerQG(16, 12)


def test_scaling_is_inside(system):
    closure = learned()
    x = state(system)
    scaled = (np.asarray(x.q) - np.array([5e-7, 0.0])[:, None, None]) / PV_SCALE[:, None, None]
    output = np.asarray(eqx.filter_jit(closure.network)(jnp.asarray(scaled, jnp.float32)))
    expected = output * FORCING_SCALE[:, None, None] + 0.1 * FORCING_SCALE[:, None, None]
    # float32: the same operations in another order
    np.testing.assert_allclose(
        increment_of(closure, x).q / FORCING_SCALE[:, None, None],
        expected / FORCING_SCALE[:, None, None],
        atol=1e-5,
    )


def test_fits_its_system_and_runs_in_it(system):
    closure = learned()
    check_closure(closure, system)
    end = rollout(system.model(3600.0, closure=closure), state(system), steps=4, save_every=4)
    bare = rollout(system.model(3600.0), state(system), steps=4, save_every=4)
    assert int(end.blew_up_at) == -1
    assert not np.array_equal(end.states.q, bare.states.q)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**31 - 1), rows=st.integers(0, 11), columns=st.integers(0, 15))
def test_convolutions_are_shift_equivariant(seed, rows, columns):
    system = TwoLayerQG(16, 12)
    closure, x = learned(), state(system, seed)
    plain = increment_of(closure, x).q
    shifted = increment_of(closure, system.State(jnp.roll(x.q, (rows, columns), (1, 2)))).q
    bound = 1e-5 * np.asarray(jnp.abs(plain)).max()  # float32 sums over taps
    np.testing.assert_allclose(
        shifted, jnp.roll(plain, (rows, columns), (1, 2)), rtol=0, atol=bound
    )


@pytest.mark.parametrize("kind", [ZeroMean, FluxForm])
def test_mean_is_conserved(system, kind):
    plain = increment_of(learned(), state(system)).q
    constraints = [kind.for_system(system)]
    if kind is FluxForm:
        fluxes = np.tile(FORCING_SCALE * 1e5, 2)  # m/s²: forcing times a length
        closure = learned(4, fluxes, constraints)
    else:
        closure = learned(constraints=constraints)
    assert closure.claims == ("conserves mean",)
    q = increment_of(closure, state(system)).q
    assert np.all(np.abs(q).max(axis=(1, 2)) > 0)
    largest = np.abs(plain).max(axis=(1, 2))
    assert np.all(np.abs(np.mean(q, axis=(1, 2))) < 1e-6 * largest)  # float32 sums
    assert np.all(np.abs(np.mean(plain, axis=(1, 2))) > 1e-3 * largest)


def test_flux_form_is_minus_the_divergence(system):
    x_wave = np.sin(2 * np.pi * system.grid.x / system.grid.length_x)
    y_wave = np.cos(4 * np.pi * system.grid.y / system.grid.length_y)
    shape = system.grid.shape
    flux_x = np.broadcast_to(x_wave[None, :], shape)
    flux_y = np.broadcast_to(y_wave[:, None], shape)
    fluxes = jnp.asarray(np.stack([flux_x, 0 * flux_x, 0 * flux_y, flux_y]), jnp.float32)
    closure = unscaled(lambda x: fluxes, [FluxForm(system.grid)], outputs=4)
    increment = increment_of(closure, state(system)).q
    k, l = 2 * np.pi / system.grid.length_x, 4 * np.pi / system.grid.length_y
    expected = np.zeros((2, *shape))
    expected[0] = -k * np.cos(2 * np.pi * system.grid.x / system.grid.length_x)[None, :]
    expected[1] = l * np.sin(4 * np.pi * system.grid.y / system.grid.length_y)[:, None]
    np.testing.assert_allclose(increment, expected, atol=1e-5 * k)  # float32 transforms


def test_scales_beyond_the_cut_are_left_out(system):
    x = state(system)
    plain, cut = (increment_of(learned(constraints=c), x).q for c in ((), [ScaleCut(0.5)]))
    np.testing.assert_allclose(cut, low_pass(plain, 0.5), rtol=0, atol=1e-6 * np.abs(plain).max())
    power = np.abs(np.fft.rfft2(cut)) ** 2
    beyond = scaled_wavenumber(system.grid) > 0.5 * np.pi
    assert np.sum(power * beyond) < 1e-10 * np.sum(power)
    assert np.sum(np.abs(np.fft.rfft2(plain)) ** 2 * beyond) > 1e-3 * np.sum(power)


def test_states_of_several_fields_become_channels_in_field_order():
    x = TwoFields(jnp.ones((4, 6)), 2 * jnp.ones((4, 6)))
    fields = state_to_channels(x)
    assert fields.shape == (2, 4, 6)
    assert float(fields[1, 0, 0]) == 2
    back = channels_to_state(fields, x)
    assert type(back) is TwoFields
    np.testing.assert_array_equal(back.v, x.v)
    swap = unscaled(lambda f: f[::-1])
    np.testing.assert_array_equal(swap(x)[0].u, x.v)


def test_precision_follows_the_state():
    with jax.enable_x64(True):
        system = TwoLayerQG(16, 12, dtype=jnp.float64)
        q = jnp.asarray(np.asarray(state(TwoLayerQG(16, 12)).q), jnp.float64)
        closure = learned()
        check_closure(closure, system)
        assert increment_of(closure, system.State(q)).q.dtype == jnp.float64


def test_gradient_reaches_network_and_not_only_its_last_bias(system):
    @eqx.filter_jit
    def gradient(closure, x):
        return eqx.filter_grad(lambda c: jnp.mean((c(x)[0].q * 1e12) ** 2))(closure)

    leaves = jax.tree.leaves(gradient(learned(), state(system)).network)
    assert all(np.any(np.asarray(leaf) != 0) for leaf in leaves)


def test_shape_errors_name_what_was_got_and_expected(system):
    x = state(system)
    with pytest.raises(ShapeError, match="have 2 channels, but this closure was made for 3"):
        unscaled(lambda f: f, features=3)(x)
    with pytest.raises(ShapeError, match=r"must map \(2, 12, 16\) to \(2, 12, 16\), but .*\(1, 12"):
        unscaled(lambda f: f[:1], outputs=1)(x)
    with pytest.raises(ShapeError, match=r"to \(4, 12, 16\) \(of which FluxForm makes the"):
        learned(2, FORCING_SCALE, [FluxForm(system.grid)])(x)
    with pytest.raises(ShapeError, match=r"on \(12, 16\).*divergence on \(12, 24\)"):
        learned(4, np.ones(4), [FluxForm(TwoLayerQG(24, 12).grid)])(x)
    with pytest.raises(ShapeError, match=r"same \(y, x\), got shapes"):
        state_to_channels((jnp.ones((4, 6)), jnp.ones((4, 4))))
