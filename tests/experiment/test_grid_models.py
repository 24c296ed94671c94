"""Finer grids without a closure as rivals: run, coarsened, scored and timed per coarse step."""

import json

import numpy as np
import pytest
from experiment_runs import SMALLEST

from subgrid.config import check_builds, config_from_dict, load_config
from subgrid.errors import ConfigError
from subgrid.experiment import run_experiment
from subgrid.recipes.held_out import HeldOut, scored_members
from subgrid.recipes.results import candidates, load_results


def with_grids(*grids, **evaluation):
    tables = load_config(SMALLEST).to_dict()
    tables["truth"]["nx"], tables["coarse"]["sizes"] = 32, [16]
    tables["models"] = [model for model in tables["models"] if model["kind"] != "learned"]
    tables["models"] += [{"kind": "grid", **grid} for grid in grids]
    tables["evaluation"] |= evaluation
    return tables


@pytest.mark.slow
def test_a_finer_grid_is_run_coarsened_and_scored(tmp_path):
    tables = with_grids({"name": "middle", "size": 24}, {"name": "fine", "size": 32, "substeps": 2})
    folder = run_experiment(config_from_dict(tables), tmp_path / "run")
    results = load_results(folder)
    coarse, middle, fine = (results.online[name][0] for name in ("none", "middle", "fine"))
    for data in (middle, fine):
        assert data.sizes == coarse.sizes
        np.testing.assert_allclose(data["time"], coarse["time"])
        assert np.all(data["blew_up_at"] < 0)
    costs = {
        file.stem: json.loads(file.read_text()) for file in folder.evaluation.glob("costs/*.json")
    }
    # two steps on four times the cells cost more than one on the coarse grid
    assert costs["fine"]["ratio"] > 1.5
    scores = json.loads(folder.scores.read_text())
    assert set(scores["offline"]).isdisjoint({"middle", "fine"})
    errors = {
        name: score["spectral_rmse"]["kinetic_energy_spectrum_upper"]["estimate"]
        for name, score in scores["online"].items()
    }
    # the truth's own grid: nearest to it
    assert errors["fine"] < errors["none"]
    report = folder.report.read_text()
    assert "middle" in report
    assert "<h3>1. Is it worth its cost? Skill against cost</h3>" in report


def test_a_finer_run_starts_from_the_coarse_state(tmp_path):
    tables = with_grids({"name": "fine", "size": 32})
    folder = run_experiment(config_from_dict(tables), tmp_path / "run", stages=("simulate",))
    test = HeldOut(folder, scored_members(folder.config))
    fine = next(c for c in candidates(folder, test.system) if c.entry.kind == "grid")
    setup = test._setup(fine)
    assert setup.states.q.shape[-2:] == (32, 32)
    whole = test._initial_states.q
    # padded with zeros: the same values at the points that both grids share, but for the Nyquist
    hat = np.fft.rfft2(np.asarray(whole, np.float64))
    hat[..., hat.shape[-2] // 2, :] = 0
    hat[..., -1] = 0
    np.testing.assert_allclose(
        setup.states.q[..., ::2, ::2],
        np.fft.irfft2(hat, s=whole.shape[-2:]),
        atol=1e-5 * float(np.abs(whole).max()),
    )


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"size": 16}, r"models.g.size: got 16; must be above coarse.sizes\[0\] = 16 and at most"),
        ({"size": 64}, r"models.g.size: got 64; must be above .* truth.nx = 32"),
        ({"size": 25}, r"models.g: nx must be an even whole number .*, got 25"),
        ({"size": 24, "substep": 2}, "models.g.substep: unknown key.*substeps"),
        ({"size": 24, "substeps": 0}, "models.g.substeps"),
    ],
)
def test_problems_are_named(grid, message):
    with pytest.raises(ConfigError, match=message):
        check_builds(config_from_dict(with_grids({"name": "g", **grid})))


def test_a_step_above_the_limit_of_the_finer_grid_is_refused(tmp_path):
    tables = with_grids({"name": "g", "size": 128})
    tables["truth"] |= {"nx": 128, "dt": 10800.0, "save_every": 3}
    tables["evaluation"] |= {"dt": 32400.0, "save_every": 1, "steps": 2}
    with pytest.raises(
        ConfigError, match=r"models\.g\.substeps: evaluation\.dt / 1: got .* s, above"
    ):
        run_experiment(config_from_dict(tables), tmp_path / "run")
