"""What compressed data will take once decoded: asked before anything is.

A few bytes of zstd can stand for gigabytes of zeros, and a decoder believes what they say.
"""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from subgrid.errors import CorruptFileError
from subgrid.files import LARGEST_TEXT, regular, require_regular

_MAGIC = b"\x28\xb5\x2f\xfd"
_LONGEST_HEADER = 18  # bytes
_CHUNK = re.compile(r"c|(c[/.])?\d+([/.]\d+)*")  # as Zarr names them, in any of its ways
_CODECS = (["bytes", "zstd"], ["bytes", "zstd", "crc32c"])  # as xarray, and subgrid, write them
_TEXTS = ["vlen-utf8", "zstd"]  # the same for texts, whose size the metadata cannot give
_LARGEST_TEXTS = 2**20  # bytes of a chunk: the names that a coordinate lists take kilobytes


def content_size(data: bytes) -> int | None:
    """Return the size in bytes of what a zstd frame decodes to; None if its header does not say.

    RFC 8878, section 3.1.1.1: magic number, descriptor, window (none for a single segment),
    dictionary, size.
    """
    if len(data) < 6 or data[:4] != _MAGIC:
        return None
    flag, single, dictionary = data[4] >> 6, data[4] >> 5 & 1, data[4] & 3
    start = 5 + (1 - single) + (0, 1, 2, 4)[dictionary]
    length = (single, 2, 4, 8)[flag]
    field = data[start : start + length]
    if length == 0 or len(field) < length:
        return None
    return int.from_bytes(field, "little") + (256 if flag == 1 else 0)


def check_decoded_size(
    store: str | Path, fits: Callable[[int], bool], *, shards: bool = False
) -> None:
    """Raise CorruptFileError for a Zarr group that takes more bytes than it says, or than `fits`.

    For stores that another library decodes. Every array must be of whole chunks compressed by zstd;
    each chunk must decode to the size that the array's metadata gives, one of texts to a MiB at
    most. `shards`: arrays in shards are left out, since `ShardReader` reads them.
    """
    import zarr

    store = Path(store)
    require_regular(store)
    for metadata in store.rglob("zarr.json"):
        if metadata.stat().st_size > LARGEST_TEXT:
            raise CorruptFileError(f"{metadata} is too large for metadata")
    arrays = dict(zarr.open_group(store, mode="r").arrays())
    if shards:
        arrays = {name: array for name, array in arrays.items() if array.shards is None}
    total = sum(math.prod(array.shape) * array.dtype.itemsize for array in arrays.values())
    if not fits(total):
        raise CorruptFileError(
            f"{store} holds {total / 1e9:.3g} GB by what it says, more than the memory allows"
        )
    for name, array in arrays.items():
        _check_chunks(store / name, array)


def _check_chunks(folder: Path, array: Any) -> None:
    codecs = [codec["name"] for codec in array.metadata.to_dict()["codecs"]]
    texts = codecs == _TEXTS and array.nchunks == 1
    if codecs not in _CODECS and not texts:
        raise CorruptFileError(f"{folder} was not written by subgrid: its codecs are {codecs}")
    wanted = math.prod(array.chunks) * array.dtype.itemsize
    for chunk in folder.rglob("*"):
        name = chunk.relative_to(folder).as_posix()
        if chunk.is_file() and _CHUNK.fullmatch(name):  # nothing reads what else a user put there
            with open(chunk, "rb", opener=regular) as stream:
                found = content_size(stream.read(_LONGEST_HEADER))
            fits = 0 < (found or 0) <= _LARGEST_TEXTS if texts else found == wanted
            if not fits:
                allowed = (
                    f"names have {_LARGEST_TEXTS} at most" if texts else f"the array has {wanted}"
                )
                raise CorruptFileError(
                    f"{chunk} would decode to {found} bytes, where {allowed}: it was truncated or "
                    "altered"
                )
