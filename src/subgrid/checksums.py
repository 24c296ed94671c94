"""Checksums of what was written: JSON that holds its own, and lists of the files of a result."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from subgrid.errors import CorruptFileError
from subgrid.files import read_text
from subgrid.provenance import config_hash, file_hash, write_atomic

_KEY = "sha256"


def signed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what JSON keeps of a mapping, with the checksum of all of it as its last entry."""
    plain = json.loads(json.dumps({**content, _KEY: None}, default=str))  # tuples become lists
    del plain[_KEY]
    return {**plain, _KEY: config_hash(plain)}


def unsigned(content: Any, path: str | Path) -> dict[str, Any]:
    """Return a mapping read from `path` without its checksum.

    One without a checksum, as earlier versions wrote them, is taken as it is. Raises
    CorruptFileError, naming the file, if the checksum is not that of the rest or if the content is
    no mapping.
    """
    if not isinstance(content, dict):
        raise CorruptFileError(f"{path} is truncated or was altered: it holds no table")
    plain = {name: value for name, value in content.items() if name != _KEY}
    if _KEY in content and content[_KEY] != config_hash(plain):
        raise CorruptFileError(f"{path} was altered after it was written (its checksum differs)")
    return plain


def hashes(files: Iterable[Path]) -> dict[Path, str]:
    """Return the SHA-256 of each file as it is now, sorted by path."""
    return {file: file_hash(file) for file in sorted(files)}


def write_list(path: Path, found: Mapping[Path, str]) -> None:
    """Write hashes to a file that `sha256sum --check` reads in its folder: "HASH  NAME" a line."""
    lines = [f"{found[file]}  {_name(file, path)}\n" for file in sorted(found)]
    write_atomic(path, "".join(lines))


def read_list(path: Path) -> dict[Path, str]:
    """Return the hashes in a file that `write_list` wrote; raises CorruptFileError for another."""
    try:
        pairs = [line.split("  ", 1) for line in read_text(path).splitlines()]
        return {path.parent / name: digest for digest, name in pairs}
    except ValueError as error:  # not UTF-8, or a line of one word
        raise CorruptFileError(f"{path} is truncated or was altered") from error


def altered(found: Mapping[Path, str]) -> Path | None:
    """Return the first file that is gone or has another hash than recorded, or None."""
    return next(
        (f for f, hashed in found.items() if not f.is_file() or file_hash(f) != hashed), None
    )


def _name(file: Path, of: Path) -> str:
    return Path(os.path.relpath(file, of.parent)).as_posix()
