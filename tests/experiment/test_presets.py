"""Presets run whole at `tiny`, from the command line's function to the report."""

import json

import pytest

from subgrid.config import load_config, profile_names
from subgrid.experiment import run_experiment


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["barotropic", "compact", "lorenz96", "ross2023", "scales-qg"])
def test_a_preset_runs_from_nothing_to_its_report(preset, tmp_path):
    assert "laptop" in profile_names(preset)
    config = load_config(preset, "tiny")
    folder = run_experiment(config, tmp_path / "run")
    scores = json.loads(folder.scores.read_text())
    assert set(scores["online"]) == {model.name for model in config.models}
    report = folder.report.read_text()
    assert all(model.name in report for model in config.models if model.kind != "none")


@pytest.mark.slow
def test_bundles_are_tested_in_the_jet_only_with_a_word(tmp_path):
    bundles = [model.name for model in load_config("ross2023", "tiny").pretrained()]
    assert bundles
    jet = ["truth.configuration='jet'", *(f"models.{name}.transfer=true" for name in bundles)]
    folder = run_experiment(load_config("ross2023", "tiny", jet), tmp_path / "run")
    report = folder.report.read_text()
    assert "were trained for configuration = eddy and are used on configuration = jet" in report
    assert all(name in report for name in bundles)
