"""The path of a notebook: a user's data, a network, forecasts, a table and a figure, in memory."""

import runpy
from pathlib import Path

import jax
import numpy as np
import pytest
import xarray as xr

from subgrid.stepping import rollout
from subgrid.systems import Lorenz96

SCRIPT = Path(__file__).parents[1] / "examples" / "notebook_path.py"


@pytest.fixture
def own_data(tmp_path, monkeypatch):
    """Write what a user could bring: coarse states and what their tendency lacks."""
    truth = Lorenz96(8, 32)
    keys = jax.random.split(jax.random.key(0), 18)

    @jax.jit
    @jax.vmap
    def run(key):
        return rollout(truth.model(0.005), truth.initial_state(key=key), 1200, 10).states

    states = jax.tree.map(lambda a: np.asarray(a)[:, 40:], run(keys))
    dims = ("member", "time", "k")
    found = {"x": (dims, states.x), "x_forcing": (dims, -states.y.sum(-1))}
    times = 0.05 * np.arange(states.x.shape[1])
    data = xr.Dataset(found, {"time": ("time", times, {"units": "1"})})
    monkeypatch.chdir(tmp_path)
    data.to_zarr("lorenz96.zarr", consolidated=False)


def test_the_readme_shows_it_as_it_is():
    shown = SCRIPT.read_text().split("\n", 2)[2].strip()  # without the docstring
    assert f"```python\n{shown}\n```" in (SCRIPT.parents[1] / "README.md").read_text()


def test_it_is_short_and_learns(own_data, tmp_path):
    assert len(SCRIPT.read_text().splitlines()) < 40
    found = runpy.run_path(str(SCRIPT))
    leads = found["table"]["skilful_lead_mean"].sel(quantity="x", end="estimate").squeeze()
    assert float(leads.sel(model="network")) > 2 * float(leads.sel(model="none"))
    assert (tmp_path / "errors.png").stat().st_size > 5000
