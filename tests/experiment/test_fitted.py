"""Models of kind "fitted": numbers found in the training split at once, kept like a network."""

import json
import sys

import numpy as np
import pytest
from experiment_runs import SMALLEST, Notes

from subgrid.closures import load_closure, save_closure
from subgrid.config import check_builds, config_from_dict, load_config
from subgrid.data import open_dataset
from subgrid.errors import ConfigError, UntrustedCodeError
from subgrid.experiment import RunFolder, run_experiment
from subgrid.registry import import_named
from subgrid.systems import TwoLayerQG


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


def test_one_of_your_own_is_read_back_since_the_config_names_it(tmp_path, monkeypatch):
    code = "from subgrid.closures import LocalPolynomial\nclass Own(LocalPolynomial):\n    pass\n"
    (tmp_path / "own_fit.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    config = config_of(closure="own_fit:Own")
    model, coarse = config.fitted()[0], TwoLayerQG(12)
    folder = RunFolder(tmp_path / "run", config)
    closure = import_named("own_fit:Own", "closure")(coarse, [0.0, 1.0])
    save_closure(closure, folder.model("line"), {})
    found = model.candidate(config, coarse, folder, 0).closure
    np.testing.assert_array_equal(found.coefficients, closure.coefficients)
    with pytest.raises(UntrustedCodeError, match="own_fit:Own"):
        load_closure(folder.model("line"))
    sys.modules.pop("own_fit")


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
