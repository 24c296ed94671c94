"""Files of a stage that is not finished are under a hash from when they are written."""

import json

import pytest
from experiment_runs import SMALLEST, Notes

from subgrid.config import load_config
from subgrid.experiment import RunFolder, outputs, run

TINY = load_config(SMALLEST)


@pytest.mark.parametrize("stage", ["simulate", "train"])
def test_no_altered_file_of_a_stage_is_taken_at_its_end(a_copy, stage):
    folder = RunFolder.open(a_copy)
    tasks = folder.stage(stage)
    folder.forget(stage)
    # statistics hold their own checksum and are made anew
    own = "statistics.json"
    found = [(t, f) for t in tasks for f in outputs.results(folder, t) if not f.name.endswith(own)]
    assert len(found) > 15
    for task, file in found[:: max(1, len(found) // 25)]:
        whole = file.read_bytes()
        place = len(whole) // 2
        for damaged in (whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :], whole[:-9]):
            file.write_bytes(damaged)
            with pytest.raises(OSError, match=r"altered|gone|truncated"):
                folder.mark_done(task.name, 1.0, outputs.results(folder, task))
            file.write_bytes(whole)
        assert task.name not in folder.manifest()["tasks"]
    recorded = set()
    for task in tasks:
        recorded |= set(task.recorded(a_copy)) if task.recorded else set()
        folder.mark_done(task.name, 1.0, outputs.results(folder, task))
    assert folder.is_done(stage)
    assert {file for _, file in found if file.suffix != ".sha256"} <= recorded


@pytest.mark.parametrize("name", ["card.md", "metrics.jsonl"])
def test_an_altered_file_of_a_trained_model_is_named_when_the_training_goes_on(a_copy, name):
    folder = RunFolder.open(a_copy)
    folder.forget("train")
    file = folder.model("stacked", 1) / name
    file.write_text(file.read_text().replace("a", "e", 1))
    with pytest.raises(OSError, match=rf"seed_1/{name} is gone or was altered"):
        run.run_experiment(TINY, a_copy, stages=("train",), progress=Notes())
    assert not folder.is_done("train")


def test_every_altered_entry_of_the_manifest_is_found(a_copy):
    file = a_copy / "manifest.json"
    manifest = json.loads(file.read_text())
    for name in ("seed", "subgrid", "config_hash", "tasks", "begun"):
        value = {**manifest, name: "other" if isinstance(manifest[name], str) else 5}
        file.write_text(json.dumps(value))
        with pytest.raises(OSError, match=r"manifest\.json was altered"):
            RunFolder.open(a_copy)
    del manifest["sha256"]  # of an earlier version
    file.write_text(json.dumps(manifest))
    assert RunFolder.open(a_copy).is_done("report")


def test_an_origin_of_the_data_that_was_altered_is_named(finished, tmp_path):
    out = tmp_path / "run"
    folder = run.run_experiment(TINY, out, stages=("simulate",), data_from=finished)
    folder.forget("simulate")
    origin = out / "data/test.data_from.json"
    origin.write_text(origin.read_text().replace(str(finished), "/elsewhere"))
    with pytest.raises(OSError, match=r"data_from\.json was altered"):
        run.run_experiment(TINY, out, stages=("simulate",))
