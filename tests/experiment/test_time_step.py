"""A time step that cannot work is refused before time is spent, and the safe one is told."""

import re

import jax
import jax.numpy as jnp
import pytest
from experiment_runs import SMALLEST

from subgrid.config import load_config
from subgrid.data import open_dataset
from subgrid.errors import ConfigError
from subgrid.experiment import RunFolder, run_experiment
from subgrid.recipes import stability
from subgrid.stepping import rollout
from subgrid.systems import TwoLayerQG

# a strong shear, so that the eddies are fast after a few months
GROWN = (
    "truth.nx=32",
    "truth.constants={upper_velocity=0.1}",
    "truth.dt=10800",
    "truth.spinup_steps=1600",
    "truth.save_every=6",
    "coarse.sizes=[24, 16]",
    "data.segment_frames=400",
    "evaluation.steps=2",
    "evaluation.save_every=1",
)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ("truth.nx=64", "truth.dt=86400", "evaluation.dt=43200", "evaluation.save_every=4"),
            r"truth\.dt: got 86400 s, .* largest safe step on this grid is 31000 s for developed",
        ),
        (
            ("truth.constants={upper_velocity=2.0}", "truth.dt=43200"),
            r"truth\.dt: got 43200 s, .* is 21000 s for a state of zeros; a developed one may",
        ),
        (
            ("evaluation.dt=432000", "truth.dt=43200", "truth.save_every=10"),
            r"evaluation\.dt: got 432000 s, .* is 160000 s for developed flow",
        ),
    ],
)
def test_a_step_that_cannot_work_is_refused_before_there_is_a_folder(tmp_path, overrides, message):
    config = load_config(
        SMALLEST, overrides=["evaluation.steps=4", "evaluation.save_every=2", *overrides]
    )
    with pytest.raises(ConfigError, match=message):
        run_experiment(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_step_too_long_for_the_eddies_of_the_test_set_is_refused_before_the_training(tmp_path):
    config = load_config(SMALLEST, overrides=[*GROWN, "evaluation.dt=64800"])
    with pytest.raises(ConfigError, match=r"evaluation\.dt: got 64800 s, above the stab") as caught:
        run_experiment(config, tmp_path / "run")
    folder = RunFolder.open(tmp_path / "run")
    assert folder.is_done("simulate")
    assert not (folder.path / "models").exists()
    assert not folder.evaluation.exists()
    told = float(re.search(r"on this grid is (\S+) s", str(caught.value))[1])
    coarse = TwoLayerQG(24, upper_velocity=0.1)
    states = coarse.State(jnp.asarray(open_dataset(folder.split("test"), 24).q.values[:, 0]))
    assert told <= float(jax.vmap(coarse.largest_dt)(states).min()) < 64800
    run = jax.vmap(lambda state: rollout(coarse.model(told), state, 400, 400))(states)
    assert run.blew_up_at.tolist() == [-1, -1]


def test_only_the_stages_that_will_take_a_step_are_refused_for_it(a_copy, tmp_path, monkeypatch):
    config = load_config(SMALLEST)
    limit = stability.failing_dt(TwoLayerQG(16))._replace(seconds=1.0)
    monkeypatch.setattr(stability, "failing_dt", lambda *_: limit)
    run_experiment(config, a_copy)
    run_experiment(config, a_copy, stages=("report",), force=True)
    RunFolder.open(a_copy).forget("evaluate")
    with pytest.raises(ConfigError, match="above the stability limit"):
        run_experiment(config, a_copy)
    with pytest.raises(ConfigError, match="above the stability limit"):
        run_experiment(config, a_copy, stages=("simulate",), force=True)
    assert RunFolder.open(a_copy).is_done("simulate")
