"""Whatever of a store or its records is altered is found; files of others are let alone."""

import errno
import importlib
import json

import pytest
from small_generation import settings

from subgrid.checksums import hashes
from subgrid.data import Samples, generate, recorded_files, statistics
from subgrid.data.records import Records
from subgrid.data.store import attributes_of, update_attributes
from subgrid.data.trajectory import _Run
from subgrid.errors import CorruptFileError
from subgrid.ownership import files_below


class Killed(BaseException):
    """Stands for SIGKILL."""


def metadata_of(store):
    """Return the files of a store that hold no frames: they have few folders above them."""
    return [file for file in files_below(store) if len(file.relative_to(store).parts) < 5]


@pytest.fixture
def unfinished(tmp_path, monkeypatch):
    """The restart file of a trajectory that was killed before its frames went into the store."""

    def die(self):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(_Run, "_finish", die)
        with pytest.raises(Killed):
            generate(tmp_path / "train.zarr", **settings())
    return Records(tmp_path / "train.zarr").work(0) / "restart.safetensors"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"segments":"4"', b'"segments":"3"'),
        (b'"segments":"4"', b'"segments":"0"'),
        (b'"blow_ups":"[]"', b'"blow_ups":"[9]"'),
        (b'"safe_dts":"[]"', b'"safe_dts":"[1]"'),
    ],
)
def test_what_a_restart_file_says_is_under_its_checksum(unfinished, tmp_path, old, new):
    content = unfinished.read_bytes()
    assert content.count(old) == 1
    length = int.from_bytes(content[:8], "little") + len(new) - len(old)
    unfinished.write_bytes(length.to_bytes(8, "little") + content[8:].replace(old, new))
    with pytest.raises(CorruptFileError, match=r"00000/restart\.safetensors was altered"):
        generate(tmp_path / "train.zarr", **settings())


@pytest.mark.parametrize(
    ("name", "value"),
    [("failed", True), ("seeds", ["0" * 16]), ("blow_ups", [3]), ("content", "0"), ("index", 1)],
)
def test_an_altered_record_of_a_trajectory_is_named(copy, name, value):
    record = Records(copy).folder / "00000.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), name: value}))
    with pytest.raises(CorruptFileError, match=r"00000\.json was altered"):
        generate(copy, **settings())
    with pytest.raises(CorruptFileError, match=r"00000\.json was altered"):
        recorded_files(copy)


def test_all_metadata_and_coordinates_are_under_a_checksum(copy):
    files = metadata_of(copy)
    names = {file.relative_to(copy).as_posix() for file in files}
    assert {"zarr.json", "scale_8/zarr.json", "scale_8/q/zarr.json", "scale_8/time/c/0"} <= names
    for file in files:
        whole = file.read_bytes()
        place = max(whole.rfind(b"1"), 0)
        for damaged in (whole[:place] + bytes([whole[place] ^ 2]) + whole[place + 1 :], None):
            file.unlink() if damaged is None else file.write_bytes(damaged)
            if damaged is not None or file.name != "zarr.json" or file.parent != copy:
                with pytest.raises(CorruptFileError, match=r"altered"):
                    generate(copy, **settings())
                with pytest.raises(CorruptFileError, match=r"altered"):
                    Samples(copy, 8)
            file.write_bytes(whole)
    assert generate(copy, **settings()).simulated == 0


def test_a_store_that_was_being_extended_is_extended(copy, tmp_path):
    update_attributes(copy, {"metadata_sha256": None})  # what a kill leaves
    assert generate(copy, **settings(trajectories=3)).simulated == 1
    assert attributes_of(copy)["metadata_sha256"] is not None
    whole = generate(tmp_path / "whole" / "train.zarr", **settings(trajectories=3)).path
    ours, theirs = (
        {file.relative_to(store.parent): found for file, found in recorded_files(store).items()}
        for store in (copy, whole)
    )
    assert ours == theirs


def test_the_hashes_of_a_store_are_those_of_its_files(copy):
    (copy / "scale_8" / "notes.txt").write_text("mine")
    found = recorded_files(copy)
    wanted = [*files_below(copy), *Records(copy).folder.glob("0*.json")]
    assert found == hashes(file for file in wanted if file.name != "notes.txt")


def test_a_store_of_an_earlier_version_is_taken_as_it_is(copy):
    root = copy / "zarr.json"
    content = json.loads(root.read_text())
    for name in ("sha256", "metadata_sha256"):
        del content["attributes"][name]
    root.write_text(json.dumps(content))
    for record in Records(copy).folder.glob("0*.json"):
        kept = json.loads(record.read_text())
        del kept["sha256"], kept["hashes"]
        record.write_text(json.dumps(kept))
    assert generate(copy, **settings()).simulated == 0
    assert len(Samples(copy, 8)) == 12


def test_files_of_others_stay_where_a_store_is_tidied_or_made(copy):
    records = Records(copy).folder
    work = records / "00001"
    work.mkdir()
    for file in (records / ".DS_Store", records / "notes.lock", work / "notes", copy / "a.partial"):
        file.write_text("mine")
    (work / "restart.safetensors").write_text("ours")
    generate(copy, **settings())
    left = {f.relative_to(copy.parent).as_posix() for f in files_below(copy.parent)}
    assert {
        "train.records/.DS_Store",
        "train.records/notes.lock",
        "train.records/00001/notes",
        "train.zarr/a.partial",
    } <= left
    assert not (work / "restart.safetensors").exists()


@pytest.mark.parametrize("obstacle", ["read-only", "foreign"])
def test_statistics_are_found_without_being_kept(copy, monkeypatch, obstacle):
    wanted = statistics(copy, 8)
    cache = copy.with_suffix(".statistics.json")
    cache.unlink()
    if obstacle == "foreign":
        cache.write_text('{"mean": 3}')
    else:

        def read_only(path, content):
            raise OSError(errno.EROFS, "Read-only file system", str(path))

        # the package gives the function of this name
        module = importlib.import_module("subgrid.data.statistics")
        monkeypatch.setattr(module, "write_atomic", read_only)
    found = statistics(copy, 8)
    assert found["q"].mean.tolist() == wanted["q"].mean.tolist()
    assert (cache.read_text() if cache.exists() else None) == (
        '{"mean": 3}' if obstacle == "foreign" else None
    )
