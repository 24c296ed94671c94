"""The run folder: one config, one process, nothing overwritten, damage named."""

import json
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
from experiment_runs import SMALLEST, digests, mark

from subgrid.config import load_config
from subgrid.errors import CorruptFileError, RunFolderError, RunLockedError
from subgrid.experiment import RunFolder, RunLock, run_experiment
from subgrid.experiment.outputs import results

TINY = load_config(SMALLEST)


def with_set(*overrides):
    return load_config(SMALLEST, overrides=overrides)


def test_a_folder_opens_again_with_the_same_config(tmp_path):
    made = RunFolder.create(tmp_path / "run", TINY)
    again = RunFolder.create(tmp_path / "run", TINY)
    assert again.config == made.config == RunFolder.open(tmp_path / "run").config == TINY


def test_a_config_that_shares_nothing_is_refused_and_the_difference_named(tmp_path):
    mark(RunFolder.create(tmp_path, TINY), "data/test")
    differs = r"no work in common .*\n  truth\.nx: there 16, here 18"
    with pytest.raises(RunFolderError, match=differs):
        RunFolder.create(tmp_path, with_set("truth.nx=18"))
    assert RunFolder.open(tmp_path).config == TINY


def test_a_changed_config_is_taken_and_what_it_shares_stays_done(tmp_path):
    folder = RunFolder.create(tmp_path, TINY)
    mark(folder, "data/test", "models/cascade/seed_0", "models/stacked/seed_0")
    changed = RunFolder.create(tmp_path, with_set("models.cascade.width=1.0"))
    assert RunFolder.open(tmp_path).config == changed.config != TINY
    assert changed.is_done("data/test")
    assert changed.is_done("models/stacked/seed_0")
    assert not changed.is_done("models/cascade/seed_0")
    assert "models/cascade/seed_0" in changed.stale()
    assert RunFolder.create(tmp_path, TINY).is_done("models/cascade/seed_0")  # nothing was lost


def test_a_folder_goes_to_another_process_without_its_tasks(tmp_path, monkeypatch):
    RunFolder.create(tmp_path / "run", TINY)
    monkeypatch.chdir(tmp_path)
    folder = RunFolder(Path("run"), TINY, trust=True)
    keys = {name: task.key for name, task in folder.tasks.items()}
    there = pickle.loads(pickle.dumps(folder))
    assert there.path == tmp_path / "run"  # from wherever the other process was started
    assert (there.config, there.trust) == (TINY, True)
    assert "tasks" not in vars(there)
    assert {name: task.key for name, task in there.tasks.items()} == keys


def test_another_format_is_refused(tmp_path):
    folder = RunFolder.create(tmp_path, TINY)
    for number in (1, 999):  # of 0.1, and of a later one
        folder.write_manifest({**folder.manifest(), "format": number})
        with pytest.raises(RunFolderError, match=f"format {number} .*this version reads format 2"):
            RunFolder.open(tmp_path)


def test_a_run_begun_by_another_version_is_not_mixed_with_this_one(a_copy):
    folder = RunFolder.open(a_copy)
    folder.write_manifest({**folder.manifest(), "subgrid": "0.0.1"})
    before = digests(a_copy)
    run_experiment(TINY, a_copy)  # all is done: the report may be drawn by any version
    folder.forget("report")
    run_experiment(TINY, a_copy, stages=["report"])
    folder.forget("evaluate")
    with pytest.raises(RunFolderError, match=r"begun by subgrid 0\.0\.1, this is .*'evaluate'"):
        run_experiment(TINY, a_copy)
    with pytest.raises(RunFolderError, match=r"begun by subgrid 0\.0\.1"):
        run_experiment(TINY, a_copy, stages=["train"], force=True)
    assert digests(a_copy) == before


def test_a_config_edited_by_hand_is_refused(tmp_path):
    RunFolder.create(tmp_path, TINY)
    file = tmp_path / "config.toml"
    file.write_text(file.read_text().replace("updates = 6", "updates = 14"))
    with pytest.raises(RunFolderError, match="was changed after the run began"):
        RunFolder.open(tmp_path)


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(RunFolderError, match="not empty"):
        RunFolder.create(tmp_path, TINY)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="is a file"):
        RunFolder.create(tmp_path / "file", TINY)


def test_what_a_kill_during_creation_leaves_is_no_obstacle(tmp_path):
    RunFolder.create(tmp_path, TINY)
    (tmp_path / "config.toml").rename(tmp_path / ".config.toml.subgrid-0123abcd")
    (tmp_path / ".manifest.json.subgrid-0a1b2c3d").write_text("{")
    (tmp_path / ".lock").write_text('{"pid": 12, "host": "here", "since": 1.5}')
    assert RunFolder.create(tmp_path, TINY).manifest()["tasks"] == {}


def test_what_a_kill_leaves_half_written_is_removed_with_its_stage(a_copy):
    before = digests(a_copy)
    folder = RunFolder.open(a_copy)
    seed = folder.model("stacked", 0)
    left = [seed / ".best.safetensors.subgrid-28a0b5b1"]
    left += [folder.evaluation / "costs/.none.json.subgrid-7c00b0ba"]
    for path in left:
        path.write_bytes(b"half")
    mine = seed / ".note"  # no name of a temporary file
    mine.write_bytes(b"kept")
    folder.forget("train")
    run_experiment(TINY, a_copy)
    assert not any(path.exists() for path in left)
    assert mine.exists()
    mine.unlink()
    assert digests(a_copy) == before


def test_a_damaged_manifest_is_named(tmp_path):
    RunFolder.create(tmp_path, TINY)
    (tmp_path / "manifest.json").write_text('{"format": 1, "sta')
    with pytest.raises(CorruptFileError, match=r"manifest\.json"):
        RunFolder.open(tmp_path)


def test_a_finished_task_is_known_until_its_files_change(tmp_path):
    folder = RunFolder.create(tmp_path, TINY)
    file = tmp_path / "scores.json"
    file.write_text("{}")
    assert not folder.is_done("scores.json")
    folder.mark_done("scores.json", 1.0, [file])
    assert RunFolder.open(tmp_path).is_done("scores.json")
    assert not folder.is_done("evaluate")  # the stage has other tasks
    file.write_text("[]")
    with pytest.raises(CorruptFileError, match=r"scores\.json was altered"):
        folder.is_done("scores.json")
    file.unlink()
    with pytest.raises(CorruptFileError, match=r"scores\.json.* is gone"):
        folder.is_done("scores.json")
    folder.forget("train")
    assert not folder.is_done("scores.json")


def test_one_byte_of_a_large_file_is_noticed_where_its_size_is_as_it_was(tmp_path):
    folder = RunFolder.create(tmp_path, TINY)
    file = tmp_path / "data/shard"
    file.parent.mkdir()
    with open(file, "wb") as stream:
        stream.truncate(40 * 2**20)  # a hole: takes no room on the disk
    folder.mark_done("scores.json", 1.0, [file])
    assert folder.is_done("scores.json")
    with open(file, "r+b") as stream:
        stream.seek(30 * 2**20)
        stream.write(b"\x01")
    with pytest.raises(CorruptFileError, match=r"data/shard was altered"):
        folder.is_done("scores.json")


def test_the_manifest_records_machine_versions_and_seed(tmp_path):
    folder = RunFolder.create(tmp_path, TINY)
    folder.mark_done("scores.json", 1.5, [])
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["seed"] == TINY.seed
    record = manifest["tasks"]["scores.json"]
    assert record["seconds"] == 1.5
    assert {"versions", "commit", "device"} <= record["environment"].keys()


@pytest.mark.parametrize(
    ("override", "reached"),
    [
        ("truth.spinup_steps=9", r".+"),
        ("training.updates=13", r"(models|evaluation/.*(cascade|stacked)|scores|report).*"),
        ("models.cascade.width=1.0", r"(models/cascade|evaluation/.*cascade|scores|report).*"),
        ("models.cascade.seeds=2", r"(scores|report).*"),
        ("models.smagorinsky.arguments={constant=0.2}", r"(evaluation/.*smag|scores|report).*"),
        ("evaluation.samples=3", r"(evaluation/offline|scores|report).*"),
        ("evaluation.steps=8", r"(evaluation/(online|costs|reference)|scores|report).*"),
        ("evaluation.bootstrap=50", r"(scores|report).*"),
        ("description=other", r"report.*"),
        ("training.in_memory=false", r"report.*"),
    ],
)
def test_a_changed_config_reaches_only_what_depends_on_it(override, reached):
    before = RunFolder(Path(), TINY).tasks
    after = RunFolder(Path(), with_set(override)).tasks
    changed = {name for name, task in before.items() if after[name].key != task.key}
    assert changed == {name for name in before if re.fullmatch(reached, name)}


def test_the_second_process_is_refused_and_told_who_holds_the_folder(tmp_path):
    held = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time\nfrom subgrid.experiment.lock import RunLock\n"
            f"with RunLock({str(tmp_path)!r}):\n    print('held', flush=True)\n    time.sleep(60)",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert held.stdout is not None
        assert held.stdout.readline() == "held\n"
        with pytest.raises(RunLockedError, match=f"process {held.pid} on"), RunLock(tmp_path):
            pass
    finally:
        held.kill()  # SIGKILL: the holder has no chance to release anything
        held.communicate()
    with RunLock(tmp_path):
        pass


def test_results_count_under_any_name_of_the_folder(tmp_path):
    # the names of records of progress, elsewhere than where these lie
    place = tmp_path / "checkpoints" / "partial"
    models = [
        model.model_copy(update={"name": name})
        for model, name in zip(TINY.learned(), ("checkpoints", "partial"), strict=True)
    ]
    folder = RunFolder(place, TINY.model_copy(update={"models": (*TINY.models[:2], *models)}))
    kept = [
        place / "models" / "checkpoints" / "seed_0" / "model.json",
        place / "models" / "partial" / "seed_0" / "model.json",
        place / "evaluation" / "online" / "partial-seed0.zarr" / "zarr.json",
    ]
    passing = [
        place / "models" / "partial" / "seed_0" / "stage_0" / "checkpoints" / "7.safetensors",
        place / "evaluation" / "partial" / "partial-seed0.safetensors",
        place / "evaluation" / "a.lock",
    ]
    for file in (*kept, *passing):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    found = [file for task in folder.tasks.values() for file in results(folder, task)]
    assert sorted(found) == sorted(kept)
