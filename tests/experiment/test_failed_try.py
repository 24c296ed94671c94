"""A try that finished nothing gives way to a corrected config; nothing finished is lost."""

import shutil

import pytest
from experiment_runs import SMALLEST, Notes, digests

from subgrid.config import load_config
from subgrid.errors import RunFolderError
from subgrid.experiment import RunFolder, run

TINY = load_config(SMALLEST)


def changed(*overrides):
    return load_config(SMALLEST, overrides=overrides)


def test_a_try_that_finished_nothing_takes_a_corrected_config(tmp_path, finished):
    out, notes = tmp_path / "run", Notes()
    folder = RunFolder.create(out, changed("truth.spinup_steps=9"))
    folder.mark_begun("data/test")
    shutil.copytree(finished / "data", out / "data")
    for record in (out / "data").glob("*.records/*.json"):  # all attempts blew up
        record.write_text('{"failed": true}')
    (out / "data" / "notes.txt").write_text("mine")
    run.run_experiment(TINY, out, stages=("simulate",), data_from=finished, progress=notes)
    assert RunFolder.open(out).config == TINY
    assert "truth.spinup_steps: there 9, here 8" in notes.lines[0]
    assert "takes the new config" in notes.lines[0]
    assert (out / "data" / "notes.txt").read_text() == "mine"
    wanted = {n: d for n, d in digests(finished).items() if n.startswith("data/")}
    assert {n: d for n, d in digests(out).items() if n != "data/notes.txt"} == wanted
    assert "replaces" not in RunFolder.open(out).manifest()


def test_data_that_the_corrected_config_shares_are_kept(tmp_path, finished):
    out = tmp_path / "run"
    folder = RunFolder.create(out, changed("training.updates=13"))
    shutil.copytree(finished / "data", out / "data")
    (out / "models/cascade/seed_0").mkdir(parents=True)
    (out / "models/cascade/seed_0/model.json").write_text("of another training")
    before = {f: f.stat().st_mtime_ns for f in (out / "data").rglob("c/*/0/0/0/0")}
    assert before
    notes = Notes()
    run.run_experiment(TINY, out, stages=("simulate",), progress=notes)
    assert "training.updates: there 13, here 6" in notes.lines[0]
    assert {f: f.stat().st_mtime_ns for f in before} == before
    assert not (out / "models").exists()
    assert RunFolder.open(out).is_done("simulate")
    assert RunFolder.create(out, folder.config).is_done("simulate")


def test_finished_trajectories_are_not_given_up_for_another_config(tmp_path, finished):
    out = tmp_path / "run"
    RunFolder.create(out, TINY)
    shutil.copytree(finished / "data", out / "data")
    before = digests(out)
    with pytest.raises(RunFolderError, match=r"no work in common with this config"):
        run.run_experiment(changed("truth.spinup_steps=9"), out, stages=("simulate",))
    assert digests(out) == before


def test_a_kill_while_a_try_gives_way_is_no_obstacle(tmp_path, monkeypatch):
    old, new = changed("truth.spinup_steps=9"), TINY
    RunFolder.create(tmp_path, old)
    write = RunFolder.write_manifest
    for writes, there in ((1, old), (2, new)):
        left = [writes]

        def dying(self, manifest, left=left):
            write(self, manifest)
            left[0] -= 1
            if not left[0]:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(RunFolder, "write_manifest", dying)
            with pytest.raises(KeyboardInterrupt):
                RunFolder.create(tmp_path, new)
        assert RunFolder.open(tmp_path).config == there
    assert RunFolder.create(tmp_path, new).config == new
    assert RunFolder.create(tmp_path, old).config == old
