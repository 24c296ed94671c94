"""What a simulation returns, in the hands of other programs."""

import pickle

import jax
import pytest
import xarray as xr

import subgrid
from subgrid.systems import KolmogorovFlow, TwoLayerQG


@pytest.mark.parametrize(("system", "dt"), [(TwoLayerQG(8), 3600.0), (KolmogorovFlow(8), 1e-3)])
def test_frames_can_be_sent_and_written_to_other_formats(system, dt, tmp_path):
    state = system.initial_state(key=jax.random.key(0))
    frames = subgrid.simulate(system.model(dt), state, 2, progress=False)
    assert frames.sizes["time"] == 3
    xr.testing.assert_identical(pickle.loads(pickle.dumps(frames)), frames)
    frames.to_netcdf(tmp_path / "a.nc", engine="scipy")
    xr.testing.assert_equal(xr.load_dataset(tmp_path / "a.nc", engine="scipy"), frames)
    for version in (2, 3):
        frames.to_zarr(tmp_path / f"{version}.zarr", zarr_format=version, consolidated=False)
        again = xr.open_zarr(tmp_path / f"{version}.zarr", consolidated=False, chunks=None)
        xr.testing.assert_equal(again.load(), frames)
