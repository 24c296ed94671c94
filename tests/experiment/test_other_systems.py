"""A system that no file above `systems` knows goes from its truth to its report."""

import json

import pytest
from experiment_runs import SMALLEST

from subgrid.config import check_builds, config_from_dict, load_config
from subgrid.experiment import RunFolder, run_experiment

OWN = '''
from subgrid.systems import BarotropicVorticity


class Damped(BarotropicVorticity):
    """Barotropic vorticity with a term of its own: a drag on the mean of its rows."""

    def evolved_tendency(self, evolved, forcing=None):
        hat = super().evolved_tendency(evolved, forcing).vorticity
        return type(evolved)(hat.at[:, 0].add(-0.1 * evolved.vorticity[:, 0]))

    def at(self, size, **changes):
        shape = dict(zip(("ny", "nx"), self.grid.at(size).shape))
        return Damped(**{**self.settings(), **shape, **changes})
'''


def config_of(system):
    tables = load_config(SMALLEST).to_dict()
    tables["truth"] |= {"system": system, "configuration": "otness2025", "dt": 0.02}
    tables["models"] = [m for m in tables["models"] if m["name"] in ("none", "cascade")]
    return config_from_dict(tables)


@pytest.mark.slow
@pytest.mark.parametrize("system", ["barotropic", "own_flow:Damped"])
def test_it_is_simulated_learned_run_and_reported(system, tmp_path, monkeypatch):
    (tmp_path / "own_flow.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    folder = run_experiment(config_of(system), tmp_path / "run")
    assert isinstance(folder, RunFolder)
    scores = json.loads(folder.scores.read_text())
    errors = scores["online"]["cascade"]["spectral_rmse"]
    assert set(errors) == {"kinetic_energy_spectrum", "enstrophy_spectrum"}
    assert scores["offline"]["cascade"][0]["channels"] == ["vorticity"]
    page = folder.report.read_text()
    assert "correlation" in page  # runs of it are followed by the truth
    assert "closure work" in page.replace("_", " ")


@pytest.mark.parametrize("system", ["barotropic", "own_flow:Damped"])
def test_all_of_it_builds(system, tmp_path, monkeypatch):
    (tmp_path / "own_flow.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    check_builds(config_of(system), trust=True)
