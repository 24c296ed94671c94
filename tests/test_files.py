"""Files that a stranger made: only regular ones are opened, and nothing waits for the others."""

import errno
import os

import pytest

from subgrid.errors import CorruptFileError
from subgrid.files import (
    hidden_characters,
    inside,
    printable,
    read_bytes,
    read_json,
    read_text,
    regular,
    require_regular,
)
from subgrid.provenance import file_hash, load_arrays

ODD = {
    "link": lambda path: path.symlink_to(path.parent / "secret"),
    "broken link": lambda path: path.symlink_to(path.parent / "absent"),
    "pipe": os.mkfifo,
    "folder": os.mkdir,
    "device": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.fixture(params=ODD)
def odd(request, tmp_path):
    (tmp_path / "secret").write_text("mine")
    ODD[request.param](tmp_path / "file")
    return tmp_path / "file"


@pytest.mark.parametrize("read", [read_bytes, read_text, read_json, file_hash, load_arrays])
def test_only_regular_files_are_read(read, odd):
    with pytest.raises(CorruptFileError, match=r"file is a (symbolic link|pipe|folder)"):
        read(odd)


@pytest.mark.parametrize("mode", ["ab", "r+b", "wb", "xb"])
def test_only_regular_files_are_written(mode, odd):
    with pytest.raises((CorruptFileError, FileExistsError, IsADirectoryError)):
        open(odd, mode, opener=regular)  # noqa: SIM115 - it does not open
    assert (odd.parent / "secret").read_text() == "mine"
    assert not (odd.parent / "absent").exists()


def test_a_new_file_follows_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        open(tmp_path / "new", "wb", opener=regular).close()
    finally:
        os.umask(before)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o640


def test_a_device_is_none(tmp_path):
    with pytest.raises(CorruptFileError, match="/dev/zero is a device"):
        read_bytes("/dev/zero")


def test_too_large_a_file_is_refused_before_it_is_read(tmp_path):
    with open(tmp_path / "sparse", "wb") as stream:
        stream.truncate(2**40)
    with pytest.raises(CorruptFileError, match="has 1099511627776 bytes"):
        read_json(tmp_path / "sparse")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"1" * 5000])
def test_what_is_no_json_is_named(content, tmp_path):
    (tmp_path / "record.json").write_bytes(content)
    with pytest.raises(CorruptFileError, match=r"record\.json"):
        read_json(tmp_path / "record.json")


def test_an_absent_file_is_absent(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        read_text(tmp_path / "absent")
    assert caught.value.errno == errno.ENOENT


def test_odd_files_are_found_at_any_depth(tmp_path, odd):
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    require_regular(tmp_path / "a")
    if not odd.is_dir():
        odd.rename(deep / "odd")
        with pytest.raises(CorruptFileError, match="odd is a"):
            require_regular(tmp_path / "a")


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x", "a\0b", "..\\x"])
def test_a_record_names_nothing_outside_its_folder(name, tmp_path):
    with pytest.raises(CorruptFileError, match="not inside of it"):
        inside(tmp_path, name)
    assert inside(tmp_path, "models/m..x/file.json") == tmp_path / "models/m..x/file.json"


def test_what_steers_a_terminal_is_shown_as_escapes():
    assert printable("σ² = 3 °C\n\tsecond line") == "σ² = 3 °C\n\tsecond line"
    assert printable("a\x1b[2Jb\rc\x9bd\u202ee") == "a\\x1b[2Jb\\rc\\x9bd\\u202ee"
    assert hidden_characters("a\x1bb\u2066") == {"\x1b", "\u2066"}
