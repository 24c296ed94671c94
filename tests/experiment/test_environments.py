"""Runs that several commits or versions made say so: in the notes and in the report."""

import copy

import pytest
from experiment_runs import SMALLEST

from subgrid.config import load_config
from subgrid.errors import RunFolderError
from subgrid.experiment import (
    STAGES,
    Progress,
    RunFolder,
    Task,
    folder,
    remote,
    run,
    run_experiment,
    takeover,
)
from subgrid.experiment.environments import code_facts, code_warnings, participants
from subgrid.provenance import environment
from subgrid.recipes.closure import ClosureRecipe


class Notes(Progress):
    """Keeps every line of news."""

    def __init__(self):
        self.lines = []

    def note(self, text):
        self.lines.append(text)


def computing(settings=(), rounding=()):
    """Return this environment with other settings of JAX, or another machine or flags."""
    now = copy.deepcopy(environment())
    now["settings"].update(settings)
    now["rounding"].update(rounding)
    return now


RBG = computing({"jax_default_prng_impl": "rbg"})


def another(commit="0123456789ab", **versions):
    """Return this environment with another commit and versions."""
    now = copy.deepcopy(environment())
    return {**now, "commit": commit, "versions": {**now["versions"], **versions}}


@pytest.fixture
def stub_stages(monkeypatch):
    """Stages that do nothing but fail when asked."""
    failing = set()

    def tasks(config):
        found = []
        for stage in STAGES:

            def do(context, stage=stage):
                if stage in failing:
                    raise InterruptedError

            before = tuple(found[-1:])
            found.append(Task(name=stage, stage=stage, settings={}, run=do, inputs=before))
        return found

    monkeypatch.setattr(ClosureRecipe, "tasks", lambda self, config: tasks(config))
    return failing


def use(monkeypatch, now):
    for module in (run, folder, remote, takeover):
        monkeypatch.setattr(module, "environment", lambda: now)


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
    begun = manifest["begun"]["train"]["environments"]
    assert [entry["commit"] for entry in begun] == ["aaa", "aaa-dirty"]
    assert [manifest["tasks"][name]["resumed"] for name in ("simulate", "train")] == [False, True]
    taking_part = participants(RunFolder.open(tmp_path).manifest(), STAGES)
    assert code_facts(taking_part)["commit"] == "aaa (simulate, train), aaa-dirty (train)"
    assert code_warnings(taking_part) == [
        "Not all of this run was made by the same code: commit aaa (simulate, train), aaa-dirty "
        f"(train); JAX {now['jax']} (simulate, train), 0.0.1 (train)."
    ]
    run_experiment(config, tmp_path, stages=("simulate",), force=True)
    manifest = RunFolder.open(tmp_path).manifest()
    assert not manifest["begun"]  # what is done under one code is in its record
    assert not manifest["tasks"]["simulate"]["resumed"]


def test_one_code_for_all_stages_is_told_once_and_warned_of_never(
    tmp_path, monkeypatch, stub_stages
):
    notes = Notes()
    use(monkeypatch, another("aaa"))
    run_experiment(load_config(SMALLEST), tmp_path, progress=notes)
    assert not any("goes on" in line for line in notes.lines)
    taking_part = participants(RunFolder.open(tmp_path).manifest(), STAGES)
    assert code_facts(taking_part)["commit"] == "aaa"
    assert code_warnings(taking_part) == []


def test_a_stage_under_another_setting_of_jax_than_the_one_before_is_refused(
    tmp_path, monkeypatch, stub_stages
):
    config = load_config(SMALLEST)
    run_experiment(config, tmp_path, stages=("simulate",))
    use(monkeypatch, RBG)
    refused = (
        "train would run under jax_default_prng_impl = 'rbg'; simulate was done under "
        "jax_default_prng_impl = 'threefry2x32'.*Set JAX_DEFAULT_PRNG_IMPL as before"
    )
    for given in ({}, {"stages": ("train",), "force": True}):
        with pytest.raises(RunFolderError, match=refused):
            run_experiment(config, tmp_path, **given)
    with pytest.raises(RunFolderError, match="the copied data were made under jax_default"):
        run_experiment(config, tmp_path / "other", data_from=tmp_path)
    assert list(RunFolder.open(tmp_path).manifest()["tasks"]) == ["simulate"]
    run_experiment(config, tmp_path, stages=("simulate",), force=True)
    run_experiment(config, tmp_path)
    use(monkeypatch, environment())
    # what is done is done, and a report computes no numbers of its own
    run_experiment(config, tmp_path, stages=("report",), force=True)


def test_a_stage_that_goes_on_under_another_setting_of_jax_is_refused(
    tmp_path, monkeypatch, stub_stages
):
    config = load_config(SMALLEST)
    stub_stages.add("simulate")
    with pytest.raises(InterruptedError):
        run_experiment(config, tmp_path)
    use(monkeypatch, computing({"jax_enable_x64": True}))
    with pytest.raises(RunFolderError, match=r"run under .* = True; it was begun under .* = False"):
        run_experiment(config, tmp_path)
    # a manifest of before they were recorded says nothing of them
    made = RunFolder.open(tmp_path)
    manifest = made.manifest()
    for entry in manifest["begun"]["simulate"]["environments"]:
        del entry["settings"], entry["rounding"]
    made.write_manifest(manifest)
    stub_stages.clear()
    run_experiment(config, tmp_path)


def test_another_machine_or_other_flags_are_told_and_warned_of(tmp_path, monkeypatch, stub_stages):
    config, notes = load_config(SMALLEST), Notes()
    use(monkeypatch, computing(rounding={"processor": "old", "XLA_FLAGS": "--one"}))
    run_experiment(config, tmp_path, stages=("simulate",))
    now = computing(rounding={"processor": "new"})
    del now["rounding"]["XLA_FLAGS"]
    use(monkeypatch, now)
    run_experiment(config, tmp_path, progress=notes)
    assert [line for line in notes.lines if "goes on" in line] == [
        f"{stage}: goes on under processor new, XLA_FLAGS not set; simulate was done under "
        "processor old, XLA_FLAGS --one"
        for stage in ("train", "evaluate", "report")
    ]
    assert code_warnings(participants(RunFolder.open(tmp_path).manifest(), STAGES)) == [
        "Not all of this run was computed alike, so its parts round differently: processor old "
        "(simulate), new (train, evaluate, report); XLA_FLAGS --one (simulate), not set (train, "
        "evaluate, report)."
    ]


@pytest.mark.slow
def test_the_report_names_every_commit_that_took_part_and_says_if_a_stage_was_resumed(a_copy):
    made = RunFolder.open(a_copy)
    manifest = made.manifest()
    now = environment()["commit"] or "unknown"
    name = "models/cascade/seed_0"
    begun = {"key": manifest["tasks"][name]["key"], "stage": "train"}
    begun["environments"] = [another("0123456789ab-dirty")]
    manifest["begun"][name] = begun
    manifest["tasks"][name]["resumed"] = True
    made.write_manifest(manifest)
    run_experiment(load_config(SMALLEST), a_copy, stages=("report",), force=True)
    page = (a_copy / "report.html").read_text()
    assert page.count(f"{now} (simulate, train, evaluate), 0123456789ab-dirty (train)") == 2
    assert "Not all of this run was made by the same code" in page
    assert page.count(", its last session") == 1
