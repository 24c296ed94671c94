"""The separated experiments as a run: every case trained, scored and reported; problems named."""

import json

import pytest

from subgrid.config import config_from_dict, load_config
from subgrid.errors import ConfigError
from subgrid.experiment import run_experiment
from subgrid.recipes.separated import cases

TINY = ("otness2025-separated", "tiny")


@pytest.mark.slow
def test_a_run_trains_scores_and_reports_every_case(tmp_path):
    config = load_config(*TINY)
    folder = run_experiment(config, tmp_path / "run")
    labels = [case.name for case in cases(config)]
    assert labels[:4] == [
        "small-direct-16", "small-coarsened-16-12", "small-across-16-12", "small-buildup-16-12",
    ]  # fmt: skip
    assert len(labels) == 8
    assert all((folder.model(label, 0) / "model.json").is_file() for label in labels)
    scores = json.loads(folder.scores.read_text())["separated"]
    assert len(scores) == 8
    assert all(entry[0]["mse"] > 0 for entry in scores.values())
    report = folder.report.read_text()
    assert "are the small scales of the state needed" in report
    assert "buildup" in report
    # nothing ran freely but the coarse model alone: no verdicts on free runs
    assert "free runs from held-out states" not in report
    assert "coarsened against across" in report
    assert "Separated experiments: error of every network" in report
    assert 'alt="mean squared error of every network, coarsened and across"' in report
    # finished cases are not trained again, whatever is asked for afterwards
    weights = folder.model(labels[0], 0) / "weights.safetensors"
    before = weights.stat().st_mtime_ns
    folder.forget("train")
    run_experiment(config, tmp_path / "run")
    assert weights.stat().st_mtime_ns == before


def test_the_paper_has_every_pair_of_sizes():
    config = load_config("otness2025-separated", "paper")
    labels = {case.name for case in cases(config)}
    assert len(labels) == 2 * (3 * 3 + 2)
    assert {"large-direct-96", "small-buildup-128-64", "large-across-96-64"} <= labels


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("coarse.sizes=[16]", r"coarse.sizes: got \[16\]; the separated experiments"),
        ("separated.small.network=smal", "separated.small.network: .*small"),
        ("separated.small.training.updats=3", "separated.small.training.updats"),
        ("separated.small.width=-1.0", "separated.small.width"),
        ("separated.smal.width=1.0", "small"),
    ],
)
def test_problems_are_named(tmp_path, override, message):
    with pytest.raises(ConfigError, match=message):
        run_experiment(load_config(*TINY, overrides=[override]), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_two_of_one_name_are_refused():
    tables = load_config(*TINY).to_dict()
    tables["separated"].append({**tables["separated"][0], "network": "md4"})
    with pytest.raises(ConfigError, match="separated: the name 'small' is used 2 times"):
        config_from_dict(tables)
