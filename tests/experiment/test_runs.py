"""A whole run: what it leaves, what it does when asked again, and how it meets damage."""

import json
import re
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray
from experiment_runs import SMALLEST, digests, finish, start

from subgrid.closures import load_closure
from subgrid.coarsening import SubgridFlux, flux_divergence
from subgrid.config import load_config
from subgrid.data import GenerationSummary, TrajectoryResult, generation, statistics
from subgrid.errors import ConfigError, CorruptFileError, RunFolderError
from subgrid.experiment import Progress, RunFolder, run_experiment, takeover
from subgrid.recipes import make_report, simulate
from subgrid.systems import TwoLayerQG


class Notes(Progress):
    """Keeps every line of news."""

    def __init__(self):
        self.lines = []

    def note(self, text):
        self.lines.append(text)


def test_a_run_leaves_what_the_design_promises(finished):
    for name in (
        "config.toml",
        "manifest.json",
        "data/train.zarr",
        "data/validation.zarr",
        "data/test.zarr",
        "models/cascade/seed_0/model.json",
        "models/cascade/seed_0/weights.safetensors",
        "models/stacked/seed_1/weights.safetensors",
        "models/stacked/seed_1/card.md",
        "evaluation/reference.zarr",
        "evaluation/online/none.zarr",
        "evaluation/online/stacked-seed1.zarr",
        "evaluation/offline/smagorinsky.zarr",
        "scores.json",
        "report.html",
    ):
        assert (finished / name).exists(), name
    assert not (finished / "evaluation/partial").exists()
    folder = RunFolder.open(finished)
    assert list(folder.stages()) == ["simulate", "train", "evaluate", "report"]
    records = json.loads((finished / "manifest.json").read_text())["tasks"]
    assert records.keys() == folder.tasks.keys()
    for name, record in records.items():
        assert record["key"] == folder.tasks[name].key
        assert record["seconds"] >= 0


def test_the_data_open_with_xarray_alone(finished):
    data = xarray.open_zarr(finished / "data/train.zarr", group="scale_12", consolidated=False)
    assert data.q.dims == ("trajectory", "time", "level", "y", "x")
    assert data.q.attrs["units"] == "s-1"
    assert np.isfinite(data.q_forcing.values).all()


def test_everything_evaluated_opens_with_xarray_alone_and_fits_netcdf(finished, tmp_path):
    stores = sorted((finished / "evaluation").rglob("*.zarr"))
    assert len(stores) > 5
    for store in stores:
        found = xarray.open_zarr(store, chunks=None).load()  # a warning would be an error
        assert found.data_vars
        found.to_netcdf(tmp_path / "a.nc", engine="scipy")
        xarray.testing.assert_equal(xarray.load_dataset(tmp_path / "a.nc", engine="scipy"), found)


@pytest.mark.slow
def test_the_flux_form_is_stored_if_the_config_asks_for_it(finished, tmp_path):
    config = load_config(SMALLEST, overrides=["data.store_flux=true"])
    folder = run_experiment(config, tmp_path / "run", stages=("simulate",))
    for size in (12, 8):
        data = xarray.open_zarr(folder.split("test"), group=f"scale_{size}", consolidated=False)
        plain = xarray.open_zarr(
            finished / "data/test.zarr", group=f"scale_{size}", consolidated=False
        )
        assert set(data.data_vars) == {*plain.data_vars, "q_flux_x", "q_flux_y"}
        np.testing.assert_array_equal(data.q, plain.q)
        flux = SubgridFlux(*(jnp.asarray(data[f"q_flux_{axis}"].values) for axis in "xy"))
        forcing = data.q_forcing.values
        # a difference of float32 tendencies: near the start it has few digits
        np.testing.assert_allclose(
            -flux_divergence(flux, TwoLayerQG(size).grid),
            forcing,
            atol=0.02 * np.abs(forcing).max(),
        )
    assert set(statistics(folder.split("train"), 12)) == set(data.data_vars)


def test_blow_ups_are_told_with_the_safe_step():
    results = (
        TrajectoryResult(0, False, ("a", "b"), (7,), (3456.0,), {}, ""),
        TrajectoryResult(1, True, ("c", "d"), (5, 6), (1299.0, None), {}, ""),
    )
    notes = Notes()
    summary = GenerationSummary(Path("train.zarr"), 2, 2, (1,), results, "", "")
    simulate._tell_blow_ups(notes, "train", summary, "s")
    assert notes.lines == [
        "simulate train: 3 attempts blew up and were repeated with new seeds; 1 of 2 trajectories "
        "are missing; the largest safe dt is 1200 s"
    ]


def test_the_scores_cover_every_model_and_no_member_blew_up(finished):
    scores = json.loads((finished / "scores.json").read_text())
    assert list(scores["online"]) == ["none", "smagorinsky", "cascade", "stacked"]
    assert scores["online"]["stacked"]["networks"] == 2
    assert all(score["blow_ups"] == [] for score in scores["online"].values())
    assert list(scores["offline"]) == ["smagorinsky", "cascade", "stacked"]


def test_the_report_needs_no_other_file_and_no_network(finished):
    page = (finished / "report.html").read_text()
    links = re.findall(r"""(?:src|href)=["']([^"'#][^"']*)""", page)
    assert links
    assert all(link.startswith("data:") for link in links)
    for name in ("smagorinsky", "cascade", "stacked", "subgrid run"):
        assert name in page


def test_a_finished_run_does_nothing_when_run_again(finished):
    before = digests(finished), (finished / "report.html").read_bytes()
    notes = Notes()
    run_experiment(load_config(SMALLEST), finished, progress=notes)
    assert [line for line in notes.lines if "begins" in line] == []
    assert before == (digests(finished), (finished / "report.html").read_bytes())


def test_a_learned_closure_loads_from_its_folder_alone(finished):
    state = TwoLayerQG(12).initial_state(key=jax.random.key(0))
    for seed in (0, 1):
        increment, _ = load_closure(finished / "models/stacked" / f"seed_{seed}")(state)
        assert increment.q.shape == (2, 12, 12)
        assert np.isfinite(increment.q).all()


def test_an_altered_data_chunk_is_named_and_nothing_overwritten(a_copy):
    manifest = RunFolder.open(a_copy).manifest()
    shard = next(
        f for f in sorted((a_copy / "data/test.zarr/scale_12/q/c").rglob("*")) if f.is_file()
    )
    damage(shard)
    before = digests(a_copy)
    with pytest.raises(CorruptFileError, match=re.escape(str(shard))):
        run_experiment(load_config(SMALLEST), a_copy)
    assert digests(a_copy) == before
    assert RunFolder.open(a_copy).manifest() == manifest


def test_altered_weights_are_named_and_can_be_made_again(a_copy):
    weights = a_copy / "models/cascade/seed_0/weights.safetensors"
    wanted = {n: d for n, d in digests(a_copy).items() if n.startswith(("data", "models"))}
    damage(weights)
    with pytest.raises(CorruptFileError, match=r"cascade/seed_0/weights\.safetensors was altered"):
        run_experiment(load_config(SMALLEST), a_copy)
    run_experiment(load_config(SMALLEST), a_copy, stages=("train",), force=True)
    assert digests(a_copy) == wanted


def test_another_config_may_take_over_the_data_only_of_the_same_truth(finished, tmp_path):
    config = load_config(SMALLEST, overrides=["models.cascade.width=0.0625"])
    folder = run_experiment(config, tmp_path / "a", stages=("simulate",), data_from=finished)
    theirs = digests(finished)
    assert {name: value for name, value in digests(folder.path).items()} == {
        name: value for name, value in theirs.items() if name.startswith("data/")
    }
    other = load_config(SMALLEST, overrides=["truth.spinup_steps=9"])
    with pytest.raises(ConfigError, match="other settings in truth"):
        run_experiment(other, tmp_path / "b", stages=("simulate",), data_from=finished)
    assert not (tmp_path / "b").exists()


def test_data_of_another_version_are_not_taken_over(a_copy, tmp_path):
    source = RunFolder.open(a_copy)
    source.write_manifest({**source.manifest(), "subgrid": "0.0.1"})
    with pytest.raises(RunFolderError, match=r"--data-from .* begun by subgrid 0\.0\.1, this is"):
        run_experiment(
            load_config(SMALLEST), tmp_path / "run", stages=("simulate",), data_from=a_copy
        )
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_data_taken_over_name_their_source_also_in_the_report(a_copy, tmp_path):
    source = RunFolder.open(a_copy)
    manifest = source.manifest()
    splits = ("data/train", "data/validation", "data/test")
    for name in splits:
        manifest["tasks"][name]["environment"]["commit"] = "0123456789ab"
    source.write_manifest(manifest)
    config, stages = load_config(SMALLEST), ("simulate",)
    first = run_experiment(config, tmp_path / "first", stages=stages, data_from=a_copy)
    origin = {
        "folder": str(a_copy),
        "config_hash": manifest["config_hash"],
        "environment": manifest["tasks"]["data/test"]["environment"],
    }
    assert first.stages()["simulate"]["data_from"] == origin
    second = run_experiment(config, tmp_path / "second", stages=stages, data_from=first.path)
    record = second.stages()["simulate"]
    assert record["data_from"]["folder"] == str(first.path)
    assert record["data_from"]["data_from"] == origin
    for name in splits:
        manifest["tasks"][name]["data_from"] = record["data_from"]
    source.write_manifest(manifest)
    source.forget("report")
    run_experiment(config, a_copy, stages=("report",), force=True)
    page = (a_copy / "report.html").read_text()
    # by name: pages are published, and where a run lies is nobody's business
    assert f"{first.path.name} (config" in page
    assert str(first.path) not in page
    assert f", there from {a_copy.name} (config {manifest['config_hash'][:12]}, subgrid" in page
    assert "commit 0123456789ab" in page


def test_data_are_taken_over_by_the_stage_that_makes_them_only(finished, tmp_path):
    out = tmp_path / "run"
    with pytest.raises(ConfigError, match=r"the stage 'train' makes no data .*subgrid simulate"):
        run_experiment(load_config(SMALLEST), out, stages=("train",), data_from=finished)
    assert not out.exists()
    with pytest.raises(ConfigError, match="this is the run folder itself"):
        run_experiment(load_config(SMALLEST), finished, data_from=finished)
    with pytest.raises(RunFolderError, match="is no run folder"):
        run_experiment(load_config(SMALLEST), out, data_from=tmp_path / "none")
    assert not out.exists()


@pytest.mark.parametrize("done", [False, True])
def test_force_takes_the_data_over_instead_of_simulating_them(
    finished, tmp_path, monkeypatch, done
):
    config, out = load_config(SMALLEST), tmp_path / "run"
    if done:
        run_experiment(config, out, stages=("simulate",), data_from=finished)
        shard = next(f for f in sorted((out / "data/train.zarr").rglob("0")) if f.is_file())
        damage(shard)
    monkeypatch.setattr(generation, "run_trajectory", None)  # nothing may be simulated
    notes = Notes()
    folder = run_experiment(
        config, out, stages=("simulate",), data_from=finished, force=True, progress=notes
    )
    assert f"simulate: copies the data of {finished}" in notes.lines
    assert folder.is_done("simulate")
    assert digests(out) == {n: d for n, d in digests(finished).items() if n.startswith("data/")}


def test_the_same_command_goes_on_when_the_source_of_its_data_is_gone(finished, tmp_path):
    config, source, out = load_config(SMALLEST), tmp_path / "source", tmp_path / "run"
    shutil.copytree(finished, source)
    run_experiment(config, out, stages=("simulate",), data_from=source)
    shutil.rmtree(source)
    notes = Notes()
    run_experiment(config, out, stages=("simulate",), data_from=source, progress=notes)
    assert "simulate: done already" in notes.lines


def test_a_copy_that_was_killed_leaves_nothing(finished, tmp_path, monkeypatch):
    config, out = load_config(SMALLEST), tmp_path / "run"

    def half(source, names, target):
        (target / "train.zarr").mkdir(parents=True)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(takeover, "copy_data", half)
        with pytest.raises(KeyboardInterrupt):
            run_experiment(config, out, stages=("simulate",), data_from=finished)
    assert (out / "data.partial").is_dir()
    run_experiment(config, out, stages=("simulate",))  # simulated this time
    assert not list(out.rglob("*.partial"))
    assert digests(out) == {n: d for n, d in digests(finished).items() if n.startswith("data/")}


@pytest.mark.slow
def test_two_workers_write_the_same_bits_as_one(finished, tmp_path):
    code, output = finish(start("run", SMALLEST, "--out", tmp_path / "run", "--workers", "2"))
    assert code == 0, output
    assert digests(tmp_path / "run") == digests(finished)


@pytest.mark.slow
def test_a_dask_cluster_writes_the_same_bits(finished, tmp_path):
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster:
        code, output = finish(
            start("run", SMALLEST, "--out", tmp_path / "run", "--dask", cluster.scheduler_address)
        )
    assert code == 0, output
    assert digests(tmp_path / "run") == digests(finished)
    assert not (tmp_path / "run/.tasks").exists()


def test_a_cluster_that_does_not_answer_is_named(tmp_path):
    with pytest.raises(ConfigError, match="--dask nowhere"):
        run_experiment(load_config(SMALLEST), tmp_path / "run", dask="nowhere")


def damage(file):
    """Flip one bit in the middle of a file."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_a_folder_called_like_the_preset_does_not_stop_the_report(tmp_path, monkeypatch):
    config = load_config("quickstart", "tiny")
    assert make_report._commands(config)[0] == "subgrid run quickstart --profile tiny"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quickstart").mkdir()
    shutil.copy(SMALLEST, tmp_path / "quickstart" / "config.toml")  # without profiles
    assert len(make_report._commands(config)) == 1  # the name leads elsewhere here
