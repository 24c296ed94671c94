"""A user's files in and beside a run folder are neither removed nor overwritten nor results."""

import shutil

import pytest
from experiment_runs import SMALLEST, Notes, digests

from subgrid.config import load_config
from subgrid.errors import ConfigError, RunFolderError
from subgrid.experiment import RunFolder, outputs, run
from subgrid.ownership import files_below
from subgrid.recipes import make_markdown
from subgrid.recipes.results import read_dataset, write_dataset

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
        "models/cascade/seed_0/stage_0/checkpoints/00000002.safetensors",
        "models/cascade/seed_0/.card.md.subgrid-0a0a0a0a",
        "evaluation/partial/none.safetensors",
        "evaluation/online/.none.zarr.subgrid-01234567/zarr.json",
    ):
        (a_copy / name).parent.mkdir(parents=True, exist_ok=True)
        (a_copy / name).write_text("")
    run._remove_outputs(folder, "simulate", Notes())
    assert not [name for name in ("data", "models", "evaluation") if (a_copy / name).exists()]


def test_files_of_a_user_are_no_results_and_alter_none(a_copy):
    folder = RunFolder.open(a_copy)
    wanted = {name: outputs.results(folder, task) for name, task in folder.tasks.items()}
    files = plant(a_copy)
    for name, task in folder.tasks.items():
        assert outputs.results(folder, task) == wanted[name]
    assert all(folder.is_done(stage) for stage in FOREIGN)
    for file in files:
        file.unlink()
    assert all(folder.is_done(stage) for stage in FOREIGN)


def test_a_store_is_made_again_beside_a_file_of_the_user(a_copy):
    folder = RunFolder.open(a_copy)
    wanted = digests(a_copy)
    run._remove_outputs(folder, "report", Notes())
    store = folder.evaluation / "reference.zarr"
    found = read_dataset(store)
    for file in outputs.removable(folder, ["evaluation/reference.zarr"]):
        if file.is_relative_to(store):
            file.unlink()
    (store / ".DS_Store").write_text("mine")
    write_dataset(store, found)
    assert (store / ".DS_Store").read_text() == "mine"
    (store / ".DS_Store").unlink()
    assert read_dataset(store).identical(found)
    assert digests(a_copy).keys() == wanted.keys()


def test_hidden_files_of_the_user_are_no_leftovers(a_copy):
    mine = [
        a_copy / name
        for name in (".ideas.markdown", "models/.todo.markdown", "evaluation/.none.json.backup")
    ]
    ours = [
        a_copy / name
        for name in (
            ".report.html.subgrid-00ff00ff",
            "evaluation/costs/.none.json.subgrid-7c00b0ba",
            "models/cascade/seed_0/.card.md.subgrid-01234567",
            ".manifest.json.subgrid-abcdef01",
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


def seen(out, copy):
    """Return the digests of data behind a link, which `digests` does not follow."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(out / "data", copy / "data")
    return digests(copy)


def test_data_on_another_disk_are_replaced_and_the_link_stays(finished, tmp_path):
    scratch, out = tmp_path / "scratch" / "mine", tmp_path / "run"
    wanted = {n: d for n, d in digests(finished).items() if n.startswith("data/")}
    RunFolder.create(out, TINY)
    scratch.mkdir(parents=True)
    (out / "data").symlink_to(scratch)
    for _ in range(2):
        folder = run.run_experiment(TINY, out, stages=("simulate",), data_from=finished, force=True)
        assert (out / "data").is_symlink()
        assert folder.is_done("simulate")
        assert [entry.name for entry in scratch.parent.iterdir()] == ["mine"]
        assert seen(out, tmp_path / "seen") == wanted
    run._remove_outputs(folder, "simulate", Notes())
    assert (out / "data").is_symlink()
    assert list(scratch.iterdir()) == []
    scratch.rmdir()  # cleared by those who run the disk
    run.run_experiment(TINY, out, stages=("simulate",), data_from=finished)
    assert seen(out, tmp_path / "seen") == wanted
    assert (out / "data").is_symlink()


def test_only_what_the_other_run_wrote_is_taken_over(a_copy, tmp_path):
    (a_copy / "data/notes.txt").write_text("mine")
    out = tmp_path / "run"
    run.run_experiment(TINY, out, stages=("simulate",), data_from=a_copy)
    assert not (out / "data/notes.txt").exists()
    (out / "data/.DS_Store").write_text("mine")
    run.run_experiment(TINY, out, stages=("simulate",), data_from=a_copy, force=True)
    assert (out / "data/.DS_Store").read_text() == "mine"
    assert RunFolder.open(out).stages()["simulate"]["data_from"]["folder"] == str(a_copy)


def test_a_folder_of_the_user_called_data_partial_is_let_alone(finished, tmp_path):
    out = tmp_path / "run"
    RunFolder.create(out, TINY)
    (out / "data.partial").mkdir()
    (out / "data.partial" / "mine.csv").write_text("mine")
    with pytest.raises(RunFolderError, match=r"data\.partial.*mine\.csv.*Move them"):
        run.run_experiment(TINY, out, stages=("simulate",), data_from=finished)
    assert (out / "data.partial" / "mine.csv").read_text() == "mine"
