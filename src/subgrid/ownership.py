"""Which files are ours: nothing else in a folder is removed."""

import errno
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

Ours = Callable[[str], object]
"""Tells by a file's path below a folder, with slashes, whether it is one that we wrote."""

# as `subgrid.provenance.write_atomic` names what it writes, and, after |, as it did before
_ASIDE = re.compile(r"\.(?P<name>.+)\.(?:(?P<marked>subgrid-[0-9a-f]{8})|[a-z0-9_]{8})")


def files_below(folder: Path) -> Iterator[Path]:
    """Yield every file below a folder, sorted; a link to another folder is one."""
    for place, folders, names in sorted(os.walk(folder)):
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        yield from (Path(place, name) for name in sorted([*names, *links]))


def remove_ours(folder: Path, ours: Ours) -> list[Path]:
    """Remove our files below a folder and what is empty then, itself included; return the others.

    A link to a folder stays, and so does what holds a file that is not ours.
    """
    left = []
    for file in files_below(folder):
        if ours(file.relative_to(folder).as_posix()):
            file.unlink(missing_ok=True)
        else:
            left.append(file)
    for place, _, _ in os.walk(folder, topdown=False):
        if not os.listdir(place) and not os.path.islink(place):
            os.rmdir(place)
    return left


def is_leftover(name: str, ours: Ours) -> bool:
    """Return whether a file is what a killed process left of one that it wrote aside.

    Earlier versions had no mark of their own in the names: theirs must be of a file that is ours.
    """
    folder, _, last = name.rpartition("/")
    found = _ASIDE.fullmatch(last)
    if found is None:
        return False
    return found["marked"] is not None or bool(
        ours(f"{folder}/{found['name']}" if folder else found["name"])
    )


def put_in_place(aside: Path, path: Path, last: str = "zarr.json") -> None:
    """Rename a folder to `path`; where files of others are in the way, move its files beside them.

    The file `last` says that the folder is whole: it is moved after the others.
    """
    if not path.is_dir() or not os.listdir(path):
        os.replace(aside, path)
        return
    found = [file.relative_to(aside) for file in files_below(aside)]
    for name in sorted(found, key=lambda name: name == Path(last)):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(aside / name, path / name)
    remove_ours(aside, lambda _: True)


def is_read_only(error: OSError) -> bool:
    """Return whether an error says that a place cannot be written to."""
    return error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)
