"""The evaluation stage: damage to a free run in progress, and values that are not finite."""

import json
import re
import shutil

import jax
import numpy as np
import pytest
from experiment_runs import SMALLEST, digests

import subgrid.recipes.held_out as held_out
from subgrid.cli import main
from subgrid.config import load_config
from subgrid.errors import CorruptFileError
from subgrid.experiment import Progress, RunFolder, run_experiment
from subgrid.recipes.evaluate import read_scores, table_of
from subgrid.recipes.results import load_results, read_dataset, write_dataset


class Stopped(Exception):
    """Stands for whatever ends a process between two segments."""


class StopOnline(Progress):
    """Stops the free runs of a model after the first segment that was saved."""

    def show(self, task, finished):
        if task.label == "online smagorinsky" and task.done < task.total:
            raise Stopped


@pytest.fixture
def in_progress(a_copy):
    """A run folder whose free run of one closure is half done, and the file of that run."""
    folder = RunFolder.open(a_copy)
    folder.forget("evaluation/online/smagorinsky.zarr")
    with pytest.raises(Stopped):
        run_experiment(load_config(SMALLEST), a_copy, progress=StopOnline())
    file = a_copy / "evaluation/partial/smagorinsky.safetensors"
    assert file.is_file()
    return a_copy, file


def truncated(content):
    return content[: len(content) // 2]


def altered(content):
    return (
        content[: len(content) // 2]
        + bytes([content[len(content) // 2] ^ 1])
        + content[len(content) // 2 + 1 :]
    )


@pytest.mark.parametrize("command", ["run", "evaluate"])
@pytest.mark.parametrize("damage", [truncated, altered])
def test_a_damaged_free_run_is_named_and_nothing_is_overwritten(
    in_progress, damage, command, capfd, monkeypatch
):
    folder, file = in_progress
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    before, manifest = digests(folder), RunFolder.open(folder).manifest()
    # `main` sets it for the process
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", jax.config.jax_compilation_cache_dir)
    capfd.readouterr()
    assert main([command, str(folder)]) == 1
    message = capfd.readouterr().err
    assert f"error: {file} " in message
    assert "truncated" in message if damage is truncated else "altered" in message
    assert "Traceback" not in message
    assert digests(folder) == before
    assert RunFolder.open(folder).manifest() == manifest


@pytest.mark.parametrize("name", ["reference.zarr", "offline/smagorinsky.zarr", "costs/none.json"])
def test_a_damaged_store_of_an_unfinished_evaluation_is_named_and_not_taken(a_copy, name):
    RunFolder.open(a_copy).forget("scores.json")
    result = a_copy / "evaluation" / name
    chunks = [f for f in sorted(result.rglob("c/*")) if f.is_file()] or [result]
    chunks[0].write_bytes(altered(chunks[0].read_bytes()))
    before = digests(a_copy)
    with pytest.raises(CorruptFileError, match=rf"{re.escape(str(chunks[0]))} was altered"):
        run_experiment(load_config(SMALLEST), a_copy)
    assert digests(a_copy) == before


@pytest.mark.slow
@pytest.mark.parametrize("written", [True, False])
def test_what_a_kill_while_a_store_is_written_leaves_is_no_obstacle(a_copy, finished, written):
    RunFolder.open(a_copy).forget("evaluation/reference.zarr")
    if not written:
        shutil.rmtree(a_copy / "evaluation/reference.zarr")
    (a_copy / "evaluation/.reference.zarr.subgrid-0123abcd").mkdir()
    run_experiment(load_config(SMALLEST), a_copy)
    assert digests(a_copy) == digests(finished)


def test_a_free_run_in_progress_goes_on_to_the_same_bits(in_progress, finished):
    folder, _ = in_progress
    run_experiment(load_config(SMALLEST), folder)
    assert digests(folder) == digests(finished)


@pytest.mark.slow
def test_offline_samples_that_are_not_finite_are_counted_and_dated(a_copy, monkeypatch):
    whole = held_out._batches

    def spoilt(*arguments):
        for state, forcing in whole(*arguments):
            forcing = np.array(forcing)
            forcing[2:4, 0, 0, 0] = np.nan
            yield state, forcing

    monkeypatch.setattr(held_out, "_batches", spoilt)
    notes = []
    monkeypatch.setattr(Progress, "note", lambda self, text: notes.append(text))
    RunFolder.open(a_copy).forget("evaluate")
    shutil.rmtree(a_copy / "evaluation/offline")
    (a_copy / "scores.json").unlink()
    run_experiment(load_config(SMALLEST), a_copy)
    # 4 of the 12 samples: two trajectories of 6 frames, 4 hours apart; the third is frame 1 of the
    # second trajectory
    scores = json.loads((a_copy / "scores.json").read_text())["offline"]["smagorinsky"][0]
    assert (scores["masked_samples"], scores["first_masked"]) == (2, 2)
    assert scores["first_masked_trajectory"] == 1
    assert scores["first_masked_time"] == pytest.approx(1 * 2 * 7200 / 86400)
    assert np.isfinite(scores["mse"])
    page = (a_copy / "report.html").read_text()
    assert (
        "smagorinsky: 2 of 4 offline samples are not finite and left out, the first: test "
        "trajectory 1, day 0.2." in page
    )
    assert any("offline smagorinsky: 2 of 4 samples are not finite" in note for note in notes)


def test_the_written_table_of_scores_is_the_table(finished):
    """The report reads it, with everything that the sections ask of it."""
    folder = RunFolder.open(finished)
    results = load_results(folder)
    table, read = table_of(folder, results, results.online), read_scores(folder)
    assert list(read) == list(table)
    assert {name: read.attrs[name] for name in table.attrs} == table.attrs
    for name, values in table.variables.items():
        assert read[name].variable.equals(values), name
        assert read[name].attrs == values.attrs


def test_tables_in_groups_of_a_store_are_read_alone(finished, tmp_path):
    """A variant's table stands in the same store as that of the run, with other numbers."""
    table = read_scores(RunFolder.open(finished))
    other = table.assign_attrs(variables=["other"]) * 2
    write_dataset(tmp_path / "scores.zarr", table, {"variants/alpha-1.5": other})
    assert read_dataset(tmp_path / "scores.zarr").sizes == table.sizes
    assert "variants" not in read_dataset(tmp_path / "scores.zarr")
    found = read_dataset(tmp_path / "scores.zarr" / "variants" / "alpha-1.5")
    for name in table:
        assert found[name].variable.equals(other[name].variable), name
