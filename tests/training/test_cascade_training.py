import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cascade_stages import stage_output, stage_target
from made_up import SIZE, S

from subgrid.closures import (
    Features,
    FluxForm,
    LearnedClosure,
    Output,
    ScaleCut,
    load_closure,
    save_closure,
)
from subgrid.errors import ConfigError
from subgrid.grids import PeriodicGrid, downscale, low_pass
from subgrid.nn import Cascade, Conv2d
from subgrid.systems import TwoLayerQG
from subgrid.training import Adam, Constant, Noise, Plan, load_best, read_records, train_cascade
from subgrid.training.cascade import stage_task
from subgrid.training.scaling import scaled, standardisation
from subgrid.training.tasks import Sample

SIZES = (SIZE, 8)


def cascade(sizes=SIZES, out=2, seen=2):
    """One convolution per stage: what is tested here does not depend on the networks."""
    keys = jax.random.split(jax.random.key(0), len(sizes))
    networks = tuple(Conv2d(seen + stage * out, out, 3, key=key) for stage, key in enumerate(keys))
    return Cascade(networks, sizes)


def untrained(sizes=SIZES, out=2, seen=2, constraints=(), names=None):
    system = None if names is None else TwoLayerQG(SIZE)
    output = Output(None, constraints)
    return LearnedClosure(Features(names), cascade(sizes, out, seen), output, system)


def plan(**changes):
    settings = {"batch_size": 8, "validation_samples": 16, "validate_every": 15, "chunk": 8}
    return Plan(Adam(Constant(1e-2)), **{"updates": 30, **settings, **changes})


def weights(closure, stage):
    return jax.tree.leaves(eqx.filter(closure.network.networks[stage], eqx.is_array))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A trained cascade of two stages, and its folder."""
    from made_up import MadeUp

    train, validation = MadeUp(64, 0), MadeUp(16, 1)
    folder = tmp_path_factory.mktemp("cascade")
    return train_cascade(untrained(), train, validation, plan(), folder=folder, seed=1), folder


def test_every_stage_learns_and_reports(trained):
    result, folder = trained
    for stage in range(2):
        records = read_records(folder / f"stage_{stage}" / "metrics.jsonl")
        losses = [line["validation"]["loss"] for line in records]
        assert losses[-1] < losses[0], stage
    assert (result.updates, result.samples, len(result.fits)) == (60, 480, 2)
    # 2 operations per weight and pixel, both networks at the finest size
    first, second = (2 * 9 * channels * 2 * SIZE**2 / 1e9 for channels in (2, 4))
    np.testing.assert_allclose(result.gflop_per_sample, [3 * first, first + 3 * second], rtol=1e-12)


@pytest.mark.parametrize("names", [None, pytest.param(("q", "tendency"), marks=pytest.mark.slow)])
def test_the_last_loss_is_the_loss_of_the_closure(names, trained, data, tmp_path):
    result, _ = trained
    if names is not None:
        closure = untrained(seen=4, names=names)
        result = train_cascade(closure, *data, plan(), folder=tmp_path, seed=1)
    batch = data[1].batch(np.arange(16))
    increment = jax.jit(jax.vmap(lambda q: result.closure((q,))[0][0]))(batch["q"])
    scale = np.asarray(standardisation(data[0]).targets.scale)[:, None, None]
    error = np.mean(((np.asarray(increment) - batch["q_forcing"]) / scale) ** 2)
    np.testing.assert_allclose(error, result.fits[-1].best_loss, rtol=1e-4)  # float32


def test_earlier_stages_stay_as_they_were(trained):
    first, second = (fit.network for fit in trained[0].fits)
    for a, b in zip(weights(first, 0), weights(second, 0), strict=True):
        np.testing.assert_array_equal(a, b)
    # and the ones to come are not touched
    for a, b in zip(weights(first, 1), jax.tree.leaves(cascade().networks[1]), strict=True):
        np.testing.assert_array_equal(a, b)


def test_scales_are_the_size_of_what_is_left(trained, data):
    result, _ = trained
    scales = standardisation(data[0])
    forcing = jnp.asarray(data[0].arrays["q_forcing"])
    coarse = jax.vmap(lambda s: downscale(scales.targets.normalise(s), 8, 8))(forcing)
    found = np.asarray(result.closure.network.scales)
    # rounded to three digits
    np.testing.assert_allclose(found[0], np.sqrt(np.mean(np.square(coarse))), rtol=6e-3)
    assert np.all((found > 0) & (found < 1))


def test_scales_are_exact_in_every_file(trained, tmp_path):
    result, folder = trained
    scales = np.asarray(result.closure.network.scales)
    # three digits, as near as float32 comes: what the loss divides by is what the cascade holds
    np.testing.assert_array_equal(scales, np.float32([float(f"{scale:.3g}") for scale in scales]))
    save_closure(result.closure, tmp_path / "closure")
    best = load_best(folder / "stage_1", result.closure)
    for read in (load_closure(tmp_path / "closure"), best):
        np.testing.assert_array_equal(read.network.scales, scales)


def test_task_is_the_residual_of_the_cascade(data):
    """S̃_j - D S, which the loss is made of, is net_j minus the target that the cascade defines."""
    scales = standardisation(data[0])
    closure = scaled(untrained((SIZE, 12, 8)), scales, data[0], 1)
    fields, forcing = (jnp.asarray(data[0].arrays[name][0]) for name in ("q", "q_forcing"))

    @eqx.filter_jit
    def errors(closure, stage):
        seen, truth = scales.inputs.normalise(fields), scales.targets.normalise(forcing)
        task = stage_task(scales, closure, stage, 1.0)
        ours = task.predict(closure, Sample(fields, forcing), None) - task.target(forcing)
        output = stage_output(closure.network, seen, stage)
        return ours, output - stage_target(closure.network, truth, seen, stage)

    for stage in range(3):
        ours, theirs = errors(closure, stage)
        np.testing.assert_allclose(ours, theirs, atol=2e-6)  # float32, values of order one


@pytest.mark.slow
def test_a_cascade_for_the_larger_scales_has_one_cut_at_all_its_sizes(data, tmp_path):
    cut = 0.4
    given = untrained(constraints=[ScaleCut(cut)])
    result = train_cascade(given, *data, plan(), folder=tmp_path, seed=1)
    closure, scales = result.closure, standardisation(data[0])
    batch = data[1].batch(np.arange(16))
    increment = jax.jit(jax.vmap(lambda q: closure((q,))[0][0]))(batch["q"])
    kept = low_pass(jnp.asarray(batch["q_forcing"]), cut)
    scale = np.asarray(scales.targets.scale)[:, None, None]
    error = np.mean((np.asarray(increment - kept) / scale) ** 2)
    np.testing.assert_allclose(error, result.fits[-1].best_loss, rtol=1e-4)
    np.testing.assert_allclose(low_pass(increment, cut), increment, atol=1e-5 * S)
    # the coarser stage: the same wavenumber on fewer points, 0.8 of their Nyquist wavenumber
    q, forcing = (jnp.asarray(batch[name][0]) for name in ("q", "q_forcing"))
    task = stage_task(scales, closure, 0, 1.0)
    output = closure.network.predict(closure.seen(q), 0)
    wanted = (
        low_pass(output, 0.8),
        downscale(low_pass(scales.targets.normalise(forcing), cut), 8, 8),
    )
    found = task.predict(closure, Sample(q, forcing), None), task.target(forcing)
    for ours, by_hand in zip(found, wanted, strict=True):
        np.testing.assert_allclose(ours, by_hand, atol=2e-6)  # float32, values of order one
    assert np.max(np.abs(np.asarray(wanted[0] - output))) > 1e-3


def test_an_interrupted_cascade_ends_the_same(trained, data, tmp_path):
    def interrupt(event):
        if event.label.endswith("stage_1") and event.kind == "update" and event.update == 20:
            raise KeyboardInterrupt

    arguments = {"folder": tmp_path, "seed": 1, "label": "net"}
    with pytest.raises(KeyboardInterrupt):
        train_cascade(untrained(), *data, plan(), callbacks=[interrupt], **arguments)
    result = train_cascade(untrained(), *data, plan(), **arguments)
    ours, theirs = (
        jax.tree.leaves(eqx.filter(r.closure, eqx.is_array)) for r in (result, trained[0])
    )
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


def test_fluxes_conserve_the_mean_and_plans_may_differ(data, tmp_path):
    result = train_cascade(
        untrained(out=4, constraints=[FluxForm(PeriodicGrid(SIZE))]),
        *data,
        [plan(updates=20), plan(updates=10, noise=Noise(0.1))],
        folder=tmp_path,
        seed=1,
        scale_stages=False,
    )
    increment = jax.jit(lambda q: result.closure((q,))[0][0])(data[0].arrays["q"][0])
    # float32 sum of 256 values of size S
    np.testing.assert_allclose(np.mean(increment, axis=(-2, -1)), 0.0, atol=1e-5 * S)
    records = read_records(tmp_path / "stage_0" / "metrics.jsonl")
    assert records[-1]["validation"]["loss"] < records[0]["validation"]["loss"]
    assert result.updates == 30
    np.testing.assert_array_equal(result.closure.network.scales, np.ones(2))


def test_no_two_draws_of_a_training_share_a_stream(data, tmp_path, monkeypatch):
    make, made = np.random.default_rng, {}

    def watched(entropy):
        found = make(entropy)
        made[tuple(entropy)] = tuple(found.bit_generator.seed_seq.generate_state(4))
        return found

    monkeypatch.setattr(np.random, "default_rng", watched)
    noisy = plan(updates=20, noise=Noise(0.1))
    train_cascade(untrained((SIZE,)), *data, noisy, folder=tmp_path, seed=1)
    # 20 draws of noise, the order of 3 epochs of 8 batches, a validation subset, a stage scale
    assert len(set(made.values())) == len(made) == 20 + 3 + 1 + 1


def test_bad_input_is_named(data, tmp_path):
    with pytest.raises(ConfigError, match="3 plans for 2 stages"):
        train_cascade(untrained(), *data, [plan()] * 3, folder=tmp_path, seed=1)
    with pytest.raises(ConfigError, match="seed is -1"):
        train_cascade(untrained(), *data, plan(), folder=tmp_path, seed=-1)
    with pytest.raises(ConfigError, match="of size 16, but the cascade's finest size is 12"):
        train_cascade(untrained((12, 8)), *data, plan(), folder=tmp_path, seed=1)
