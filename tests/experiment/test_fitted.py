"""Models of kind "fitted": numbers found in the training split at once, kept like a network."""

import json

import numpy as np
import pytest
from experiment_runs import SMALLEST, Notes

from subgrid.closures import load_closure
from subgrid.config import check_builds, config_from_dict, load_config
from subgrid.data import open_dataset
from subgrid.errors import ConfigError
from subgrid.experiment import run_experiment


def config_of(degree=1, closure="polynomial", **changes):
    tables = load_config(SMALLEST).to_dict() | changes
    entry = {"name": "line", "kind": "fitted", "closure": closure}
    entry |= {"arguments": {"degree": degree}} if closure == "polynomial" else {}
    tables["models"] = [{"name": "none", "kind": "none"}, entry]
    return config_from_dict(tables)


def test_what_cannot_be_fitted_is_said():
    check_builds(config_of())
    with pytest.raises(ConfigError, match="'smagorinsky' has no fit"):
        check_builds(config_of(closure="smagorinsky"))
    none = {"trajectories": {"train": 0, "validation": 0, "test": 2}, "segment_frames": 2}
    with pytest.raises(ConfigError, match="there are numbers to fit"):
        config_of(data=none)


@pytest.mark.slow
def test_it_is_fitted_to_the_training_split_and_scored(tmp_path):
    folder = run_experiment(config_of(), tmp_path / "run")
    closure = load_closure(folder.model("line"))
    data = open_dataset(folder.split("train"), 12)
    x, wanted = data["q"].values.ravel(), data["q_forcing"].values.ravel()
    found = np.polyfit(x.astype(float), wanted.astype(float), 1)[::-1]
    # coefficients are kept in float32
    np.testing.assert_allclose(closure.coefficients[0], found, rtol=1e-4)
    assert {"none", "line"} <= set(json.loads(folder.scores.read_text())["online"])
    assert "fitted to the data" in folder.report.read_text()
    notes = Notes()
    run_experiment(config_of(degree=2), tmp_path / "run", progress=notes)
    assert any("fitted line" in line for line in notes.lines)
    assert load_closure(folder.model("line")).coefficients.shape == (1, 3)
