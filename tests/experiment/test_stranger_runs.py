"""The strangers' systems go through every command: their truth, a network, free runs, a report."""

import json
import shutil
from pathlib import Path

import pytest

from subgrid.cli import main
from subgrid.config import load_config
from subgrid.experiment import run_experiment

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "examples"


@pytest.mark.slow
def test_the_line_goes_through_every_command(tmp_path, monkeypatch, capsys):
    """The commands that the first lines of its TOML name."""
    for file in EXAMPLES.glob("kuramoto_sivashinsky.*"):
        shutil.copy(file, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["check", "kuramoto_sivashinsky:KuramotoSivashinsky"]) == 0
    run = ["kuramoto_sivashinsky.toml", "--profile", "tiny", "--out", "run"]
    assert main(["run", *run]) == 0, capsys.readouterr().err
    scores = json.loads((tmp_path / "run/scores.json").read_text())
    assert {"none", "network"} <= set(scores["online"])
    assert "network" in (tmp_path / "run/report.html").read_text()
    assert main(["export", "run", "network", "--out", "bundle", "--trust"]) == 0
    assert (tmp_path / "bundle/model.json").exists()


@pytest.mark.slow
def test_the_basin_goes_from_its_truth_to_its_report(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(HERE)
    folder = run_experiment(load_config(HERE / "basin.toml"), tmp_path / "run")
    scores = json.loads(folder.scores.read_text())
    assert {"none", "network"} <= set(scores["online"])
    page = folder.report.read_text()
    assert "tracer" in page
