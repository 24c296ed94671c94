"""What a simulation returns, in the hands of other programs."""

import pickle

import jax
import numpy as np
import pytest
import xarray as xr
from small_systems import SMALL

import subgrid
from subgrid.errors import RunFolderError
from subgrid.stepping import simulate
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


@pytest.mark.parametrize("name", SMALL)
def test_any_system_is_simulated(name):
    system = SMALL[name]
    state = system.initial_state(key=jax.random.key(0))
    frames = subgrid.simulate(system.model(0.01), state, 4, 2, progress=False)
    assert frames.sizes["time"] == 3
    for variable in system.variables:
        assert frames[variable.name].dims == ("time", *variable.dims)


def test_a_killed_simulation_resumes_to_the_same_bits(tmp_path, monkeypatch):
    import importlib

    module = importlib.import_module("subgrid.stepping.simulate")
    monkeypatch.setattr(module, "SEGMENT_STEPS", 4)
    system, file = SMALL["basin"], tmp_path / "run.safetensors"
    model, state = system.model(0.01), system.initial_state(key=jax.random.key(0))
    whole = simulate(model, state, 12, 2, progress=False)

    def kill(done, total):
        if done == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(model, state, 12, 2, progress=kill, file=file)
    seen = []
    again = simulate(model, state, 12, 2, progress=lambda *done: seen.append(done), file=file)
    assert seen == [(12, 12)]
    assert again.identical(whole)
    with pytest.raises(RunFolderError, match="other settings"):
        simulate(system.model(0.02), state, 12, 2, progress=False, file=file)


def test_a_given_forcing_takes_the_place_of_what_is_prescribed():
    system = SMALL["basin"]
    state = system.initial_state(key=jax.random.key(0))
    calm = jax.tree.map(lambda leaf: np.zeros((6, *leaf.shape), "f4"), system.forcing_at(0.0))
    model = system.model(0.1)
    still = subgrid.simulate(model, state, 6, progress=False, forcing=calm)
    windy = subgrid.simulate(model, state, 6, progress=False)
    np.testing.assert_array_equal(still["c"][1], windy["c"][1])  # sin(0): no wind in step 1
    assert (still["c"][-1] != windy["c"][-1]).any()
    # what leaves a cell enters another
    np.testing.assert_allclose(windy["c"].sum(("y", "x")), windy["c"][0].sum(), rtol=1e-5)
