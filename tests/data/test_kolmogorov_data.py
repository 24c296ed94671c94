"""Datasets of Kolmogorov flow: velocities on faces and the defect of a coarse step."""

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from small_generation import settings

from subgrid.coarsening import StaggeredMean, StepDefect, TendencyDefect
from subgrid.data import Samples, generate
from subgrid.errors import ConfigError, RunFolderError
from subgrid.systems import KolmogorovFlow

SUBSTEPS = 2


def _settings() -> dict:
    system = KolmogorovFlow(32)
    coarse = {size: system.at(size) for size in (16, 8)}
    dt = 0.5 * system.grid.dx / 7
    return settings(
        system,
        coarse_systems=coarse,
        coarseners={n: StaggeredMean(system.grid, s.grid) for n, s in coarse.items()},
        target=StepDefect(SUBSTEPS * dt, SUBSTEPS),
        dt=dt,
    )


@pytest.mark.slow
def test_a_dataset_holds_velocities_and_what_a_coarse_step_misses(tmp_path):
    values = _settings()
    generate(tmp_path / "train.zarr", **values)
    data = xr.open_zarr(tmp_path / "train.zarr", group="scale_16", consolidated=False)
    assert data.u.dims == ("trajectory", "time", "y", "x")
    assert data.u.attrs["grid_position"] == "east"
    assert data.v_forcing.attrs["units"] == data.time.attrs["units"] == "1"
    coarse = values["coarse_systems"][16]
    state = coarse.State(*(jnp.asarray(data[name].values[1, 2]) for name in ("u", "v")))
    missed = coarse.State(
        *(jnp.asarray(data[f"{name}_forcing"].values[1, 2]) for name in ("u", "v"))
    )
    assert float(jnp.abs(missed.u).max()) > 0.1
    # the data are float32: roundings of velocities of order 7, and of them divided by dt
    assert float(jnp.abs(coarse.divergence(state)).max()) < 1e-4
    assert float(jnp.abs(coarse.divergence(missed)).max()) < 1e-4 * 7 / values["dt"]


def test_the_next_frame_follows_from_one_and_its_forcing(tmp_path):
    """Frames one coarse step apart: that step plus dt S."""
    values = _settings() | {"save_every": SUBSTEPS, "trajectories": 1}
    generate(tmp_path / "train.zarr", **values)
    samples = Samples(tmp_path / "train.zarr", 8, ("u", "v", "u_forcing", "v_forcing"))
    coarse, dt = values["coarse_systems"][8], values["target"].dt
    first, second = (
        {name: samples.batch([number])[name][0] for name in samples.variables} for number in (0, 1)
    )
    stepped = coarse.advance(coarse.State(jnp.asarray(first["u"]), jnp.asarray(first["v"])), dt)
    for name in ("u", "v"):
        got = np.asarray(getattr(stepped, name)) + dt * first[f"{name}_forcing"]
        np.testing.assert_allclose(got, second[name], rtol=0, atol=1e-5)  # float32 of order 7


def test_another_target_is_another_store(tmp_path):
    values = _settings() | {"trajectories": 1, "frames": 1}
    generate(tmp_path / "train.zarr", **values)
    with pytest.raises(RunFolderError, match="another config: target differs"):
        generate(tmp_path / "train.zarr", **values | {"target": TendencyDefect()})
    with pytest.raises(ConfigError, match=r"StepDefect\(substeps \* dt, substeps\)"):
        generate(tmp_path / "other.zarr", **values | {"target": StepDefect(values["dt"], 2)})
