"""One finished run of the smallest experiment, shared by the tests of a session."""

import shutil
import sys
from pathlib import Path

import pytest

from subgrid.config import load_config
from subgrid.experiment import run_experiment

sys.path.insert(0, str(Path(__file__).parent))

from experiment_runs import SMALLEST


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The folder of a run that nothing disturbed; tests that change it take a copy."""
    # in this process, so that the types of every stage are checked
    folder = tmp_path_factory.mktemp("finished") / "run"
    return run_experiment(load_config(SMALLEST), folder).path


@pytest.fixture
def a_copy(finished, tmp_path):
    """A copy of the finished run."""
    return Path(shutil.copytree(finished, tmp_path / "copy"))
