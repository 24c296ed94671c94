"""Noise on what a network sees: on the fields, or on the channels that are made of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from made_up import SIZE

from subgrid.closures import Features, LearnedClosure, Output
from subgrid.nn import Cascade, Conv2d
from subgrid.systems import TwoLayerQG
from subgrid.training import Adam, Constant, Noise, Plan, train_offline
from subgrid.training.cascade import stage_task
from subgrid.training.offline import closure_task, seen_channels
from subgrid.training.scaling import FORCING, channels, scaled, standardisation
from subgrid.training.tasks import Sample, Sources, make_batches, make_loss, make_validation

SYSTEM = TwoLayerQG(SIZE)
NAMES = ("q", "tendency")  # four channels
KEYS = jax.random.split(jax.random.key(0), 16)  # which a loss is given, and this one leaves


def plan(noise, **changes):
    settings = {"updates": 4, "batch_size": 16, "validation_samples": 4, "chunk": 4}
    return Plan(Adam(Constant(3e-3)), noise=noise, **{**settings, **changes})


def problem(data, noise, network=None, names=NAMES):
    """Return an untrained closure, where its samples come from, and its plan."""
    scales = standardisation(data[0])
    seen = 2 if names is None else 4
    network = Conv2d(seen, 2, 3, key=jax.random.key(0)) if network is None else network
    system = None if names is None else SYSTEM
    closure = LearnedClosure(Features(names), network, Output(), system)
    closure = scaled(closure, scales, data[0], 1)
    return closure, Sources(*data, scales, seen_channels(closure)), plan(noise), scales


def clean(data, update, seed=1):
    """Return the fields and forcings of a batch as they are in the data."""
    batch = data[0].batches(seed, 16)(update)
    return channels(batch, ["q"]), channels(batch, ["q" + FORCING])


def test_inputs_have_noise_of_their_own_and_the_fields_none(data):
    _, sources, settings, _ = problem(data, Noise(0.3, clean_fraction=0.0))
    batch = make_batches(sources, settings, 1)(2)
    fields, forcing = clean(data, 2)
    np.testing.assert_array_equal(batch["fields"], fields)
    np.testing.assert_array_equal(batch["forcing"], forcing)
    noise = batch["noise"]
    assert noise.shape == (16, 4, SIZE, SIZE)
    assert noise.dtype == np.float32
    # 4096 values a channel: a standard error of a hundredth of the level
    np.testing.assert_allclose(noise.std(axis=(0, 2, 3)), 0.3, rtol=0.05)
    flat = noise.transpose(1, 0, 2, 3).reshape(4, -1)
    assert np.abs(np.corrcoef(flat) - np.eye(4)).max() < 0.08
    again = make_batches(sources, settings, 1)
    np.testing.assert_array_equal(again(2)["noise"], noise)
    assert not np.array_equal(again(3)["noise"], noise)


def test_without_inputs_the_noise_is_on_the_fields(data):
    _, sources, settings, scales = problem(data, Noise(0.3, clean_fraction=0.0), names=None)
    batch = make_batches(sources, settings, 1)(2)
    assert set(batch) == {"fields", "forcing", "time"}
    fields, forcing = clean(data, 2)
    added = (batch["fields"] - fields) / np.asarray(scales.inputs.scale)[:, None, None]
    np.testing.assert_allclose(added.std(axis=(0, 2, 3)), 0.3, rtol=0.05)
    np.testing.assert_array_equal(batch["forcing"], forcing)


def test_no_noise_is_no_channel_and_before_its_update_it_is_zero(data):
    _, sources, settings, _ = problem(data, Noise())
    assert set(make_batches(sources, settings, 1)(0)) == {"fields", "forcing", "time"}
    _, sources, settings, _ = problem(data, Noise(0.3, clean_fraction=0.25, from_update=2))
    batches = make_batches(sources, settings, 1)
    # the same shapes before, so that nothing is compiled again
    assert not batches(1)["noise"].any()
    assert batches(1)["noise"].shape == batches(2)["noise"].shape
    noisy = batches(2)["noise"].any(axis=(1, 2, 3))
    assert 0 < noisy.sum() < 16  # whole samples stay clean


def test_the_loss_is_of_the_standardised_inputs_with_their_noise(data):
    closure, sources, settings, scales = problem(data, Noise(0.5, clean_fraction=0.0))
    batch = make_batches(sources, settings, 1)(0)
    loss = make_loss(closure_task(scales, closure))
    found = float(loss(closure, batch, KEYS))

    def one(fields, forcing, noise):
        channels = closure.features.form(fields, SYSTEM)
        seen = closure.features.scaler.normalise(channels) + noise
        output = closure.output.scaler.denormalise(closure.network(seen))
        truth = scales.targets.normalise(forcing)
        return jnp.mean(jnp.square(scales.targets.normalise(output) - truth))

    wanted = jnp.mean(jax.vmap(one)(batch["fields"], batch["forcing"], batch["noise"]))
    assert found == pytest.approx(float(wanted), rel=1e-5)  # float32
    without = float(loss(closure, {name: batch[name] for name in ("fields", "forcing")}, KEYS))
    zero = float(loss(closure, batch | {"noise": 0 * batch["noise"]}, KEYS))
    assert zero == pytest.approx(without, rel=1e-6)
    assert found > without * 1.02


def test_every_stage_of_a_cascade_sees_the_noise_of_the_inputs(data):
    networks = [Conv2d(4 + 2 * stage, 2, 1, key=jax.random.key(stage)) for stage in (0, 1)]
    cascade = Cascade(networks, (SIZE, 8))
    closure, sources, settings, scales = problem(data, Noise(0.5, clean_fraction=0.0), cascade)
    batch = make_batches(sources, settings, 1)(0)
    fields, forcing, noise = (jnp.asarray(batch[n][0]) for n in ("fields", "forcing", "noise"))
    for stage in (0, 1):
        task = stage_task(scales, closure, stage, 1.0)
        quiet = task.predict(closure, Sample(fields, forcing), None)
        noisy = task.predict(closure, Sample(fields, forcing, noise=noise), None)
        assert quiet.shape == task.target(forcing).shape
        # one layer is linear: what the noise adds is what it gives alone, but for the bias
        alone = task.predict(closure, Sample(fields, forcing, noise=-noise), None)
        size = float(jnp.abs(noisy - quiet).max())
        assert size > 0.01
        np.testing.assert_allclose(noisy - quiet, quiet - alone, rtol=0, atol=1e-4 * size)


def test_the_validation_is_without_noise(data):
    closure, sources, settings, scales = problem(data, Noise(0.5, clean_fraction=0.0))
    quiet = plan(Noise())
    found = [
        make_validation(closure_task(scales, closure), sources, each, 1)(closure)
        for each in (settings, quiet)
    ]
    assert found[0] == found[1]


def test_noise_changes_what_is_learned_from_its_update_on(data, tmp_path):
    def weights(noise, name):
        network = Conv2d(4, 2, 1, key=jax.random.key(0))
        closure = LearnedClosure(Features(NAMES), network, Output(), SYSTEM)
        options = {"folder": tmp_path / name, "seed": 1}
        result = train_offline(closure, *data, plan(noise, updates=3), **options)
        return np.asarray(result.closure.network.weight)

    quiet = weights(Noise(), "quiet")
    # of noise that begins after the last update zeros are added: the same but for rounding
    np.testing.assert_allclose(weights(Noise(3.0, 0.0, 3), "late"), quiet, rtol=0, atol=1e-6)
    # Adam's first steps tell the sign of a gradient more than its size
    assert np.abs(weights(Noise(3.0, 0.0, 1), "early") - quiet).max() > 1e-4
