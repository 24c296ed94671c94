"""A search for an architecture as a run: every pair trained, tested, ranked; nothing done twice."""

import json

import pytest

from subgrid.config import config_from_dict, load_config
from subgrid.errors import ConfigError
from subgrid.experiment import run_experiment

TINY = ("otness2025-architectures", "tiny")


def weights(folder):
    return {
        file.parent.parent.name: file.stat().st_mtime_ns
        for file in (folder / "models").rglob("weights.safetensors")
    }


@pytest.mark.slow
def test_a_run_trains_tests_and_ranks_every_pair(tmp_path):
    config = load_config(*TINY)
    folder = run_experiment(config, tmp_path / "run", stages=("simulate", "train"))
    names = {"x3_x3", "x3_4x3-x3", "4x3-x3_x3", "4x3-x3_4x3-x3"}
    before = weights(folder.path)
    assert set(before) == names
    # a search that was stopped trains what is missing and nothing else
    (folder.model("4x3-x3_x3", 0) / "model.json").unlink()
    (folder.model("4x3-x3_x3", 0) / "weights.safetensors").unlink()
    folder.forget("train")
    run_experiment(config, tmp_path / "run")
    after = weights(folder.path)
    assert {name for name in names if before[name] != after[name]} == {"4x3-x3_x3"}
    ranked = json.loads(folder.scores.read_text())["search"]
    assert {"_".join(one["architecture"]) for one in ranked} == names
    errors = {
        layer: [
            one["spectral_rmse"][f"kinetic_energy_spectrum_{layer}"]["estimate"] for one in ranked
        ]
        for layer in ("upper", "lower")
    }
    for layer, values in errors.items():
        assert [one["ranks"][layer] for one in ranked] == [
            1 + sorted(values).index(value) for value in values
        ]
    worst = [max(one["ranks"].values()) for one in ranked]
    assert worst == sorted(worst)
    report = folder.report.read_text()
    costs = {
        file.stem: json.loads(file.read_text()) for file in folder.evaluation.glob("costs/*.json")
    }
    assert set(costs) == {*names, "none", "backscatter"}
    assert costs["none"]["ratio"] == 1.0
    assert all(cost["seconds"] > 0 and cost["ratio"] > 0 for cost in costs.values())
    assert "Search: architectures ranked" in report
    assert "map of the error of all pairs" in report
    assert set(json.loads(folder.scores.read_text())["online"]) == {"none", "backscatter"}


def test_the_paper_searches_64_pairs():
    config = load_config("otness2025-architectures", "paper")
    assert len({model.name for model in config.added_models()}) == 64
    assert all(model.seeds == 4 for model in config.added_models())


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("search.candidates=['psm4', 'smm4']", "search.candidates: unknown network 'smm4'"),
        ("search.candidates=['psm4', 'psm4']", "search.candidates: got 'psm4' 2 times"),
        ("search.training.updats=3", "search.training.updats"),
        ("search.width=0.0", "search.width"),
    ],
)
def test_problems_are_named(tmp_path, override, message):
    with pytest.raises(ConfigError, match=message):
        run_experiment(load_config(*TINY, overrides=[override]), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_model_called_like_a_pair_is_refused():
    tables = load_config(*TINY).to_dict()
    tables["models"][1]["name"] = "x3_4x3-x3"
    with pytest.raises(ConfigError, match="search: 'x3_4x3-x3' is also the name of a model"):
        config_from_dict(tables)
