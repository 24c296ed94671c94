"""The worked examples of docs/house.md run as they stand there."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr
from experiment_runs import SMALLEST

from subgrid.config import load_config
from subgrid.errors import ConfigError
from subgrid.experiment import run_experiment

PAGE = Path(__file__).parents[2] / "docs" / "house.md"
FIRST_LINE = re.compile(r"# (\w+\.py|in a notebook)\n")


@pytest.fixture
def blocks(tmp_path, monkeypatch):
    """The blocks of Python on the page; those that name a file are written where it is found."""
    found = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    named = {FIRST_LINE.match(block).group(1): block for block in found}
    for name, block in named.items():
        (tmp_path / name).write_text(block)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    yield named
    for name in named:
        sys.modules.pop(name.removesuffix(".py"), None)


def test_the_metric_scores_and_gains(blocks):
    names = {}
    exec(blocks["in a notebook"], names)
    gains = names["table"]["last_error_gain"].sel(model="mine", end="estimate")
    np.testing.assert_allclose(gains.item(), 0.5, rtol=1e-6)  # half the shift, half the error


def test_the_recipe_writes_means_of_the_truth(blocks, tmp_path):
    config = load_config(SMALLEST, overrides=["recipe=my_recipe:Means", "means.variables=['q']"])
    folder = run_experiment(config, tmp_path / "run")
    means = json.loads((folder.path / "means.json").read_text())
    size = config.coarse.sizes[0]
    kept = zarr.open_group(str(folder.split("test")), mode="r")[f"scale_{size}/q"][...]
    np.testing.assert_allclose(means["q"], kept.mean(dtype=np.float64), rtol=1e-4)  # of float32
    assert folder.stages()["evaluate"]["variables"] == len(means)
    assert not (folder.path / "models").exists()
    for wrong, message in (
        ("means.variables=[]", r"means\.variables: got \[\]; must name at least one"),
        ("means.variable=['q']", r"means\.variable: unknown key"),
    ):
        with pytest.raises(ConfigError, match=message):
            load_config(SMALLEST, overrides=["recipe=my_recipe:Means", wrong])
