"""A changed config does again what the change reaches, and nothing else."""

import json
import sys

import pytest
from experiment_runs import SMALLEST, Notes, digests

from subgrid.config import config_from_dict, load_config
from subgrid.errors import RunFolderError
from subgrid.evaluation import METRICS
from subgrid.experiment import RunFolder, run_experiment
from subgrid.recipes import make_report

TINY = load_config(SMALLEST)
ADDED = {"name": "added", "kind": "learned", "networks": ["4x3-x3"], "width": 0.5}


def with_models(*entries, without=()):
    tables = TINY.to_dict()
    kept = [model for model in tables["models"] if model["name"] not in without]
    return config_from_dict({**tables, "models": [*kept, *entries]})


@pytest.fixture(autouse=True)
def no_page(monkeypatch):
    """Leave out what a report shows, most of a small run's time."""
    monkeypatch.setattr(make_report, "report_data", lambda folder: None)
    monkeypatch.setattr(make_report, "write_report", lambda data, path: path.write_text("page"))


@pytest.fixture
def run(a_copy):
    """Runs a config in a copy of the finished run; returns the tasks that were done."""

    def run(config, **options):
        before = RunFolder.open(a_copy).manifest()["tasks"]
        folder = run_experiment(config, a_copy, **options)
        after = folder.manifest()["tasks"]
        assert folder.is_done("report")
        return {name for name in after if after[name] != before.get(name)}

    return run


def test_one_closure_added_trains_and_scores_that_closure_alone(a_copy, run):
    before = digests(a_copy)
    assert run(with_models(ADDED)) == {
        "models/added/seed_0",
        "evaluation/offline/added-seed0.zarr",
        "evaluation/online/added-seed0.zarr",
        "evaluation/costs/added.json",
        "scores.json",
        "report.html",
    }
    after = digests(a_copy)
    assert {n: d for n, d in after.items() if n in before and n != "scores.json"} == {
        n: d for n, d in before.items() if n != "scores.json"
    }
    online = json.loads((a_copy / "scores.json").read_text())["online"]
    assert list(online) == ["none", "smagorinsky", "cascade", "stacked", "added"]


@pytest.mark.slow
def test_a_removed_model_stays_on_disk_and_out_of_the_scores_until_it_is_back(a_copy, run):
    less, scores = with_models(without=["stacked"]), a_copy / "scores.json"
    wanted = digests(a_copy)
    assert run(less) == {"scores.json", "report.html"}
    assert "stacked" not in json.loads(scores.read_text())["online"]
    assert (a_copy / "models/stacked/seed_1/weights.safetensors").is_file()
    assert run(TINY) == {"scores.json", "report.html"}
    assert digests(a_copy) == wanted


@pytest.mark.slow
def test_what_a_removed_model_left_goes_when_its_stage_is_forced(a_copy, run):
    run(with_models(without=["stacked"]))
    folder = RunFolder.open(a_copy)
    run_experiment(folder.config, a_copy, stages=("train",), force=True)
    assert not (a_copy / "models/stacked").exists()
    assert not [name for name in folder.manifest()["tasks"] if "stacked" in name]
    assert not (a_copy / "evaluation").exists()


def test_one_metric_added_scores_without_a_single_model_step(a_copy, run, monkeypatch):
    monkeypatch.setattr("subgrid.recipes.held_out.free_runs", None)  # nothing may be stepped
    assert run(TINY) == set()
    known = METRICS.get("mean_error")
    mine = type("Mine", (known,), {"name": "of_mine", "__module__": known.__module__})
    monkeypatch.setattr(METRICS, "_entries", {**METRICS._entries, "of_mine": mine})
    assert run(TINY) == {"scores.json", "report.html"}
    assert (a_copy / "scores.zarr/of_mine").is_dir()


def test_a_metric_of_the_users_is_named_in_the_config(a_copy, run, monkeypatch, tmp_path):
    monkeypatch.setattr("subgrid.recipes.held_out.free_runs", None)  # nothing may be stepped
    base = "from subgrid.evaluation.metric_runs import MeanError"
    (tmp_path / "own_metric.py").write_text(
        f"{base}\nclass Mine(MeanError):\n    name = 'of_mine'\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    config = load_config(SMALLEST, overrides=['evaluation.metrics=["own_metric:Mine"]'])
    assert run(config, trust=True) == {"scores.json", "report.html"}
    assert (a_copy / "scores.zarr/of_mine").is_dir()
    sys.modules.pop("own_metric")


@pytest.mark.parametrize(
    ("overrides", "done"),
    [
        (["evaluation.bootstrap=50"], {"scores.json", "report.html"}),
        (["description=other"], {"report.html"}),
    ],
)
def test_a_change_of_what_comes_last_reaches_no_more(run, overrides, done):
    assert run(load_config(SMALLEST, overrides=overrides)) == done


@pytest.mark.slow
def test_a_model_of_other_settings_is_made_again_and_told(a_copy, run):
    notes = Notes()
    config = load_config(SMALLEST, overrides=["models.stacked.width=0.25"])
    done = run(config, progress=notes)
    assert {name for name in done if "stacked" not in name} == {"scores.json", "report.html"}
    assert "models.stacked.width: there 0.5, here 0.25" in notes.lines[0]
    told = next(line for line in notes.lines if line.startswith("made again"))
    assert "models/stacked/seed_0, models/stacked/seed_1" in told
    assert "simulate: done already" in notes.lines


@pytest.mark.slow
def test_a_kill_while_old_results_are_removed_lets_none_of_them_count(a_copy, run, monkeypatch):
    from subgrid.experiment import run as running

    config = load_config(SMALLEST, overrides=["models.stacked.width=0.25"])

    def killed(folder, files):
        for file in sorted(files)[::2]:
            file.unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(running, "remove", killed)
        with pytest.raises(KeyboardInterrupt):
            run_experiment(config, a_copy)
    assert "models/stacked/seed_0" in run(config)
    fresh = run_experiment(config, a_copy.parent / "fresh", data_from=a_copy)
    assert digests(fresh.path) == digests(a_copy)


def test_a_config_that_would_lose_all_is_refused_and_nothing_touched(a_copy):
    before = digests(a_copy)
    with pytest.raises(RunFolderError, match=r"(?s)no work in common.*truth\.spinup_steps: there"):
        run_experiment(load_config(SMALLEST, overrides=["truth.spinup_steps=9"]), a_copy)
    assert digests(a_copy) == before
    assert RunFolder.open(a_copy).config == TINY
