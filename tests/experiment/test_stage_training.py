"""The networks of a multiscale model may have budgets of their own."""

import json

import pytest
from experiment_runs import SMALLEST

from subgrid.config import config_from_dict, load_config
from subgrid.errors import ConfigError
from subgrid.experiment import Context, RunFolder, run_experiment
from subgrid.recipes import making


def cascade_with(stages, **model):
    tables = load_config(SMALLEST).to_dict()
    cascade = next(model for model in tables["models"] if model["name"] == "cascade")
    cascade |= {"stage_training": stages, **model}
    tables["models"] = [tables["models"][0], cascade]
    return tables


@pytest.mark.slow
def test_each_network_is_trained_as_long_as_its_table_says(tmp_path):
    config = config_from_dict(
        cascade_with([{"updates": 4, "learning_rate": 2e-3}, {}], training={"updates": 8})
    )
    folder = run_experiment(config, tmp_path / "run", stages=("simulate", "train"))
    target = folder.model("cascade", 0)
    last = [
        json.loads((target / f"stage_{stage}/metrics.jsonl").read_text().splitlines()[-1])
        for stage in (0, 1)
    ]
    assert [record["update"] for record in last] == [4, 8]
    card = (target / "card.md").read_text()
    assert "4 updates of 4 samples" in card
    assert "8 updates of 4 samples" in card
    assert "learning rate 0.002" in card
    assert folder.open(folder.path).config == config  # the folder's config.toml says it all


@pytest.mark.parametrize(
    ("stages", "changes", "message"),
    [
        ([{}], {}, "stage_training has 1 table"),
        ([{}, {}], {"arrangement": "stacked"}, "stage_training has 2 table"),
        ([{}, {"updats": 3}], {}, r"models\.cascade\.stage_training\.1\.updats"),
        ([{"updates": 0}, {}], {}, r"models\.cascade\.stage_training\.0\.updates"),
    ],
)
def test_problems_are_named(stages, changes, message):
    with pytest.raises(ConfigError, match=message):
        config_from_dict(cascade_with(stages, **changes))


def test_samples_are_held_in_memory_as_the_config_says(tmp_path, monkeypatch):
    asked = []

    class Asked(Exception):
        pass

    def trainer(*_, **__):
        raise Asked

    monkeypatch.setattr(making.Bench, "samples", lambda _, *given: asked.append(given[1:]))
    monkeypatch.setattr("subgrid.training.train_cascade", trainer)
    for value, override in (("auto", ()), (False, ("training.in_memory=false",))):
        config = load_config(SMALLEST, overrides=override)
        folder = RunFolder(tmp_path, config)
        with pytest.raises(Asked):
            making.make_model(Context(folder), config.learned()[0], 0)
        assert asked == [(value,), (value,)]
        asked.clear()
