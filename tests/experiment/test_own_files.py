"""A user's files in and beside a run folder are neither removed nor overwritten nor results."""

import json
import os
import shutil

import pytest
from experiment_runs import SMALLEST, digests

from subgrid.config import load_config
from subgrid.errors import ConfigError, RunFolderError
from subgrid.experiment import Progress, RunFolder, make_markdown, markdown, outputs, run
from subgrid.experiment.results import is_written
from subgrid.experiment.workers import Workers
from subgrid.ownership import files_below

TINY = load_config(SMALLEST)
# by stage, one in each folder that we make
FOREIGN = {
    "simulate": ("data/notes.txt", "data/train.zarr/.DS_Store", "data/mine.zarr/zarr.json"),
    "train": ("models/cascade/seed_0/plot.png", "models/mine/model.json", "models/.DS_Store"),
    "evaluate": (
        "evaluation/online/none.zarr/.DS_Store",
        "evaluation/online/mine.zarr/zarr.json",
        "evaluation/table.sha256",
    ),
}


class Notes(Progress):
    """Keeps every line of news."""

    def __init__(self):
        self.lines = []

    def note(self, text):
        self.lines.append(text)


def plant(folder):
    """Write a user's files among those of a run; return their paths."""
    files = [folder / name for names in FOREIGN.values() for name in names]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("mine")
    return files


@pytest.mark.parametrize("finished_before", [True, False])
def test_force_removes_what_we_wrote_and_nothing_else(a_copy, finished_before):
    folder, notes = RunFolder.open(a_copy), Notes()
    if not finished_before:  # all is there, but no stage is recorded
        folder.forget("simulate")
    files = plant(a_copy)
    run._remove_outputs(folder, "simulate", notes)
    left = set(files_below(a_copy)) - {a_copy / ".lock"}
    assert left == {*files, a_copy / "config.toml", a_copy / "manifest.json"}
    assert all(file.read_text() == "mine" for file in files)
    (line,) = notes.lines
    assert line.startswith("kept, as this run did not write it: data/")
    assert line.endswith("and 4 more")


def test_force_removes_what_an_unfinished_stage_left(a_copy):
    folder = RunFolder.open(a_copy)
    folder.forget("simulate")
    for name in (
        "data/train.records/00001/restart.safetensors",
        "data/train.records/00001/scale_12.q.0",
        "data/train.records/00001.lock",
        "data/.test.zarr.subgrid-01234567/scale_12/zarr.json",
        "models/cascade/seed_1/stage_0/checkpoints/00000002.safetensors",
        "models/cascade/seed_1/.card.md.subgrid-0a0a0a0a",
        "evaluation/partial/a.safetensors",
        "evaluation/online/.none.zarr.1234/zarr.json",
    ):
        (a_copy / name).parent.mkdir(parents=True, exist_ok=True)
        (a_copy / name).write_text("")
    run._remove_outputs(folder, "simulate", Notes())
    assert not [name for name in ("data", "models", "evaluation") if (a_copy / name).exists()]


def test_files_of_a_user_are_no_results_and_alter_none(a_copy):
    folder = RunFolder.open(a_copy)
    wanted = {stage: outputs.results(folder, stage) for stage in FOREIGN}
    assert all(wanted.values())
    files = plant(a_copy)
    for stage in FOREIGN:
        assert outputs.results(folder, stage) == wanted[stage]
        assert folder.is_done(stage)
    assert is_written(folder.evaluation / "online/none.zarr")
    for file in files:
        file.unlink()
    assert all(folder.is_done(stage) for stage in FOREIGN)


def test_a_store_is_made_again_beside_a_file_of_the_user(a_copy):
    folder = RunFolder.open(a_copy)
    wanted = digests(a_copy)
    run._remove_outputs(folder, "report", Notes())
    store = folder.evaluation / "reference.zarr"
    from subgrid.experiment.results import read_dataset, write_dataset

    found = read_dataset(store)
    for file in outputs.removable(folder, "evaluate"):
        if file.is_relative_to(store):
            file.unlink()
    (store / ".DS_Store").write_text("mine")
    assert not is_written(store)
    write_dataset(store, found)
    assert is_written(store)
    assert (store / ".DS_Store").read_text() == "mine"
    (store / ".DS_Store").unlink()
    assert digests(a_copy).keys() == wanted.keys()


def test_hidden_files_of_the_user_are_no_leftovers(a_copy):
    mine = [
        a_copy / name
        for name in (".ideas.markdown", "models/.todo.markdown", "evaluation/.costs.json.backup")
    ]
    ours = [
        a_copy / name
        for name in (
            ".report.html.subgrid-00ff00ff",
            "evaluation/.costs.json.7xc_w0pm",
            "models/cascade/seed_0/.card.md.01234567",
            ".manifest.json.abcdefgh",
        )
    ]
    for file in (*mine, *ours):
        file.write_text("")
    outputs.remove_leftovers(RunFolder.open(a_copy))
    assert all(file.exists() for file in mine)
    assert not any(file.exists() for file in ours)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("manifest.json", '{"name": "my web app"}'),
        ("manifest.json", "{"),
        (".lock", "mine"),
        (".config.toml.abc123", "mine"),
    ],
)
def test_a_folder_with_a_file_called_like_one_of_ours_is_refused(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(RunFolderError, match=rf"holds no run \(no config\.toml\), but {name}"):
        RunFolder.create(tmp_path, TINY)
    assert [(f.name, f.read_text()) for f in tmp_path.iterdir()] == [(name, content)]


@pytest.fixture
def pages(monkeypatch):
    """Stands for the report's content, which takes long to draw; the test may change it."""
    pages = {"text": b"one"}
    monkeypatch.setattr(markdown, "report_data", lambda folder: None)

    def files(data, path):
        return {path.parent / "figures" / "run-a.png": b"image", path: pages["text"]}

    monkeypatch.setattr(markdown, "markdown_files", files)
    return pages


def test_markdown_replaces_what_the_run_wrote_itself(a_copy, tmp_path, pages):
    page = tmp_path / "docs" / "run.md"
    assert make_markdown(a_copy, page) == [tmp_path / "docs" / "figures" / "run-a.png"]
    for text in (b"two", b"three"):
        pages["text"] = text
        make_markdown(a_copy, page)
        assert page.read_bytes() == text
    assert all(RunFolder.open(a_copy).is_done(stage) for stage in FOREIGN)


@pytest.mark.parametrize("name", ["run.md", "figures/run-a.png"])
def test_markdown_overwrites_no_file_of_the_user(a_copy, tmp_path, pages, name):
    theirs = tmp_path / "docs" / name
    theirs.parent.mkdir(parents=True)
    theirs.write_text("thesis")
    with pytest.raises(ConfigError, match=rf"would overwrite {theirs}"):
        make_markdown(a_copy, tmp_path / "docs" / "run.md")
    assert [file for file in files_below(tmp_path / "docs")] == [theirs]
    assert theirs.read_text() == "thesis"
    theirs.unlink()
    make_markdown(a_copy, tmp_path / "docs" / "run.md")
    theirs.write_text("changed by hand")
    with pytest.raises(ConfigError, match=rf"would overwrite {theirs}"):
        make_markdown(a_copy, tmp_path / "docs" / "run.md")
    assert theirs.read_text() == "changed by hand"


def test_the_manifest_of_a_run_is_never_its_markdown(a_copy, pages):
    with pytest.raises(ConfigError, match="would overwrite"):
        make_markdown(a_copy, a_copy / "config.toml")
    assert RunFolder.open(a_copy).config == TINY


def test_data_on_another_disk_are_replaced_and_the_link_stays(finished, tmp_path):
    scratch, out = tmp_path / "scratch" / "mine", tmp_path / "run"
    RunFolder.create(out, TINY)
    scratch.mkdir(parents=True)
    (out / "data").symlink_to(scratch)
    for _ in range(2):
        folder = run.run_experiment(TINY, out, stages=("simulate",), data_from=finished, force=True)
        assert (out / "data").is_symlink()
        assert folder.is_done("simulate")
        assert [entry.name for entry in scratch.parent.iterdir()] == ["mine"]
        wanted = {n: d for n, d in digests(finished).items() if n.startswith("data/")}
        assert digests(out) == wanted
    run._remove_outputs(folder, "simulate", Notes())
    assert (out / "data").is_symlink()
    assert list(scratch.iterdir()) == []
    scratch.rmdir()  # cleared by those who run the disk
    run.run_experiment(TINY, out, stages=("simulate",), data_from=finished)
    assert digests(out) == wanted
    assert (out / "data").is_symlink()


def test_only_what_the_other_run_wrote_is_taken_over(a_copy, tmp_path):
    (a_copy / "data/notes.txt").write_text("mine")
    out = tmp_path / "run"
    run.run_experiment(TINY, out, stages=("simulate",), data_from=a_copy)
    assert not (out / "data/notes.txt").exists()
    (out / "data/.DS_Store").write_text("mine")
    run.run_experiment(TINY, out, stages=("simulate",), data_from=a_copy, force=True)
    assert (out / "data/.DS_Store").read_text() == "mine"
    assert RunFolder.open(out).manifest()["stages"]["simulate"]["data_from"]["folder"] == str(
        a_copy
    )


def test_a_folder_of_the_user_called_data_partial_is_let_alone(finished, tmp_path):
    out = tmp_path / "run"
    RunFolder.create(out, TINY)
    (out / "data.partial").mkdir()
    (out / "data.partial" / "mine.csv").write_text("mine")
    with pytest.raises(RunFolderError, match=r"data\.partial.*mine\.csv.*Move them"):
        run.run_experiment(TINY, out, stages=("simulate",), data_from=finished)
    assert (out / "data.partial" / "mine.csv").read_text() == "mine"


# --- files of a stage that is not finished are under a hash from when they are written


@pytest.mark.parametrize("stage", ["simulate", "train", "evaluate"])
def test_no_altered_file_of_a_stage_is_taken_at_its_end(a_copy, stage):
    folder = RunFolder.open(a_copy)
    seconds = folder.manifest()["stages"][stage]["seconds"]
    folder.forget(stage)
    # statistics hold their own checksum and are made anew; scores.json is written at the very end
    own = ("statistics.json", "scores.json")
    files = [f for f in outputs.results(folder, stage) if not f.name.endswith(own)]
    assert len(files) > 15
    for file in files[:: max(1, len(files) // 25)]:
        whole = file.read_bytes()
        place = len(whole) // 2
        for damaged in (whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :], whole[:-9]):
            file.write_bytes(damaged)
            with pytest.raises(OSError, match=r"altered|gone|truncated"):
                folder.mark_done(
                    stage, 1.0, outputs.results(folder, stage), outputs.recorded(folder, stage)
                )
            file.write_bytes(whole)
    assert stage not in folder.manifest()["stages"]
    recorded = outputs.recorded(folder, stage)
    folder.mark_done(stage, seconds, outputs.results(folder, stage), recorded)
    assert folder.is_done(stage)
    assert set(files) <= set(recorded) | {f for f in files if f.suffix == ".sha256"}


@pytest.mark.parametrize("name", ["card.md", "metrics.jsonl"])
def test_an_altered_file_of_a_trained_model_is_named_when_the_training_goes_on(a_copy, name):
    folder = RunFolder.open(a_copy)
    folder.forget("train")
    file = folder.model("stacked", 1) / name
    file.write_text(file.read_text().replace("a", "e", 1))
    with pytest.raises(OSError, match=rf"seed_1/{name} is gone or was altered"):
        run._run_stage(folder, "train", Notes(), Workers())
    assert not folder.is_done("train")


def test_every_altered_entry_of_the_manifest_is_found(a_copy):
    file = a_copy / "manifest.json"
    manifest = json.loads(file.read_text())
    for name in ("seed", "subgrid", "config_hash", "stages", "begun"):
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
    origin = out / "data/data_from.json"
    origin.write_text(origin.read_text().replace(str(finished), "/elsewhere"))
    with pytest.raises(OSError, match=r"data_from\.json was altered"):
        run.run_experiment(TINY, out, stages=("simulate",))


# --- a finished run that cannot be written


@pytest.fixture
def read_only(a_copy, monkeypatch):
    """A finished run in which nothing can be made or changed, whoever runs this."""
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and access(path, mode))
    if os.geteuid():
        for folder, _, files in os.walk(a_copy, topdown=False):
            for name in files:
                os.chmod(os.path.join(folder, name), 0o444)
            os.chmod(folder, 0o555)
    before = {f: (f.stat().st_mtime_ns, f.read_bytes()) for f in files_below(a_copy)}
    yield a_copy
    assert {f: (f.stat().st_mtime_ns, f.read_bytes()) for f in files_below(a_copy)} == before
    for folder, _, _ in os.walk(a_copy):
        os.chmod(folder, 0o755)


def test_a_finished_run_that_cannot_be_written_is_looked_at(read_only, tmp_path, pages):
    notes = Notes()
    run.run_experiment(TINY, read_only, progress=notes)
    assert notes.lines == [f"{stage}: done already" for stage in STAGES]
    make_markdown(read_only, tmp_path / "page.md")
    assert (tmp_path / "page.md").read_bytes() == b"one"
    with pytest.raises(RunFolderError, match=r"cannot be written to, and 'train' would be made"):
        run.run_experiment(TINY, read_only, stages=("train",), force=True)


STAGES = ("simulate", "train", "evaluate", "report")


def test_data_of_a_run_that_cannot_be_written_are_taken_over_as_ones_own(read_only, tmp_path):
    out = tmp_path / "run"
    folder = run.run_experiment(TINY, out, stages=("simulate",), data_from=read_only)
    assert folder.is_done("simulate")
    before = os.umask(0o022)
    os.umask(before)
    for place, _, names in os.walk(out / "data"):
        assert os.stat(place).st_mode & 0o777 == 0o777 & ~before
        assert all(os.stat(f"{place}/{n}").st_mode & 0o777 == 0o666 & ~before for n in names)
    shutil.rmtree(out)


def test_an_unfinished_run_that_cannot_be_written_says_so(a_copy, monkeypatch):
    RunFolder.open(a_copy).forget("report")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(RunFolderError, match="cannot be written to, and 'report' is not finished"):
        run.run_experiment(TINY, a_copy)


# --- a try that finished nothing


def changed(*overrides):
    return load_config(SMALLEST, overrides=overrides)


def test_a_try_that_finished_nothing_takes_a_corrected_config(tmp_path, finished):
    out, notes = tmp_path / "run", Notes()
    folder = RunFolder.create(out, changed("truth.spinup_steps=9"))
    folder.mark_begun("simulate")
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
    with pytest.raises(RunFolderError, match=r"another config.*updates: there 6, here 13"):
        RunFolder.create(out, folder.config)


def test_finished_trajectories_are_not_given_up_for_another_config(tmp_path, finished):
    out = tmp_path / "run"
    RunFolder.create(out, TINY)
    shutil.copytree(finished / "data", out / "data")
    before = digests(out)
    with pytest.raises(RunFolderError, match=r"another config"):
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
