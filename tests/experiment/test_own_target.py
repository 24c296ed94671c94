"""A target of a user's own, named in a config: what closures learn is what it says."""

import numpy as np
import pytest
import xarray as xr
from experiment_runs import SMALLEST

from subgrid.config import check_builds, load_config
from subgrid.errors import ConfigError
from subgrid.experiment import run_experiment

OWN = """
import jax

from subgrid.coarsening import AbstractTarget, TendencyDefect


class Half(AbstractTarget):
    \"\"\"Half of the difference of two tendencies.\"\"\"

    def __call__(self, fine, coarse, coarsener, state, time=0.0):
        seen, missing = TendencyDefect()(fine, coarse, coarsener, state, time)
        return seen, jax.tree.map(lambda s: 0.5 * s, missing)


class Never(Half):
    def check(self, fine, fine_dt):
        raise ValueError(f"not for a truth of dt = {fine_dt:g}")
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own_targets.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)


def forcing(folder):
    size = folder.config.coarse.sizes[0]
    with xr.open_zarr(folder.split("test"), group=f"scale_{size}", consolidated=False) as data:
        return data["q"].values, data["q_forcing"].values


def test_it_is_what_the_data_hold(own, tmp_path):
    made = {}
    for target in ("tendency", "own_targets:Half"):
        config = load_config(SMALLEST, overrides=[f"coarse.target={target}"])
        folder = run_experiment(config, tmp_path / f"{len(made)}", stages=("simulate",))
        made[target] = forcing(folder)
    np.testing.assert_array_equal(made["own_targets:Half"][0], made["tendency"][0])
    assert np.abs(made["tendency"][1]).max() > 0
    np.testing.assert_array_equal(made["own_targets:Half"][1], 0.5 * made["tendency"][1])


def test_what_it_refuses_names_the_key(own):
    config = load_config(SMALLEST, overrides=["coarse.target=own_targets:Never"])
    with pytest.raises(ConfigError, match=r"coarse\.target = 'own_targets:Never': not for a truth"):
        check_builds(config)


def test_an_unknown_one_lists_the_known(tmp_path):
    config = load_config(SMALLEST, overrides=["coarse.target=tendancy"])
    with pytest.raises(
        ConfigError, match=r"coarse\.target: unknown target 'tendancy'\. Did you mean"
    ):
        run_experiment(config, tmp_path / "run")
