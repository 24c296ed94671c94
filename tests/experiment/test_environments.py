"""Runs that several commits or versions made say so: in the notes and in the report."""

import copy

import pytest
from experiment_runs import SMALLEST

from subgrid.config import load_config
from subgrid.experiment import Progress, RunFolder, folder, run, run_experiment
from subgrid.experiment.environments import code_facts, code_warnings, participants
from subgrid.provenance import environment


class Notes(Progress):
    """Keeps every line of news."""

    def __init__(self):
        self.lines = []

    def note(self, text):
        self.lines.append(text)


def another(commit="0123456789ab", **versions):
    """Return this environment with another commit and versions."""
    now = copy.deepcopy(environment())
    return {**now, "commit": commit, "versions": {**now["versions"], **versions}}


@pytest.fixture
def stub_stages(monkeypatch):
    """Stages that do nothing but fail when asked."""
    failing = set()

    def stage(name):
        def runner(folder, progress, workers):
            if name in failing:
                raise InterruptedError
            return {}

        return runner

    monkeypatch.setattr(run, "_RUNNERS", {name: (stage(name), ()) for name in run.STAGES})
    return failing


def use(monkeypatch, now):
    monkeypatch.setattr(run, "environment", lambda: now)
    monkeypatch.setattr(folder, "environment", lambda: now)


def test_a_run_that_goes_on_under_another_commit_or_jax_tells_it(
    tmp_path, monkeypatch, stub_stages
):
    config, notes = load_config(SMALLEST), Notes()
    use(monkeypatch, another("aaa"))
    run_experiment(config, tmp_path, stages=("simulate",), progress=notes)
    stub_stages.add("train")
    use(monkeypatch, another("aaa", jax="0.0.1"))
    with pytest.raises(InterruptedError):
        run_experiment(config, tmp_path, progress=notes)
    assert [line for line in notes.lines if "goes on" in line] == [
        f"train: goes on under JAX 0.0.1; simulate was done under "
        f"JAX {environment()['versions']['jax']}"
    ]
    stub_stages.clear()
    notes.lines.clear()
    use(monkeypatch, another("aaa-dirty"))
    run_experiment(config, tmp_path, stages=("train",), progress=notes)
    now = environment()["versions"]
    assert [line for line in notes.lines if "goes on" in line] == [
        "train: goes on under commit aaa-dirty; simulate was done under commit aaa",
        f"train: goes on under commit aaa-dirty, JAX {now['jax']}; it was begun under "
        "commit aaa, JAX 0.0.1",
    ]
    manifest = RunFolder.open(tmp_path).manifest()
    assert [entry["commit"] for entry in manifest["begun"]["train"]] == ["aaa", "aaa-dirty"]
    assert [manifest["stages"][name]["resumed"] for name in ("simulate", "train")] == [False, True]
    taking_part = participants(RunFolder.open(tmp_path).manifest(), run.STAGES)
    assert code_facts(taking_part)["commit"] == "aaa (simulate, train), aaa-dirty (train)"
    assert code_warnings(taking_part) == [
        "Not all of this run was made by the same code: commit aaa (simulate, train), aaa-dirty "
        f"(train); JAX {now['jax']} (simulate, train), 0.0.1 (train)."
    ]
    run_experiment(config, tmp_path, stages=("simulate",), force=True)
    manifest = RunFolder.open(tmp_path).manifest()
    assert list(manifest["begun"]) == ["simulate"]
    assert not manifest["stages"]["simulate"]["resumed"]


def test_one_code_for_all_stages_is_told_once_and_warned_of_never(
    tmp_path, monkeypatch, stub_stages
):
    notes = Notes()
    use(monkeypatch, another("aaa"))
    run_experiment(load_config(SMALLEST), tmp_path, progress=notes)
    assert not any("goes on" in line for line in notes.lines)
    taking_part = participants(RunFolder.open(tmp_path).manifest(), run.STAGES)
    assert code_facts(taking_part)["commit"] == "aaa"
    assert code_warnings(taking_part) == []


def test_the_report_names_every_commit_that_took_part_and_says_if_a_stage_was_resumed(a_copy):
    made = RunFolder.open(a_copy)
    manifest = made.manifest()
    now = environment()["commit"] or "unknown"
    manifest["begun"]["train"].append(another("0123456789ab-dirty"))
    manifest["stages"]["train"]["resumed"] = True
    made.write_manifest(manifest)
    run_experiment(load_config(SMALLEST), a_copy, stages=("report",), force=True)
    page = (a_copy / "report.html").read_text()
    assert page.count(f"{now} (simulate, train, evaluate), 0123456789ab-dirty (train)") == 2
    assert "Not all of this run was made by the same code" in page
    assert page.count(", its last session") == 1
