"""One finished run of the smallest experiment, shared by the tests of a session."""

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from experiment_runs import SMALLEST, finish, start


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The folder of a run that nothing disturbed; tests that change it take a copy."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    code, output = finish(start("run", SMALLEST, "--out", folder))
    assert code == 0, output
    return folder


@pytest.fixture
def a_copy(finished, tmp_path):
    """A copy of the finished run."""
    return Path(shutil.copytree(finished, tmp_path / "copy"))
