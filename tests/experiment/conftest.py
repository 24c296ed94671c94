"""One finished run of the smallest experiment, shared by the tests of a session."""

import fcntl
import shutil
import sys
from pathlib import Path

import pytest

from subgrid.config import load_config
from subgrid.evaluation import report
from subgrid.experiment import run_experiment
from subgrid.recipes import markdown

sys.path.insert(0, str(Path(__file__).parent))

from experiment_runs import PIXEL, SMALLEST


@pytest.fixture(autouse=True)
def no_images(monkeypatch):
    """Leave out the drawing of images, most of a small run's time; tests/evaluation looks at it."""
    monkeypatch.setattr(report, "data_uri", lambda *_: PIXEL)


@pytest.fixture(scope="session")
def finished(tmp_path_factory, worker_id):
    """The folder of a run that nothing disturbed; tests that change it take a copy."""
    base = tmp_path_factory.getbasetemp()
    base = base if worker_id == "master" else base.parent  # shared by the workers of pytest-xdist
    folder = base / "finished" / "run"
    folder.parent.mkdir(exist_ok=True)
    with open(base / "finished.lock", "w") as lock, pytest.MonkeyPatch.context() as patch:
        fcntl.flock(lock, fcntl.LOCK_EX)
        patch.setattr(report, "data_uri", lambda *_: PIXEL)
        # in this process, so that the types of every stage are checked
        return run_experiment(load_config(SMALLEST), folder).path


@pytest.fixture
def a_copy(finished, tmp_path):
    """A copy of the finished run."""
    return Path(shutil.copytree(finished, tmp_path / "copy"))


@pytest.fixture
def pages(monkeypatch):
    """Stands for the report's content, which takes long to draw; the test may change it."""
    pages = {"text": b"one"}
    monkeypatch.setattr(markdown, "report_data", lambda folder: None)

    def files(data, path):
        return {path.parent / "figures" / "run-a.png": b"image", path: pages["text"]}

    monkeypatch.setattr(markdown, "markdown_files", files)
    return pages
