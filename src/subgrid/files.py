"""Opens files that a stranger may have made: regular ones only, no links, none too large to read.

A run folder, a bundle or a store may come from anybody. A link in it leads writers to other files,
a pipe or a device never ends. Whatever reads or appends to such files opens them by `regular`.
"""

import errno
import json
import os
import stat
import unicodedata
from pathlib import Path, PurePosixPath
from typing import Any

from subgrid.errors import CorruptFileError

LARGEST_TEXT = 2**28  # bytes: a hundred times the largest record that a run writes
# absent on systems that have no such files; a pipe would make `open` wait for its other end
_FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_BIDI = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}  # they turn text around


def regular(path: str | Path, flags: int) -> int:
    """Open a regular file without following a link: `open(path, "rb", opener=regular)`.

    Raises CorruptFileError, naming what is there instead, and OSError as `open` does.
    """
    try:
        handle = os.open(path, flags | _FLAGS, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK, errno.ENXIO):
            raise _no_regular(Path(path)) from error
        raise
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise _no_regular(Path(path))
    return handle


def read_bytes(path: str | Path, largest: float = LARGEST_TEXT) -> bytes:
    """Return the content of a regular file of at most `largest` bytes.

    Raises CorruptFileError for another kind of file and a larger one.
    """
    with open(path, "rb", opener=regular) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > largest:
            raise CorruptFileError(f"{path} has {size} bytes; at most {largest} are read of it")
        return stream.read()


def read_text(path: str | Path) -> str:
    """Return the text of a regular file in UTF-8; raises CorruptFileError for anything else."""
    try:
        return read_bytes(path).decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise CorruptFileError(f"{path} is no text in UTF-8: {error}") from error


def read_json(path: str | Path) -> Any:
    """Return what a JSON file holds; raises CorruptFileError, naming it, if that is no JSON."""
    text = read_text(path)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CorruptFileError(f"{path} is truncated or no JSON: {error}") from error


def require_regular(folder: str | Path) -> None:
    """Raise CorruptFileError if a folder holds, at any depth, anything but folders and files.

    For what other libraries open by themselves, and for folders that are written to or copied.
    """
    folders = [os.fspath(folder)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif not entry.is_file(follow_symlinks=False):
                    raise _no_regular(Path(entry.path))


def inside(folder: Path, name: str) -> Path:
    """Return the path of a file that a record names; raises CorruptFileError if it leads out."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name or "\\" in name:
        raise CorruptFileError(f"a record of {folder} names {name!r}, which is not inside of it")
    return folder / name


def hidden_characters(text: str) -> frozenset[str]:
    """Return the characters of a text that steer a terminal or turn the text around."""
    if text.isascii() and text.isprintable():
        return frozenset()
    return frozenset(
        c
        for c in text
        if c not in "\n\t"
        and (unicodedata.category(c) == "Cc" or unicodedata.bidirectional(c) in _BIDI)
    )


def printable(text: str) -> str:
    """Return a text for a terminal, with characters that would steer it written as escapes."""
    hidden = hidden_characters(text)
    return "".join(c.encode("unicode_escape").decode() if c in hidden else c for c in text)


def _no_regular(path: Path) -> CorruptFileError:
    try:
        mode = path.lstat().st_mode
    except OSError:
        mode = 0
    kinds = {
        stat.S_IFLNK: "a symbolic link",
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    found = kinds.get(stat.S_IFMT(mode), "no regular file")
    return CorruptFileError(
        f"{path} is {found}; only regular files are opened here, since such a folder may come from "
        "anybody. Put the file itself in its place."
    )
