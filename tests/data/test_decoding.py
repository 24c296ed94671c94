"""What compressed data take is asked before they are decoded."""

import json
import os
import tracemalloc

import numpy as np
import pytest
import xarray as xr
from numcodecs.zstd import Zstd
from small_generation import settings

from subgrid.data import Samples, check_decoded_size, generate, open_dataset
from subgrid.data.decoding import content_size
from subgrid.data.shards import ShardReader, ShardWriter, shard_path
from subgrid.errors import CorruptFileError

BOMB = 2**26  # bytes of zeros, 2 kB when compressed


@pytest.mark.parametrize("size", [1, 255, 256, 257, 65791, 65792, 1_000_000])
def test_the_size_is_what_the_header_says(size):
    data = Zstd(level=1).encode(np.random.default_rng(size).bytes(size))
    assert content_size(data[:18]) == size


@pytest.mark.parametrize("data", [b"", b"\x28\xb5\x2f\xfd", b"\x28\xb5\x2f\xfd\xa0\x01", b"x" * 20])
def test_another_header_says_nothing(data):
    assert content_size(data) is None


def test_every_form_of_the_header():
    """RFC 8878: with and without a window and a dictionary, and every length of the size."""
    magic = b"\x28\xb5\x2f\xfd"
    assert content_size(magic + bytes([0b00100000, 7]) + b"..") == 7
    assert content_size(magic + bytes([0b00000000, 7]) + b"..") is None  # it does not say
    assert content_size(magic + bytes([0b01000000, 0]) + b"\x01\x00") == 257
    assert content_size(magic + bytes([0b10100011]) + b"dict" + b"\x00\x00\x00\x04") == 2**26
    assert content_size(magic + bytes([0b11100001, 0]) + (2**40).to_bytes(8, "little")) == 2**40


def peak(function):
    tracemalloc.start()
    try:
        with pytest.raises(CorruptFileError) as caught:
            function()
        return tracemalloc.get_traced_memory()[1], str(caught.value)
    finally:
        tracemalloc.stop()


def test_a_frame_that_decodes_to_more_than_its_shape_is_not_decoded(copy):
    reader = ShardReader(copy, "scale_8/q")
    frames = reader.shape[1]
    writer = ShardWriter(copy.parent / "parts", frames)
    writer.append(np.zeros((frames, BOMB // 4), np.float32))
    writer.finish(copy / "scale_8/q", len(reader.shape), 0)
    used, message = peak(lambda: reader.read(0, [0]))
    assert "scale_8/q, trajectory 0, frame 0, does not hold a frame of this shape" in message
    assert used < BOMB / 16  # nothing like the frame was allocated


@pytest.mark.parametrize(
    ("shape", "chunk"),
    [
        ([2, 6, 2, 20_000, 20_000], [1, 6, 2, 20_000, 20_000]),
        ([2, 6, 2, 8, 8], [1, 0, 2, 8, 8]),
        ([2, 6, -2, 8, 8], [1, 6, 2, 8, 8]),
        ([2, 6, "8", 8, 8], [1, 6, 2, 8, 8]),
        ([2, 6], [1, 6]),
        (None, [1, 6]),
    ],
    ids=str,
)
def test_an_array_of_impossible_shape_is_refused_before_it_is_allocated(shape, chunk, copy):
    file = copy / "scale_8/q/zarr.json"
    metadata = json.loads(file.read_text())
    metadata["shape"] = shape
    metadata["chunk_grid"]["configuration"]["chunk_shape"] = chunk
    file.write_text(json.dumps(metadata))
    used, message = peak(lambda: ShardReader(copy, "scale_8/q"))
    assert "scale_8/q" in message
    assert used < 2**20


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("trajectories", 10**15),
        ("trajectories", "2"),
        ("failed", 3),
        ("scales", [0]),
        ("scales", 8),
    ],
)
def test_attributes_of_another_kind_are_refused(name, value, copy):
    file = copy / "zarr.json"
    metadata = json.loads(file.read_text())
    metadata["attributes"][name] = value
    del metadata["attributes"]["sha256"]  # as whoever wants to be believed would
    file.write_text(json.dumps(metadata))
    with pytest.raises(CorruptFileError, match=f"something else as {name}"):
        Samples(copy, 8)


@pytest.fixture
def scores(tmp_path):
    """A small store as the evaluation writes it."""
    names = np.array(["first", "second"], object)
    arrays = {"a": (("x",), np.arange(8.0)), "n": ((), 3)}
    dataset = xr.Dataset(arrays, {"x": np.arange(8), "name": ("name", names)})
    dataset.to_zarr(tmp_path / "s.zarr", mode="w", consolidated=False, zarr_format=3)
    check_decoded_size(tmp_path / "s.zarr", lambda size: size < 1000)
    return tmp_path / "s.zarr"


def test_a_chunk_that_decodes_to_more_than_the_array_is_found(scores):
    (scores / "a/c/0").write_bytes(Zstd(level=1).encode(bytes(BOMB)))
    used, message = peak(lambda: check_decoded_size(scores, lambda _: True))
    assert f"a/c/0 would decode to {BOMB} bytes, where the array has 64" in message
    assert used < BOMB / 16


def test_names_that_decode_to_more_than_names_have_are_found(scores):
    (scores / "name/c/0").write_bytes(Zstd(level=1).encode(bytes(BOMB)))
    used, message = peak(lambda: check_decoded_size(scores, lambda _: True))
    assert f"name/c/0 would decode to {BOMB} bytes, where names have 1048576 at most" in message
    assert used < BOMB / 16


def test_files_of_the_user_are_no_chunks(scores):
    for folder in (scores / "a", scores / "a/c"):
        (folder / ".DS_Store").write_bytes(b"mine")
        (folder / "notes.txt").write_text("mine")
    check_decoded_size(scores, lambda size: size < 1000)


def test_a_store_that_says_it_is_larger_than_the_memory_is_refused(scores):
    file = scores / "a/zarr.json"
    metadata = json.loads(file.read_text())
    metadata["shape"] = [10**13]
    file.write_text(json.dumps(metadata))
    with pytest.raises(CorruptFileError, match="more than the memory allows"):
        check_decoded_size(scores, lambda size: size < 1000)


def test_another_codec_is_refused(scores):
    file = scores / "a/zarr.json"
    metadata = json.loads(file.read_text())
    metadata["codecs"][1] = {"name": "gzip", "configuration": {"level": 1}}
    file.write_text(json.dumps(metadata))
    with pytest.raises(CorruptFileError, match="its codecs are"):
        check_decoded_size(scores, lambda _: True)


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_odd_files_in_a_store_are_refused(kind, copy, tmp_path):
    shard = shard_path(copy / "scale_8/q", 5, 0, 0)
    shard.rename(tmp_path / "elsewhere")
    if kind == "link":
        shard.symlink_to(tmp_path / "elsewhere")
    else:
        os.mkfifo(shard)
    reads = (
        lambda: ShardReader(copy, "scale_8/q").read(0, [0]),
        lambda: open_dataset(copy, 8),
        lambda: generate(copy, **settings(trajectories=3)),
    )
    before = (tmp_path / "elsewhere").read_bytes()
    for read in reads:
        with pytest.raises(CorruptFileError, match=r"is a (symbolic link|pipe)"):
            read()
    assert (tmp_path / "elsewhere").read_bytes() == before


def test_a_coordinate_that_decodes_to_more_than_it_says_is_not_decoded(copy):
    assert open_dataset(copy, 8).sizes["time"] == 6
    chunk = copy / "scale_8/time/c/0"
    chunk.write_bytes(Zstd(level=1).encode(bytes(BOMB)))
    used, message = peak(lambda: open_dataset(copy, 8))
    assert f"time/c/0 would decode to {BOMB} bytes" in message
    assert used < BOMB / 16
