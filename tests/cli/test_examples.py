"""The files in examples/ do what their first lines say."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
SHORT = ("truth.nx=32", "coarse.sizes=[16]", "truth.spinup_steps=12", "truth.frames=4")
SHORT += ("truth.save_every=6", "evaluation.steps=12", "evaluation.save_every=6")


@pytest.fixture
def beside_the_example(tmp_path, monkeypatch):
    for file in EXAMPLES.glob("my_closure.*"):
        shutil.copy(file, tmp_path)
    monkeypatch.syspath_prepend(tmp_path)


def test_the_example_closure_obeys_the_laws(cli, beside_the_example):
    code, out, err = cli("check", "my_closure:ScaleSelectiveDamping")
    assert code == 0, out + err


@pytest.mark.slow
def test_the_example_config_runs_to_its_report(cli, beside_the_example, tmp_path):
    overrides = [part for setting in SHORT for part in ("--set", setting)]
    code, _, err = cli("run", "my_closure.toml", "--out", "run", *overrides)
    assert code == 0, err
    scores = json.loads((tmp_path / "run/scores.json").read_text())
    assert {"none", "smagorinsky", "damping"} <= set(scores["online"])
    assert "damping" in (tmp_path / "run/report.html").read_text()


def test_the_example_script_shows_the_damping():
    done = subprocess.run(
        [sys.executable, EXAMPLES / "my_closure.py"], capture_output=True, text=True, check=True
    )
    without, damped = (
        [float(number) for number in re.findall(r"[\d.]+e-\d+", line)]
        for line in done.stdout.splitlines()
    )
    assert len(without) == len(damped) == 2  # layers
    assert all(small < large for small, large in zip(damped, without, strict=True))


@pytest.mark.slow
def test_the_cluster_script_runs_an_experiment_on_a_cluster_of_this_machine(tmp_path):
    smallest = Path(__file__).parents[1] / "experiment" / "smallest.toml"
    command = [sys.executable, EXAMPLES / "slurm.py", smallest, tmp_path / "run", "--local"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "report: done" in done.stderr
    assert (tmp_path / "run/report.html").is_file()


@pytest.mark.slow
def test_kolmogorov_flow_goes_from_its_truth_to_a_tested_closure(tmp_path):
    sizes = ["--fine", "32", "--coarse", "8", "--updates", "4", "--duration", "8", "--members", "2"]
    command = [sys.executable, EXAMPLES / "kolmogorov.py", tmp_path / "run", *sizes]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = [line.split("|")[1:-1] for line in done.stdout.splitlines() if line.startswith("| ")][1:]
    assert len(rows) == 9
    assert all(float(time) > 0 and 0.01 < float(energy) < 100 for _, _, time, energy, _ in rows)
    assert all(blown.strip() == "0 of 2" for *_, blown in rows)
