"""Files written whole: their permissions, their checksums, and what a kill leaves of them."""

import json
import os
import stat
import struct
from pathlib import Path

import numpy as np
import pytest

from subgrid.checksums import altered, hashes, read_list, signed, unsigned, write_list
from subgrid.errors import CorruptFileError
from subgrid.ownership import files_below, is_leftover, put_in_place, remove_ours
from subgrid.provenance import aside_of, load_arrays, save_arrays, write_atomic

BUNDLES = Path(__file__).parents[1] / "src" / "subgrid" / "deploy" / "bundles"


@pytest.mark.parametrize("umask", [0o077, 0o027, 0o002])
def test_a_file_has_the_permissions_that_the_umask_leaves(tmp_path, umask):
    before = os.umask(umask)
    try:
        for _ in range(2):  # new, and in place of another
            write_atomic(tmp_path / "file", "text")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~umask
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_every_bit_of_arrays_and_metadata_is_under_the_checksum(tmp_path):
    path = tmp_path / "a.safetensors"
    arrays, notes = {"a": np.arange(3.0), "b": np.ones(2, np.int32)}, {"segments": "3", "d": "[1]"}
    save_arrays(path, arrays, notes)
    whole = path.read_bytes()
    harmless = []
    for place in range(len(whole)):
        for bit in (0, 3, 6):
            path.write_bytes(_flipped(whole, place, bit))
            try:
                found, metadata = load_arrays(path)
            except CorruptFileError:
                continue
            harmless.append(place)
            assert metadata == notes
            assert all(np.array_equal(found[name], arrays[name]) for name in arrays)
    assert len(set(harmless)) <= 8  # the blanks that fill up the header: no JSON, or other blanks


def test_a_file_of_an_earlier_version_is_read_and_its_arrays_are_checked(tmp_path):
    from safetensors.numpy import save_file

    path, arrays = tmp_path / "a.safetensors", {"a": np.arange(3.0)}
    save_arrays(path, arrays)
    only_arrays = _metadata(path)["sha256"]  # without metadata both versions have the same
    save_file(arrays, path, {"segments": "3", "sha256": only_arrays})
    assert load_arrays(path)[1] == {"segments": "3"}
    path.write_bytes(_flipped(path.read_bytes(), -1, 0))
    with pytest.raises(CorruptFileError, match="altered"):
        load_arrays(path)


def test_weights_without_metadata_keep_their_bits(tmp_path):
    shipped = sorted(BUNDLES.glob("*/weights.safetensors"))
    assert shipped
    for path in shipped:
        arrays, metadata = load_arrays(path)
        assert metadata == {}
        save_arrays(tmp_path / "again", arrays)
        assert (tmp_path / "again").read_bytes() == path.read_bytes()


def _metadata(path):
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length])["__metadata__"]


def _flipped(data, place, bit):
    content = bytearray(data)
    content[place] ^= 1 << bit
    return bytes(content)


def test_only_names_that_we_make_are_leftovers(tmp_path):
    def ours(name):
        return name in ("manifest.json", "models/best.safetensors")

    assert is_leftover(aside_of(tmp_path / "notes.txt").name, ours)
    assert is_leftover(".manifest.json.x7_fq01z", ours)  # of an earlier version
    assert is_leftover("models/.best.safetensors.28qrw5b1", ours)
    for name in (
        ".ideas.markdown",
        ".my.settings",
        ".git.backup01",
        "models/.manifest.json.x7_fq01z",
        "manifest.json.x7_fq01z",
        ".notes.subgrid-old",
        ".notes.subgrid-0123abcdef",
    ):
        assert not is_leftover(name, ours), name


def test_only_our_files_are_removed_and_links_are_not_followed(tmp_path):
    folder, elsewhere = tmp_path / "folder", tmp_path / "elsewhere"
    for file in (folder / "a/ours", folder / "b/ours", folder / "b/theirs", elsewhere / "ours"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")
    (folder / "c").symlink_to(elsewhere)
    link = tmp_path / "link"
    link.symlink_to(folder)
    left = remove_ours(link, lambda name: name.endswith("ours"))
    assert left == [link / "c", link / "b" / "theirs"]
    assert sorted(entry.name for entry in folder.iterdir()) == ["b", "c"]
    assert (elsewhere / "ours").exists()
    (folder / "b/theirs").unlink()
    (folder / "c").unlink()
    assert remove_ours(link, lambda _: True) == []
    assert link.is_symlink()
    assert folder.is_dir()
    assert remove_ours(folder, lambda _: True) == []
    assert not folder.exists()


def test_a_folder_is_put_beside_files_that_are_in_its_place(tmp_path):
    aside, path = tmp_path / "aside", tmp_path / "path"
    for file in (aside / "zarr.json", aside / "q/c/0", path / "q/.DS_Store"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(file.name)
    put_in_place(aside, path)
    names = [file.relative_to(path).as_posix() for file in files_below(path)]
    assert names == ["zarr.json", "q/.DS_Store", "q/c/0"]
    assert not aside.exists()


def test_signed_json_is_refused_when_altered(tmp_path):
    content = signed({"a": (1, 2.5), "b": {"c": None}})
    assert json.loads(json.dumps(content)) == content
    assert unsigned(content, "file") == {"a": [1, 2.5], "b": {"c": None}}
    assert unsigned({"a": 1}, "file") == {"a": 1}  # of an earlier version
    with pytest.raises(CorruptFileError, match="file was altered"):
        unsigned({**content, "a": [1, 2]}, "file")
    with pytest.raises(CorruptFileError, match="no table"):
        unsigned([1], "file")


def test_a_list_of_hashes_tells_what_was_altered(tmp_path):
    files = [tmp_path / "store" / "zarr.json", tmp_path / "store" / "q  x" / "c"]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(file.name)
    kept = tmp_path / "store.sha256"
    write_list(kept, hashes(files))
    assert read_list(kept) == hashes(files)
    assert kept.read_text().splitlines()[1].endswith("  store/zarr.json")
    assert altered(read_list(kept)) is None
    files[0].write_text("other")
    assert altered(read_list(kept)) == files[0]
    kept.write_text("half")
    with pytest.raises(CorruptFileError, match="truncated"):
        read_list(kept)
