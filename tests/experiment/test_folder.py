"""The run folder: one config, one process, nothing overwritten, damage named."""

import json
import subprocess
import sys

import pytest
from experiment_runs import SMALLEST, digests

from subgrid.checksums import hashes, write_list
from subgrid.config import load_config
from subgrid.errors import CorruptFileError, RunFolderError, RunLockedError
from subgrid.experiment import RunFolder, RunLock, run_experiment
from subgrid.experiment.keys import stage_keys
from subgrid.experiment.outputs import results
from subgrid.experiment.results import hashes_of

TINY = load_config(SMALLEST)


def with_set(*overrides):
    return load_config(SMALLEST, overrides=overrides)


def test_a_folder_opens_again_with_the_same_config(tmp_path):
    made = RunFolder.create(tmp_path / "run", TINY)
    again = RunFolder.create(tmp_path / "run", TINY)
    assert again.config == made.config == RunFolder.open(tmp_path / "run").config == TINY


def test_another_config_is_refused_and_the_difference_named(tmp_path):
    RunFolder.create(tmp_path, TINY).mark_done("simulate", 1.0, [])
    with pytest.raises(RunFolderError, match=r"training\.updates: there 6, here 13"):
        RunFolder.create(tmp_path, with_set("training.updates=13"))
    with pytest.raises(RunFolderError, match=r"models\.cascade\.width"):
        RunFolder.create(tmp_path, with_set("models.cascade.width=1.0"))
    assert RunFolder.open(tmp_path).config == TINY


def test_another_format_is_refused(tmp_path):
    folder = RunFolder.create(tmp_path, TINY)
    folder.write_manifest({**folder.manifest(), "format": 999})
    with pytest.raises(RunFolderError, match="format 999"):
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
    (tmp_path / ".manifest.json.a1b2c3_4").write_text("{")  # as earlier versions named it
    (tmp_path / ".lock").write_text('{"pid": 12, "host": "here", "since": 1.5}')
    assert RunFolder.create(tmp_path, TINY).manifest()["stages"] == {}


def test_what_a_kill_leaves_half_written_is_removed_with_its_stage(a_copy):
    before = digests(a_copy)
    folder = RunFolder.open(a_copy)
    seed = folder.model("stacked", 0)
    left = [seed / ".best.safetensors.28qrw5b1", folder.evaluation / ".costs.json.7xc_w0pm"]
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


def test_a_finished_stage_is_known_until_its_files_change(tmp_path):
    folder = RunFolder.create(tmp_path, TINY)
    file = tmp_path / "scores.json"
    file.write_text("{}")
    assert not folder.is_done("evaluate")
    folder.mark_done("evaluate", 1.0, [file])
    assert RunFolder.open(tmp_path).is_done("evaluate")
    file.write_text("[]")
    with pytest.raises(CorruptFileError, match=r"scores\.json was altered"):
        folder.is_done("evaluate")
    file.unlink()
    with pytest.raises(CorruptFileError, match=r"scores\.json.* is gone"):
        folder.is_done("evaluate")
    folder.forget("train")
    assert not folder.is_done("evaluate")


def test_one_byte_of_a_large_file_is_noticed_where_its_size_is_as_it_was(tmp_path):
    folder = RunFolder.create(tmp_path, TINY)
    file = tmp_path / "data/shard"
    file.parent.mkdir()
    with open(file, "wb") as stream:
        stream.truncate(40 * 2**20)  # a hole: takes no room on the disk
    folder.mark_done("simulate", 1.0, [file])
    assert folder.is_done("simulate")
    with open(file, "r+b") as stream:
        stream.seek(30 * 2**20)
        stream.write(b"\x01")
    with pytest.raises(CorruptFileError, match=r"data/shard was altered"):
        folder.is_done("simulate")


def test_the_manifest_records_machine_versions_and_seed(tmp_path):
    folder = RunFolder.create(tmp_path, TINY)
    folder.mark_done("simulate", 1.5, [])
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["seed"] == TINY.seed
    record = manifest["stages"]["simulate"]
    assert record["seconds"] == 1.5
    assert {"versions", "commit", "device"} <= record["environment"].keys()


def test_a_stage_key_changes_with_its_own_part_of_the_config_only():
    base = stage_keys(TINY)
    for override, first in (
        ("truth.spinup_steps=9", "simulate"),
        ("training.updates=13", "train"),
        ("models.cascade.seeds=3", "train"),
        ("models.smagorinsky.arguments={constant=0.2}", "evaluate"),
        ("evaluation.samples=3", "evaluate"),
        ("description=other", "report"),
    ):
        keys = stage_keys(with_set(override))
        stages = list(base)
        changed = [stage for stage in stages if keys[stage] != base[stage]]
        assert changed == stages[stages.index(first) :], override


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
        place / "evaluation" / "online" / "partial" / "none.zarr" / "zarr.json",
        place / "evaluation" / "online" / "checkpoints" / "none.zarr" / "zarr.json",
    ]
    passing = [
        place / "models" / "partial" / "seed_0" / "stage_0" / "checkpoints" / "7.safetensors",
        place / "evaluation" / "partial" / "a.safetensors",
        place / "evaluation" / "a.lock",
    ]
    for file in (*kept, *passing):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    lists = [hashes_of(file.parent) for file in kept[2:]]
    for file, kept_hash in zip(kept[2:], lists, strict=True):
        write_list(kept_hash, hashes([file]))
    found = [*results(folder, "train"), *results(folder, "evaluate")]
    assert sorted(found) == sorted([*kept, *lists])
