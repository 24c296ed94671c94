"""A store as others see it: xarray, zarr, units, files, and damage that is noticed."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
import zarr
from small_generation import settings

from subgrid.data import Samples, generate, open_dataset, scales, statistics
from subgrid.data.observing import _times
from subgrid.data.shards import ShardReader, ShardWriter
from subgrid.errors import ConfigError, CorruptFileError, RunFolderError


def test_xarray_opens_group_and_tree(plain):
    found = xr.open_zarr(plain.path, group="scale_8", consolidated=False)
    assert found.q.dims == ("trajectory", "time", "level", "y", "x")
    assert dict(found.sizes) == {"trajectory": 2, "time": 6, "level": 2, "y": 8, "x": 8}
    assert found.q.dtype == np.float32
    assert set(found.coords) == {"trajectory", "time", "level", "y", "x"}
    assert bool(np.isfinite(found.load().to_array()).all())
    with xr.open_datatree(plain.path, engine="zarr", consolidated=False) as tree:
        assert tree["scale_8"].dataset.q.equals(found.q)
        assert tree.attrs["Conventions"] == "CF-1.11"
        assert tree.attrs["config_hash"] == plain.config_hash


def test_every_variable_and_coordinate_has_units_and_a_long_name(plain):
    found = xr.open_zarr(plain.path, group="scale_8", consolidated=False, decode_times=False)
    for variable in found.variables.values():
        assert variable.attrs["units"]
        assert variable.attrs["long_name"]
    assert found.q.units == "s-1"
    assert found.q_forcing.units == "s-2"
    assert found.time.units == "s"


@pytest.mark.parametrize(
    ("units", "factor", "product"),
    [
        ("s-1", "s-1", "s-2"),
        ("m s-1", "s-1", "m s-2"),
        ("1", "s-1", "s-1"),
        ("m/s", "s-1", "(m/s) s-1"),
        ("s-1", "m s-1", "s-2 m"),
    ],
)
def test_units_multiply(units, factor, product):
    assert _times(units, factor) == product


def test_several_scales_and_fluxes_in_one_pass(tmp_path):
    from subgrid.coarsening import SubgridFlux, flux_divergence

    given = settings(sizes=(8, 10), store_flux=True, trajectories=1)
    path = generate(tmp_path / "train.zarr", **given).path
    assert scales(path) == (10, 8)
    found = open_dataset(path, 8).load()
    grid = given["coarse_systems"][8].grid
    flux = SubgridFlux(
        jnp.asarray(found.q_flux_x.values[0, -1]), jnp.asarray(found.q_flux_y.values[0, -1])
    )
    forcing = found.q_forcing.values[0, -1]
    # S is a difference of float32 tendencies: near the start it has few digits
    np.testing.assert_allclose(
        -flux_divergence(flux, grid), forcing, atol=0.02 * np.abs(forcing).max()
    )
    assert found.q_flux_x.units == "s-2 m"


def test_few_files_per_trajectory(plain):
    per_trajectory = [path for path in plain.path.rglob("c/1/0/0/0/0") if path.is_file()]
    assert len(per_trajectory) == 2  # one per array and coarse size
    assert len([p for p in plain.path.parent.rglob("*") if "00001" in p.name]) == 1


@pytest.mark.parametrize(
    "key",
    [
        {"trajectory": 1},
        {"time": 3, "level": 0},
        {"time": slice(1, None, 2), "x": [3, 1]},
        {"trajectory": [1, 0], "time": [5, 0], "y": 2, "x": slice(2, 5)},
        {"level": -1, "y": 0, "x": 7},
    ],
)
def test_checked_reading_equals_zarrs(plain, key):
    plainly = xr.open_zarr(plain.path, group="scale_8", consolidated=False).load()
    xr.testing.assert_identical(open_dataset(plain.path, 8).isel(key).load(), plainly.isel(key))


def test_zarr_reads_what_spans_several_shards(tmp_path, monkeypatch):
    from subgrid.data import shards

    monkeypatch.setattr(shards, "FRAMES_PER_SHARD", 4)
    frames = np.random.default_rng(0).standard_normal((11, 2, 3, 3)).astype(np.float32)
    group = zarr.create_group(tmp_path / "a.zarr")
    array = group.create_array(
        "q",
        shape=(2, 11, 2, 3, 3),
        chunks=(1, 1, 2, 3, 3),
        shards=(1, 4, 2, 3, 3),
        dtype="float32",
        fill_value=np.nan,
        compressors=shards.frame_codecs(),
        dimension_names=("trajectory", "time", "level", "y", "x"),
    )
    writer = ShardWriter(tmp_path / "q", 11)
    writer.append(frames[:6])
    writer.sync()
    kept = writer.lengths
    writer.append(frames[:3])  # lost: never recorded
    writer.close()
    writer = ShardWriter(tmp_path / "q", 11, kept)
    writer.append(frames[6:])
    assert len(writer.finish(tmp_path / "a.zarr" / "q", 5, 1)) == 3
    np.testing.assert_array_equal(array[1], frames)
    assert np.isnan(array[0]).all()
    reader = ShardReader(tmp_path / "a.zarr", "q")
    np.testing.assert_array_equal(reader.read(1, [10, 0, 4]), frames[[10, 0, 4]])
    array[0] = frames  # and the other way round: zarr writes, we read
    np.testing.assert_array_equal(reader.read(0, np.arange(11)), frames)


def _flip(path, position):
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("damage", ["chunk", "index", "truncated", "missing"])
def test_damage_is_found_and_named(copy, damage):
    shard = copy / "scale_8" / "q" / "c" / "1" / "0" / "0" / "0" / "0"
    match damage:
        case "chunk":
            _flip(shard, 5)
        case "index":
            _flip(shard, -10)
        case "truncated":
            shard.write_bytes(shard.read_bytes()[:-100])
        case "missing":
            shard.unlink()
    where = r"train\.zarr: array scale_8/q, trajectory 1, .*"
    with pytest.raises(CorruptFileError, match=where):
        open_dataset(copy, 8).q.isel(trajectory=1, time=0).load()
    with pytest.raises(CorruptFileError, match=where):
        statistics(copy, 8)
    with pytest.raises(CorruptFileError, match=where):
        Samples(copy, 8)
    # what is sound can still be read
    assert np.isfinite(open_dataset(copy, 8).q.isel(trajectory=0)).all()
    if damage in ("truncated", "missing"):
        with pytest.raises(CorruptFileError, match=r"c/1/0/0/0/0 of trajectory 1 has \d+ bytes"):
            generate(copy, **settings())


@pytest.mark.parametrize("where", [5, -10])
def test_altered_chunk_of_the_same_size_is_found_by_the_next_generation(copy, where):
    shard = copy / "scale_8" / "q_forcing" / "c" / "1" / "0" / "0" / "0" / "0"
    _flip(shard, where)
    before = shard.read_bytes()
    region = r"train\.zarr: array scale_8/q_forcing, trajectory 1, frame(s 0 to 5| 0),"
    for trajectories in (2, 3):
        with pytest.raises(CorruptFileError, match=region):
            generate(copy, **settings(trajectories=trajectories))
    assert shard.read_bytes() == before


def test_frames_with_sound_checksums_that_were_not_written_here_are_found(copy):
    """NaN written over a trajectory by another program, its record corrected as well."""
    writer = ShardWriter(copy.parent / "part", 6)
    writer.append(np.full((6, 2, 8, 8), np.nan, np.float32))
    (shard,) = writer.finish(copy / "scale_8" / "q", 5, 0)
    assert not shard.with_name("part.0").exists()
    record = copy.with_suffix(".records") / "00000.json"
    content = json.loads(record.read_text())
    (copy.parent / "part.0").unlink(missing_ok=True)
    content["files"]["scale_8/q/c/0/0/0/0/0"] = shard.stat().st_size
    del content["sha256"]  # the record's own, as in those of earlier versions
    record.write_text(json.dumps(content))
    with pytest.raises(CorruptFileError, match=r"trajectory 0 holds is not what was written"):
        generate(copy, **settings())


def test_damaged_metadata_is_named(copy):
    metadata = copy / "zarr.json"
    metadata.write_text(metadata.read_text()[:-40])
    with pytest.raises(CorruptFileError, match=r"zarr\.json is truncated"):
        open_dataset(copy, 8)


def test_unknown_scale_and_unfinished_store_are_refused(copy, tmp_path):
    with pytest.raises(ConfigError, match="has no scale 9; it has 8"):
        open_dataset(copy, 9)
    with pytest.raises(FileNotFoundError, match="no dataset at"):
        open_dataset(tmp_path / "none.zarr", 8)
    unfinished = tmp_path / "test.zarr"
    with pytest.raises(InterruptedError):
        generate(unfinished, **settings(), map=_interrupted)
    assert np.isnan(open_dataset(unfinished, 8).q).all()
    with pytest.raises(RunFolderError, match="is not finished"):
        Samples(unfinished, 8)


def _interrupted(function, jobs):
    raise InterruptedError
