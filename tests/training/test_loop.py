import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import training_problem

from subgrid.errors import (
    ConfigError,
    CorruptFileError,
    NothingLearnedError,
    RunFolderError,
    ShapeError,
    UnstableRunError,
)
from subgrid.provenance import load_arrays
from subgrid.training import TIMINGS, load_best, read_records, training_remarks
from subgrid.training.update import _chunked_gradient


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One uninterrupted run; tests copy its folder before they change it."""
    folder = tmp_path_factory.mktemp("finished")
    return folder, training_problem.train(folder)


def results(folder):
    """Return everything a run leaves that must not depend on interruptions."""
    records = [
        {name: value for name, value in line.items() if name not in TIMINGS}
        for line in read_records(folder / "metrics.jsonl")
    ]
    last = sorted((folder / "checkpoints").iterdir())[-1]
    return records, (folder / "best.safetensors").read_bytes(), last.name, arrays_of(last)


def arrays_of(path):
    return {name: value.tobytes() for name, value in load_arrays(path)[0].items()}


def test_loss_falls_and_result_is_the_best_network(finished):
    folder, result = finished
    records = read_records(folder / "metrics.jsonl")
    assert [line["update"] for line in records] == [0, *range(6, 61, 6)]
    assert records[-1]["loss"] < 0.1 * records[1]["loss"]
    losses = {line["update"]: line["validation"]["loss"] for line in records}
    assert result.best_loss == min(losses.values()) == losses[result.best_update]
    # validate computes in NumPy from the returned weights: the same bits as during training
    assert float(training_problem.validate(result.network)["loss"]) == result.best_loss
    assert (result.updates, result.samples, result.skipped) == (60, 480, 0)
    assert "bias" in records[1]


def test_best_weights_are_on_disk(finished):
    folder, result = finished
    loaded = load_best(folder, training_problem.network())
    for name, value in result.network.items():
        np.testing.assert_array_equal(loaded[name], value)


def test_training_a_finished_run_again_returns_at_once(finished):
    folder, result = finished
    before = (folder / "metrics.jsonl").read_text()
    again = training_problem.train(folder)
    assert (folder / "metrics.jsonl").read_text() == before
    np.testing.assert_array_equal(again.network["weight"], result.network["weight"])
    assert again.seconds == result.seconds


@pytest.mark.parametrize("kind", ["update", "record", "checkpoint"])
def test_interrupted_and_resumed_equals_uninterrupted(kind, finished, tmp_path):
    def interrupt(event):
        if event.kind == kind and event.update >= 29:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training_problem.train(tmp_path, callbacks=[interrupt])
    assert not (tmp_path / "checkpoints" / "00000060.safetensors").exists()
    training_problem.train(tmp_path)
    assert results(tmp_path) == results(finished[0])


def test_killed_and_resumed_equals_uninterrupted(finished, tmp_path):
    seed = random.randrange(10**6)
    print("seed of the kills:", seed)
    draw = random.Random(seed)
    # A run has about 80 events and 35 renamed files; a resumed one fewer.
    kills = [("event", draw.randint(12, 40)), ("write", draw.randint(2, 7))]
    for how, count in kills:
        assert run_script(tmp_path, how, count) == -9
    assert run_script(tmp_path, "none", 0) == 0
    assert results(tmp_path) == results(finished[0])
    assert not list((tmp_path / "checkpoints").glob(".*"))


@pytest.mark.slow
def test_killed_twenty_times_equals_uninterrupted(finished, tmp_path):
    seed = random.randrange(10**6)
    print("seed of the kills:", seed)
    draw = random.Random(seed)
    for _ in range(20):
        how = draw.choice(["event", "write"])
        assert run_script(tmp_path, how, draw.randint(1, 14)) in (-9, 0)
    assert run_script(tmp_path, "none", 0) == 0
    assert results(tmp_path) == results(finished[0])


def test_two_devices_give_the_result_of_one(finished, tmp_path):
    devices = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    assert run_script(tmp_path, "none", 0, devices) == 0
    ours, theirs = (load_arrays(f / "best.safetensors")[0] for f in (tmp_path, finished[0]))
    for name, value in theirs.items():
        # 60 updates of order 0.1 add up rounding of 1e-7 each, in another order of summation
        np.testing.assert_allclose(ours[name], value, atol=2e-5)
    # the same but for rounding is not the same: one device must not go on for two
    with pytest.raises(
        RunFolderError, match=r"devices was '2 cpu', is '1 cpu'.*`devices`: as many"
    ):
        training_problem.train(tmp_path)


def run_script(folder, how, count, environment=None):
    script = Path(training_problem.__file__)
    source = Path(__file__).parents[2] / "src"
    variables = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(source)}
    command = [sys.executable, str(script), str(folder), how, str(count)]
    return subprocess.run(command, env={**variables, **(environment or {})}).returncode


def test_chunks_give_the_result_of_the_whole_batch(finished, tmp_path):
    result = training_problem.train(tmp_path, chunk=2)
    # the same sums in another order, 60 updates of order 0.1
    np.testing.assert_allclose(result.network["weight"], finished[1].network["weight"], atol=2e-5)


def test_only_the_chosen_part_is_trained(tmp_path):
    result = training_problem.train(tmp_path, where=lambda network: network["weight"], updates=6)
    np.testing.assert_array_equal(result.network["bias"], np.ones(2))
    assert jnp.any(result.network["weight"] != 0)


def test_average_follows_the_formula(tmp_path):
    # Plain gradient descent on loss w: w falls by 0.5 per update, so the average is known.
    result = training_problem.train(
        tmp_path,
        loss=lambda network, batch, keys: jnp.mean(network["weight"]),
        validate=lambda network: {"loss": float(np.mean(network["weight"]))},
        optimiser=Descent(4.0),
        updates=6,
        ema=0.5,
    )
    weight = average = 0.0
    for made in range(6):
        weight -= 0.5
        decay = min(0.5, (1 + made) / (10 + made))
        average = decay * average + (1 - decay) * weight
    assert result.best_update == 6
    np.testing.assert_allclose(result.network["weight"], average, rtol=1e-6)  # float32


class Descent:
    """Gradient descent, as a user's own optimiser: nothing of ours but the three names."""

    def __init__(self, rate):
        self.schedule = lambda update: jnp.float32(rate)

    def transformation(self):
        import optax

        return optax.scale_by_learning_rate(self.schedule)

    def settings(self):
        return {"name": "descent"}


def test_keys_of_the_loss_are_none_that_networks_are_made_from(tmp_path):
    def loss(network, batch, keys):
        return jnp.mean(network["weight"]), {"drawn": jax.random.uniform(keys[0])}

    training_problem.train(tmp_path, loss=loss, updates=3, validate_every=1)
    drawn = [line["drawn"] for line in read_records(tmp_path / "metrics.jsonl")[1:]]
    assert len(set(drawn)) == 3
    for i in range(3):
        layer = jax.random.split(jax.random.key(3), 3)[i]
        assert drawn[i] != float(jax.random.uniform(jax.random.split(layer, 8)[0]))


def spoiled(numbers):
    def batches(number):
        batch = training_problem.batches(number)
        return {**batch, "x": np.where(number in numbers, np.nan, batch["x"])}

    return batches


def test_updates_with_nan_are_skipped_and_counted(tmp_path):
    whole = training_problem.train(tmp_path / "whole", updates=12, batches=spoiled({3, 4, 9}))
    records = read_records(tmp_path / "whole" / "metrics.jsonl")
    assert whole.skipped == 3
    assert [line["skipped"] for line in records] == [0, 2, 3]
    assert np.all(np.isfinite(whole.network["weight"]))
    assert all(line["loss"] is not None for line in records[1:])


def test_too_many_skipped_updates_end_the_run_and_keep_the_checkpoint(tmp_path):
    with pytest.raises(UnstableRunError, match=r"6 updates in a row.*00000009\.safetensors"):
        training_problem.train(tmp_path, batches=spoiled(range(10, 60)), most_skipped=5)
    arrays, _ = load_arrays(tmp_path / "checkpoints" / "00000009.safetensors")
    assert all(np.all(np.isfinite(value)) for value in arrays.values())


def test_a_training_without_an_effective_update_fails(tmp_path):
    with pytest.raises(NothingLearnedError, match="12 updates, 12 of them skipped; every loss or"):
        training_problem.train(tmp_path, updates=12, batches=spoiled(range(12)))
    # and again when it is asked for once more: it does not count as done
    with pytest.raises(NothingLearnedError):
        training_problem.train(tmp_path, updates=12, batches=spoiled(range(12)))


def test_a_training_that_changes_no_weight_fails(tmp_path):
    with pytest.raises(
        NothingLearnedError, match="6 updates, 0 of them skipped; no update changed"
    ):
        training_problem.train(tmp_path, updates=6, loss=lambda network, batch, keys: jnp.zeros(()))


def test_skips_and_a_best_update_of_zero_are_said(tmp_path):
    scores = iter([1.0, 2.0, 3.0])
    result = training_problem.train(
        tmp_path,
        updates=12,
        batches=spoiled(range(10)),
        validate=lambda network: {"loss": next(scores)},
    )
    assert (result.best_update, result.skipped) == (0, 10)
    said = training_remarks(read_records(tmp_path / "metrics.jsonl")[-1])
    assert len(said) == 2
    assert "those it began with" in said[0]
    assert said[1].startswith("10 of its 12 updates were skipped")


@pytest.mark.parametrize(
    ("record", "count"),
    [
        ({"update": 100, "skipped": 10, "best_update": 50}, 0),
        ({"update": 100, "skipped": 11, "best_update": 50}, 1),
        ({"update": 100, "skipped": 0, "best_update": 0}, 1),
        ({"update": 0, "skipped": 0, "best_update": 0}, 0),
    ],
)
def test_a_tenth_of_skipped_updates_is_the_border(record, count):
    assert len(training_remarks(record)) == count


def test_no_finite_validation_is_an_error(tmp_path):
    with pytest.raises(UnstableRunError, match="no validation loss"):
        training_problem.train(tmp_path, updates=6, validate=lambda network: {"loss": np.nan})
    # JSON has no NaN
    assert read_records(tmp_path / "metrics.jsonl")[0]["validation"] == {"loss": None}


def test_selection_looks_at_validation_alone(tmp_path):
    scores = iter([5.0, 1.0, 2.0, 3.0])
    result = training_problem.train(
        tmp_path, updates=18, validate=lambda network: {"loss": next(scores), "other": 0.0}
    )
    # the training loss still falls at update 18
    assert (result.best_update, result.best_loss) == (6, 1.0)


def test_another_config_is_refused_and_named(finished, tmp_path):
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
    with pytest.raises(RunFolderError, match="seed was 3, is 4"):
        training_problem.train(tmp_path, seed=4)
    with pytest.raises(RunFolderError, match="data"):
        training_problem.train(tmp_path, settings={"data": "other"})
    assert results(tmp_path) == results(finished[0])


def test_other_settings_of_jax_are_refused_and_named(finished, tmp_path):
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
    with (
        jax.default_matmul_precision("highest"),
        pytest.raises(RunFolderError, match="jax_default_matmul_precision was None, is 'highest'"),
    ):
        training_problem.train(tmp_path)
    assert results(tmp_path) == results(finished[0])


def test_a_training_survives_strict_rules_of_jax(finished, tmp_path):
    """The loss of one update is NaN, which is an outcome: it is left out."""

    def spoilt(number):
        batch = training_problem.batches(number)
        return {**batch, "y": batch["y"] * np.float32(np.nan if number == 1 else 1)}

    given = {"updates": 3, "validate_every": 3, "batches": spoilt}
    result = training_problem.train(tmp_path / "usual", **given)
    with jax.numpy_dtype_promotion("strict"), jax.debug_nans(True):
        strict = training_problem.train(tmp_path / "strict", **given)
    assert (strict.skipped, strict.best_loss) == (result.skipped, result.best_loss)
    assert strict.skipped == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"chunk": 2}, "chunk was None, is 2"),
        ({"validate_every": 12}, "validate_every was 6, is 12"),
        ({"ema": None}, r"ema was 0\.8, is None"),
    ],
)
def test_another_plan_is_refused_for_what_it_changes(change, message, finished, tmp_path):
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
    with pytest.raises(RunFolderError, match=rf"\({message}\).* as they were .* start again"):
        training_problem.train(tmp_path, **change)
    assert results(tmp_path) == results(finished[0])


def test_what_changes_no_numbers_may_differ_when_a_run_goes_on(finished, tmp_path):
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
    (tmp_path / "checkpoints" / "00000060.safetensors").unlink()
    training_problem.train(tmp_path, checkpoint_every=7, most_skipped=1)
    assert results(tmp_path) == results(finished[0])


@pytest.mark.parametrize("damage", ["truncated", "altered"])
@pytest.mark.parametrize("name", ["checkpoints/00000060.safetensors", "best.safetensors"])
def test_damaged_files_are_named_and_left_alone(damage, name, finished, tmp_path):
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
    path = tmp_path / name
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        content = content[: len(content) // 2]
    else:
        content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptFileError, match=path.name):
        training_problem.train(tmp_path)
    assert path.read_bytes() == content


def test_without_the_damaged_checkpoint_the_one_before_leads_to_the_same_end(finished, tmp_path):
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
    (tmp_path / "checkpoints" / "00000060.safetensors").unlink()
    training_problem.train(tmp_path)
    assert results(tmp_path) == results(finished[0])


def test_full_disk_keeps_what_was_written(finished, tmp_path, monkeypatch):
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
    (tmp_path / "checkpoints" / "00000060.safetensors").unlink()

    def full(path, arrays, metadata=None):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("subgrid.training.checkpoint.save_arrays", full)
    with pytest.raises(OSError, match="No space left"):
        training_problem.train(tmp_path)
    monkeypatch.undo()
    training_problem.train(tmp_path)
    assert results(tmp_path) == results(finished[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"updates": 0}, "updates must be a whole number of at least 1, got 0"),
        ({"chunk": 0}, "chunk must be a whole number of at least 1, got 0"),
        ({"seed": 2**32}, "seed is 4294967296"),
        ({"ema": 1.0}, "ema is 1.0"),
        ({"validate_every": True}, "validate_every must be a whole number of at least 1, got True"),
        ({"where": lambda network: ()}, "holds no floating-point array"),
    ],
)
def test_bad_arguments_are_named(change, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        training_problem.train(tmp_path, **change)


def test_batch_that_cannot_be_divided_is_named(tmp_path):
    with pytest.raises(ShapeError, match=r"first axes \[8\]; .* chunk 3"):
        training_problem.train(tmp_path, chunk=3)


def test_an_error_of_the_loader_reaches_the_caller(tmp_path):
    def batches(number):
        if number == 7:
            raise OSError("disk gone")
        return training_problem.batches(number)

    with pytest.raises(OSError, match="disk gone"):
        training_problem.train(tmp_path, batches=batches)


def test_gradient_is_the_mean_over_chunks():
    network, batch = training_problem.network(), training_problem.batches(0)
    keys = jax.random.split(jax.random.key(0), 8)
    nothing = jax.tree.map(lambda _: None, network)
    values, slope = _chunked_gradient(training_problem.loss, nothing, None)(
        network, nothing, batch, keys
    )
    parts, part = _chunked_gradient(training_problem.loss, nothing, 4)(
        network, nothing, batch, keys
    )
    for name in slope:
        np.testing.assert_allclose(part[name], slope[name], rtol=1e-5)  # order of summation
    np.testing.assert_allclose(parts["loss"], values["loss"], rtol=1e-5)
