import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from made_up import SIZE, Q, S

from subgrid.closures import (
    AbstractClosure,
    Features,
    FluxForm,
    LearnedClosure,
    Output,
    ScaleCut,
    ZeroMean,
    load_closure,
    save_closure,
)
from subgrid.errors import ConfigError, RunFolderError
from subgrid.grids import PeriodicGrid, low_pass
from subgrid.nn import Cascade, Conv2d, Fixed, Scaler, trainable
from subgrid.randomness import Stream, generator
from subgrid.systems import TwoLayerQG
from subgrid.training import Adam, Constant, Noise, Plan, read_records, train_offline
from subgrid.training.offline import closure_task
from subgrid.training.scaling import channels, scaled, standardisation
from subgrid.training.tasks import Sources, make_batches, make_validation


def plan(**changes):
    settings = {
        "updates": 40,
        "batch_size": 8,
        "validation_samples": 8,
        "validate_every": 20,
        "checkpoint_every": 20,
        "chunk": 4,
    }
    return Plan(Adam(Constant(3e-3)), **{**settings, **changes})


def small_network(out_channels=2):
    # one layer: what is tested here does not depend on the network, and this compiles in no time
    return Conv2d(2, out_channels, 3, key=jax.random.key(0))


def untrained(network=None, constraints=(), names=None, system=None):
    network = small_network() if network is None else network
    return LearnedClosure(Features(names), network, Output(None, constraints), system)


def test_loss_falls_and_the_closure_runs_what_was_trained(data, tmp_path):
    train, validation = data
    result = train_offline(untrained(), train, validation, plan(), folder=tmp_path, seed=1)
    losses = [line["validation"]["loss"] for line in read_records(tmp_path / "metrics.jsonl")]
    assert losses[-1] < 0.8 * losses[0]
    assert isinstance(result.closure, LearnedClosure)
    # the validation loss again, from the closure as it runs online
    chosen = np.sort(generator(Stream.VALIDATION_SUBSET, 1).choice(16, 8, replace=False))
    batch = validation.batch(chosen)
    increment = jax.jit(jax.vmap(lambda q: result.closure((q,))[0][0]))(batch["q"])
    scale = np.asarray(standardisation(train).targets.scale)[:, None, None]
    error = np.mean(((np.asarray(increment) - batch["q_forcing"]) / scale) ** 2)
    np.testing.assert_allclose(error, result.fits[0].best_loss, rtol=1e-4)  # float32
    assert result.samples == 40 * 8
    # three times the forward pass: 2 operations per weight and pixel
    forward = 2 * (3 * 3 * 2 * 2) * SIZE**2 / 1e9
    np.testing.assert_allclose(result.gflop_per_sample, [3 * forward], rtol=1e-12)  # float64
    assert result.gflop_per_second[0] > 0


@pytest.mark.parametrize("split", ["training", "validation"])
def test_a_run_does_not_go_on_with_other_data(split, data, tmp_path):
    train_offline(untrained(), *data, plan(updates=2), folder=tmp_path, seed=1)
    samples = data[split == "validation"]
    samples.arrays["q"][3, 0, 0, 0] *= 1.5
    with pytest.raises(RunFolderError, match=rf"{split}_data was '[0-9a-f]{{64}}', is"):
        train_offline(untrained(), *data, plan(updates=2), folder=tmp_path, seed=1)


def test_trained_closure_survives_saving(data, tmp_path):
    closure = untrained(constraints=[ZeroMean()])
    result = train_offline(closure, *data, plan(updates=2), folder=tmp_path / "fit", seed=1)
    save_closure(result.closure, tmp_path / "closure")
    q = jnp.asarray(data[0].arrays["q"][0])
    np.testing.assert_array_equal(
        load_closure(tmp_path / "closure")((q,))[0][0], result.closure((q,))[0][0]
    )


@pytest.mark.parametrize("constraint", [ZeroMean(), FluxForm(PeriodicGrid(SIZE))])
def test_constraints_conserve_the_mean_and_train(constraint, data, tmp_path):
    closure = untrained(small_network(constraint.channels(2)), [constraint])
    result = train_offline(closure, *data, plan(), folder=tmp_path, seed=1)
    losses = [line["validation"]["loss"] for line in read_records(tmp_path / "metrics.jsonl")]
    assert losses[-1] < losses[0]
    (increment,), _ = result.closure((jnp.asarray(data[0].arrays["q"][0]),))
    # float32 sum of 256 values of size S
    np.testing.assert_allclose(np.mean(increment, axis=(-2, -1)), 0.0, atol=1e-5 * S)


def test_a_network_can_be_trained_for_the_larger_scales_alone(data, tmp_path):
    train, validation = data
    closure = untrained(constraints=[ScaleCut(0.25)])
    result = train_offline(closure, *data, plan(), folder=tmp_path / "run", seed=1)
    targets = standardisation(train).targets
    scale = np.asarray(targets.scale)
    kept = low_pass(jax.vmap(targets.normalise)(train.arrays["q_forcing"]), 0.25)
    unit = np.asarray(result.closure.output.scaler.scale) / scale
    np.testing.assert_allclose(unit, np.sqrt(np.mean(np.square(kept))), rtol=6e-4)  # three digits
    assert float(unit[0]) < 0.9
    # the validation loss again: of the closure as it runs, against the larger scales of the forcing
    chosen = np.sort(generator(Stream.VALIDATION_SUBSET, 1).choice(16, 8, replace=False))
    batch = validation.batch(chosen)
    increment = jax.jit(jax.vmap(lambda q: result.closure((q,))[0][0]))(batch["q"])
    truth = low_pass(jnp.asarray(batch["q_forcing"]), 0.25)
    error = np.asarray(increment - truth) / scale[:, None, None]
    np.testing.assert_allclose(np.mean(error**2), result.fits[0].best_loss, rtol=1e-3)
    records = read_records(tmp_path / "run/metrics.jsonl")
    losses = [r["validation"]["loss"] for r in records]
    assert losses[-1] < 0.8 * losses[0]
    # batches are scored in the unit of the task, and recorded in that of the validation as well
    assert records[-1]["mse"] == pytest.approx(float(unit[0]) ** 2 * records[-1]["loss"], rel=1e-3)
    assert 0.5 * losses[-1] < records[-1]["mse"] < 1.5 * losses[0]  # a mean since the last record
    save_closure(result.closure, tmp_path / "saved")
    assert load_closure(tmp_path / "saved").output.constraints == (ScaleCut(0.25),)
    with pytest.raises(RunFolderError, match=r"output was \['no scales beyond 0\.25 of.*, is \[\]"):
        train_offline(untrained(), *data, plan(), folder=tmp_path / "run", seed=1)


def test_scalers_are_not_trained(data, tmp_path):
    scales = standardisation(data[0])
    result = train_offline(untrained(), *data, plan(updates=5), folder=tmp_path, seed=1)
    np.testing.assert_array_equal(result.closure.features.scaler.scale, scales.inputs.scale)
    np.testing.assert_allclose(scales.inputs.scale, Q, rtol=0.1)  # 64 correlated samples
    np.testing.assert_allclose(scales.inputs.mean, 0.1 * Q, rtol=0.5)  # as above
    np.testing.assert_allclose(scales.targets.scale, S, rtol=0.1)  # as above


def test_a_network_that_does_not_say_its_cost_trains(data, tmp_path):
    network = eqx.nn.Conv2d(2, 2, 1, key=jax.random.key(0))
    result = train_offline(untrained(network), *data, plan(updates=2), folder=tmp_path, seed=1)
    assert np.isnan(result.gflop_per_sample[0])
    assert np.isnan(result.gflop_per_second[0])


class Scaled(eqx.Module):
    """A user's network: a cascade between scalers of its own."""

    before: Scaler
    cascade: Cascade
    after: Scaler

    def __call__(self, field):
        return self.after.denormalise(self.cascade(self.before.normalise(field)))


def test_constants_inside_a_network_are_not_trained(data, tmp_path):
    keys = jax.random.split(jax.random.key(0))
    networks = [Conv2d(2 + 2 * stage, 2, 3, key=keys[stage]) for stage in range(2)]
    network = Scaled(
        Scaler([0.1, 0.2], [0.9, 1.1]),
        Cascade(networks, (SIZE, 8), scales=[0.3, 0.7]),
        Scaler([-0.1, 0.1], [0.5, 2.0]),
    )
    result = train_offline(untrained(network), *data, plan(updates=5), folder=tmp_path, seed=1)
    kept = jax.tree.leaves(eqx.partition(result.closure, trainable(result.closure))[1])
    scales = standardisation(data[0])
    held = network.before, network.cascade._scales, network.after
    constants = scales.inputs, *held, scales.targets
    wanted = jax.tree.leaves(constants)
    assert len(kept) == len(wanted) == 9
    for ours, theirs in zip(kept, wanted, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    trained = [layer.weight for layer in result.closure.network.cascade.networks]
    for stage in range(2):
        assert bool(jnp.any(trained[stage] != networks[stage].weight))


def test_noise_leaves_the_wanted_fraction_clean():
    noise = Noise(level=0.5, clean_fraction=0.25, from_update=3)
    shape = (1000, 1, 2, 2)
    assert noise.draw(shape, seed=0, update=2) is None
    drawn = np.concatenate([noise.draw(shape, seed=0, update=n) for n in range(3, 13)])
    clean = np.all(drawn == 0, axis=(1, 2, 3))
    # 10,000 draws: standard error 0.0043
    np.testing.assert_allclose(np.mean(clean), 0.25, atol=0.02)
    # 30,000 draws: standard error 0.4 %
    np.testing.assert_allclose(np.std(drawn[~clean]), 0.5, rtol=0.02)
    assert np.all(Noise(0.5, clean_fraction=0.0).draw(shape, seed=0, update=0) != 0)


def test_noise_level_is_the_standard_deviation_of_standardised_inputs(data):
    sources = Sources(*data, standardisation(data[0]))
    wanted = plan(noise=Noise(0.3, clean_fraction=0.0), batch_size=64)
    noisy, clean = (make_batches(sources, one, 0)(5) for one in (wanted, plan(batch_size=64)))
    added = (noisy["fields"] - clean["fields"]) / Q
    # 32,768 draws: standard error 0.4 %; the two levels' scales are within 10 % of Q
    np.testing.assert_allclose(np.std(added), 0.3, rtol=0.1)
    np.testing.assert_array_equal(noisy["forcing"], clean["forcing"])
    np.testing.assert_array_equal(make_batches(sources, wanted, 0)(5)["fields"], noisy["fields"])


def test_validation_subset_is_fixed_by_the_seed(data, tmp_path):
    scales = standardisation(data[0])
    sources = Sources(*data, scales)
    closure = scaled(untrained(), scales, data[0], 1)
    scores = [
        make_validation(closure_task(scales, closure), sources, plan(), seed)(closure)["loss"]
        for seed in (1, 1, 2)
    ]
    assert scores[0] == scores[1] != scores[2]


def test_channels_join_variables_in_order():
    batch = {"a": np.zeros((3, 2, 4, 5)), "b": np.ones((3, 4, 5))}
    found = channels(batch, ["b", "a"])
    assert found.shape == (3, 3, 4, 5)
    assert found[:, 0].min() == 1.0
    assert found[:, 1:].max() == 0.0


class Drift(AbstractClosure):
    """A closure of a user's that is no network: q relaxes, at a rate that is to be found."""

    rate: jax.Array
    system: Fixed

    def __call__(self, state, memory=None, forcing=None):
        return jax.tree.map(lambda q: -self.rate[:, None, None] * q, state), memory


class Drawing(Drift):
    """The same with a random factor, drawn at the start and kept as its memory."""

    def init(self, state, *, key=None):
        return 1 + 0.5 * jax.random.normal(key)

    def __call__(self, state, memory=None, forcing=None):
        return jax.tree.map(lambda q: -self.rate[:, None, None] * memory * q, state), memory


@pytest.mark.parametrize("kind", [Drift, Drawing])
def test_what_is_no_network_is_trained_too(kind, data, tmp_path):
    """The best rate is the slope of S on q; with a factor of variance v it is 1/(1 + v) of that."""
    system = TwoLayerQG(SIZE)
    for split in data:
        split.arrays["q_forcing"] = np.float32(-3e-7 * split.arrays["q"])
    closure = kind(jnp.zeros(2), Fixed(system))
    adam = Plan(Adam(Constant(1e-8)), updates=150, batch_size=32, validate_every=50, chunk=32)
    result = train_offline(closure, *data, adam, folder=tmp_path, seed=1, system=system)
    wanted = 3e-7 if kind is Drift else 3e-7 / 1.25
    # a rate that moves by 1e-8 per update; the draws of 32 samples have an error of a tenth
    np.testing.assert_allclose(result.closure.rate, wanted, rtol=0.03 if kind is Drift else 0.15)
    losses = [r["validation"]["loss"] for r in read_records(tmp_path / "metrics.jsonl")]
    assert losses[-1] < 0.5 * losses[0]
    np.testing.assert_array_equal(result.closure.system.value.grid.x, system.grid.x)


def test_closures_that_cannot_be_trained_are_named(data, tmp_path):
    settings = {"folder": tmp_path, "seed": 1}
    with pytest.raises(TypeError, match="Drift holds no system: say by `system` which states"):
        train_offline(Drift(jnp.zeros(2), Fixed(None)), *data, plan(), **settings)
    with pytest.raises(ConfigError, match=r"nothing to train: .* a Nothing holds no"):
        train_offline(Nothing(), *data, plan(), system=TwoLayerQG(SIZE), **settings)


class Nothing(AbstractClosure):
    """A closure without numbers."""

    def __call__(self, state, memory=None, forcing=None):
        return jax.tree.map(jnp.zeros_like, state), memory


class Noisy(eqx.Module):
    """A network that draws: its memory is a key, and it adds noise of a size to be found."""

    layer: Conv2d
    size: jax.Array

    def init(self, seen, *, key=None):
        return key

    def __call__(self, seen, key):
        now, later = jax.random.split(key)
        said = self.layer(seen)
        return said + self.size * jax.random.normal(now, said.shape), later


def test_a_network_that_draws_is_trained_with_keys_of_its_own(data, tmp_path):
    """The loss is a mean square, so the noise it is given falls, and the last draws differ."""
    closure = untrained(Noisy(small_network(), jnp.array(1.0)))
    adam = Plan(Adam(Constant(3e-2)), updates=60, batch_size=16, validate_every=30, chunk=16)
    result = train_offline(closure, *data, adam, folder=tmp_path, seed=1)
    assert 0 < abs(float(result.closure.network.size)) < 0.3
    state = (jnp.asarray(data[0].arrays["q"][0]),)
    runs = [
        result.closure(state, result.closure.init(state, key=jax.random.key(i)))[0][0]
        for i in (0, 0, 1)
    ]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert float(jnp.abs(runs[0] - runs[2]).max()) > 0
    again = train_offline(closure, *data, adam, folder=tmp_path / "again", seed=1)
    np.testing.assert_array_equal(again.closure.network.size, result.closure.network.size)


@pytest.mark.slow
def test_a_network_can_be_given_the_resolved_tendency(data, tmp_path):
    system = TwoLayerQG(SIZE)
    tendency = jax.jit(jax.vmap(lambda q: system.tendency(system.State(q)).q))
    for split in data:
        split.arrays["q_forcing"] = -0.1 * np.asarray(tendency(split.arrays["q"]))
    parts = {"q": data[0].arrays["q"], "tendency": 10 * data[0].arrays["q_forcing"]}
    losses = {}
    for names in (("q",), ("q", "tendency")):
        network = Conv2d(Features(names).count(system), 2, 1, key=jax.random.key(0))
        closure = untrained(network, (), names, system)
        settings = {"folder": tmp_path / str(len(names)), "seed": 1}
        result = train_offline(closure, *data, plan(updates=300), **settings)
        losses[names] = result.fits[0].best_loss
        scale = np.concatenate([parts[name].std(axis=(0, 2, 3)) for name in names])
        # all 64 samples, to three digits
        np.testing.assert_allclose(result.closure.features.scaler.scale, scale, rtol=6e-3)
    assert losses["q", "tendency"] < 0.01 < 0.5 < losses[("q",)]


def test_bad_input_is_named(data, tmp_path):
    train = data[0]
    with pytest.raises(ConfigError, match=r"clean_fraction is 1\.5"):
        Noise(0.1, clean_fraction=1.5)
    with pytest.raises(ConfigError, match="noise level must not be negative, got -1"):
        Noise(-1.0)
    with pytest.raises(ConfigError, match="seed is 4294967296"):
        train_offline(untrained(), *data, plan(), folder=tmp_path, seed=2**32)
    train.variables = ("q",)
    with pytest.raises(ConfigError, match="each variable with its forcing"):
        train_offline(untrained(), *data, plan(), folder=tmp_path, seed=1)
    train.variables = ("q", "q_forcing")
    train.arrays["q_forcing"][:, 1] = 0.0
    with pytest.raises(ConfigError, match="does not vary"):
        train_offline(untrained(), *data, plan(), folder=tmp_path, seed=1)
