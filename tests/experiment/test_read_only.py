"""A finished run in a folder that cannot be written: looked at, and its data taken over."""

import os
import shutil

import pytest
from experiment_runs import SMALLEST, Notes

from subgrid.config import load_config
from subgrid.errors import RunFolderError
from subgrid.experiment import RunFolder, run
from subgrid.ownership import files_below
from subgrid.recipes import make_markdown

TINY = load_config(SMALLEST)
STAGES = ("simulate", "train", "evaluate", "report")


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
