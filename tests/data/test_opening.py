"""A store in other hands: opened without arguments, sent to workers, written to other formats."""

import json
import pickle

import numpy as np
import pytest
import xarray as xr
import zarr

from subgrid.data import open_dataset, opening
from subgrid.data.observing import ArrayLayout, ScaleLayout
from subgrid.data.shards import ShardReader
from subgrid.data.store import create_store, extend_store, update_attributes
from subgrid.errors import CorruptFileError

# pytest turns the warnings of xarray and zarr into errors: what opens here opens without one


def _empty_store(path, trajectories=2):
    """Make a store of two scales whose arrays hold nothing, as a generation begins with."""
    fields = {
        size: ScaleLayout(
            (ArrayLayout("q", ("y", "x"), (size, size), {"units": "s-1"}),),
            {axis: (np.arange(size) + 0.5, {"units": "m"}) for axis in ("y", "x")},
            ("y", "x"),
        )
        for size in (4, 6)
    }
    attributes = {"Conventions": "CF-1.11", "title": "nothing", "source": "a test"}
    attributes |= {"config_hash": "none", "scales": [6, 4], "failed": [], "complete": 0}
    times = np.arange(1.0, 6.0)
    create_store(path, fields, trajectories=trajectories, times=times, attributes=attributes)
    return path


def test_the_root_opens_with_what_all_scales_share_and_where_they_are(tmp_path):
    root = xr.open_zarr(_empty_store(tmp_path / "train.zarr"))
    np.testing.assert_array_equal(root.time, np.arange(1.0, 6.0))
    assert root.time.attrs["units"] == "s"
    np.testing.assert_array_equal(root.trajectory, [0, 1])
    np.testing.assert_array_equal(root.cells, [6, 4])
    assert root.comment == "the variables are in the groups scale_6, scale_4"


def test_groups_and_the_tree_open_without_arguments(plain):
    found = xr.open_zarr(plain.path, group="scale_8")
    checked = open_dataset(plain.path, 8)
    xr.testing.assert_identical(found.load(), checked.load())
    with xr.open_datatree(plain.path, engine="zarr") as tree:
        xr.testing.assert_identical(tree["scale_8"].to_dataset().load(), checked)


def test_the_copies_of_metadata_are_those_that_zarr_makes(plain, copy):
    for group in (".", "scale_8"):
        kept = json.loads((plain.path / group / "zarr.json").read_text())
        with pytest.warns(UserWarning, match="not part in the Zarr format 3"):
            zarr.consolidate_metadata(copy, path=group.strip("."))
        assert json.loads((copy / group / "zarr.json").read_text()) == kept


def test_copies_of_metadata_follow_what_changes(tmp_path):
    path = _empty_store(tmp_path / "train.zarr")
    extend_store(path, 3)
    update_attributes(path, {"failed": [1]})
    assert xr.open_zarr(path).attrs["failed"] == [1]
    for group in (None, "scale_4", "scale_6"):
        copied = xr.open_zarr(path, group=group, consolidated=True)
        xr.testing.assert_identical(copied, xr.open_zarr(path, group=group, consolidated=False))
        assert copied.sizes["trajectory"] == 3
    # as if it had been made with three, and however often a killed process repeats it
    whole = _empty_store(tmp_path / "whole.zarr", trajectories=3)
    update_attributes(whole, {"failed": [1]})
    for _ in range(2):
        files = {file.relative_to(path): file.read_bytes() for file in path.rglob("zarr.json")}
        assert files == {f.relative_to(whole): f.read_bytes() for f in whole.rglob("zarr.json")}
        extend_store(path, 3)


@pytest.mark.parametrize("chunks", [None, {}])
def test_nothing_is_read_before_it_is_used(copy, chunks):
    for shard in copy.rglob("c/*/0/0/0/0"):
        shard.unlink()
    found = open_dataset(copy, 8, chunks=chunks)
    assert found.q.shape == (2, 6, 2, 8, 8)
    with pytest.raises(CorruptFileError):
        found.q.load()


@pytest.mark.parametrize("chunks", [None, {}])
def test_a_dataset_goes_to_another_process(plain, chunks):
    whole = open_dataset(plain.path, 8).load()
    found = open_dataset(plain.path, 8, chunks=chunks)
    xr.testing.assert_identical(pickle.loads(pickle.dumps(found)).load(), whole)


def test_what_a_reader_keeps_in_memory_stays_there(plain):
    reader = ShardReader(plain.path, "scale_8/q")
    sent = pickle.dumps(reader)
    frames = reader.read(1, [5, 2])
    assert pickle.dumps(reader) == sent
    np.testing.assert_array_equal(pickle.loads(sent).read(1, [5, 2]), frames)


@pytest.mark.parametrize("chunks", [None, {}])
def test_a_dataset_can_be_written_to_other_formats(plain, tmp_path, chunks):
    found = open_dataset(plain.path, 8, chunks=chunks)
    found.to_netcdf(tmp_path / "a.nc", engine="scipy")
    xr.testing.assert_equal(xr.load_dataset(tmp_path / "a.nc", engine="scipy"), found)
    for version in (2, 3):
        path = tmp_path / f"{version}.zarr"
        found.to_zarr(path, zarr_format=version, consolidated=False)
        again = xr.open_zarr(path, zarr_format=version, consolidated=False)
        xr.testing.assert_identical(again.load(), open_dataset(plain.path, 8).load())


def test_the_attributes_of_a_finished_store_fit_netcdf(plain, tmp_path):
    # netCDF4 takes no booleans; scipy's NetCDF-3 no lists of text and no more than int32
    root = xr.open_zarr(plain.path)
    assert not [name for name, value in root.attrs.items() if isinstance(value, bool)]
    root.attrs["seed"] = str(2**32 - 1)
    root.to_netcdf(tmp_path / "a.nc", engine="scipy")
    again = xr.load_dataset(tmp_path / "a.nc", engine="scipy")
    assert again.attrs["config_hash"] == plain.config_hash
    assert again.attrs["seeds"].split() == [result.seeds[-1] for result in plain.results]


def test_chunks_hold_many_frames_and_no_part_of_a_shard(plain, monkeypatch):
    assert open_dataset(plain.path, 8).q.chunks is None
    assert open_dataset(plain.path, 8, chunks={}).q.data.chunksize == (1, 6, 2, 8, 8)
    frame = 4 * 2 * 8 * 8
    for limit, frames in ((5 * frame, 4), (4 * frame, 4), (4 * frame - 1, 2), (1, 1)):
        monkeypatch.setattr(opening, "_PART", limit)
        found = open_dataset(plain.path, 8, chunks={})
        assert found.q.data.chunksize == (1, frames, 2, 8, 8)
    # the caller's own choice of one axis is kept, and xarray does not warn of it
    assert open_dataset(plain.path, 8, chunks={"time": 3}).q.data.chunksize == (1, 3, 2, 8, 8)
    assert open_dataset(plain.path, 8, chunks=-1).q.data.chunksize == (2, 6, 2, 8, 8)


def test_damage_is_named_by_dask_too(copy):
    found = open_dataset(copy, 8, chunks={})
    (copy / "scale_8/q/c/1/0/0/0/0").unlink()
    with pytest.raises(CorruptFileError, match=r"train\.zarr: array scale_8/q, trajectory 1"):
        found.q.mean().compute(scheduler="threads")
    assert np.isfinite(found.q.isel(trajectory=0).compute(scheduler="threads")).all()
