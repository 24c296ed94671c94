"""The bytes of a Zarr v3 shard: frames appended as they come, and read back checked.

Zarr's own writer must hold or rewrite a whole shard to add to it. A trajectory comes in segments,
so here its frames are appended to an unfinished file beside the store; the shard's index follows at
the end, and the finished file is renamed into the store. What is written is plain Zarr v3 (codec
`sharding_indexed`, inner chunks of one frame: `bytes`, `zstd`, `crc32c`), open to any Zarr library.
"""

import contextlib
import math
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import google_crc32c
import numpy as np
from numcodecs.zstd import Zstd

from subgrid.data.decoding import content_size
from subgrid.errors import CorruptFileError, RunFolderError
from subgrid.files import read_json, regular

FRAMES_PER_SHARD = 2048  # an index of 32 KiB: about as large as one 64² frame of two levels
_LEVEL = 1  # turbulence is incompressible beyond its exponents; higher levels cost time only
_ZSTD = Zstd(level=_LEVEL)
_EMPTY = 2**64 - 1
_LARGEST_FRAME = 2**27  # bytes: two levels of 4096² cells, on which nothing coarse is kept


def frame_codecs() -> list[Any]:
    """Return the Zarr codecs of a frame: compression, then a checksum of the compressed bytes."""
    from zarr.codecs import Crc32cCodec, ZstdCodec

    return [ZstdCodec(level=_LEVEL), Crc32cCodec()]


def shard_path(array: Path, dimensions: int, trajectory: int, shard: int) -> Path:
    """Return where an array [trajectory, time, ...] keeps a shard of a trajectory's frames."""
    return array.joinpath("c", str(trajectory), str(shard), *["0"] * (dimensions - 2))


class ShardWriter:
    """Appends the frames of one array and one trajectory, then puts its shards into the store.

    `parts`: the path of the unfinished files without their number. `frames`: how many frames the
    trajectory will have. `lengths`: the encoded lengths (bytes) of the frames already written, as
    `lengths` gave them when they were synced; whatever was written after that is cut off, so that a
    killed run goes on where it was recorded. Raises CorruptFileError if files hold less than that.
    """

    def __init__(self, parts: Path, frames: int, lengths: Sequence[int] | np.ndarray = ()):
        self._parts = parts
        self._frames = frames
        self._shard_frames = min(frames, FRAMES_PER_SHARD)
        self._lengths = [int(length) for length in lengths]
        self._stream: BinaryIO | None = None
        if 0 < len(self._lengths) < frames:
            self._open(len(self._lengths) // self._shard_frames)

    @property
    def lengths(self) -> np.ndarray:
        """The encoded lengths of the frames written so far, bytes."""
        return np.array(self._lengths, np.int64)

    def append(self, frames: np.ndarray) -> None:
        """Encode and write frames [time, ...]."""
        for frame in frames:
            shard, within = divmod(len(self._lengths), self._shard_frames)
            stream = self._stream
            if stream is None or within == 0:
                stream = self._open(shard)
            data = _encode(np.asarray(frame))  # of a single number, NumPy makes a scalar
            stream.write(data)
            self._lengths.append(len(data))

    def sync(self) -> None:
        """Flush what was appended to the disk."""
        if self._stream is not None:
            self._stream.flush()
            os.fsync(self._stream.fileno())

    def finish(self, array: Path, dimensions: int, trajectory: int) -> list[Path]:
        """Append the index to each shard, rename it into the store, and return the paths.

        May be repeated after a kill: shards that are in place already are left alone.
        """
        paths = []
        for shard in range(-(-self._frames // self._shard_frames)):
            part, target = self._part(shard), shard_path(array, dimensions, trajectory, shard)
            paths.append(target)
            if not part.exists() and target.exists():
                continue
            self._open(shard).write(_index(self._of(shard), self._shard_frames))
            self.sync()
            self.close()
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(part, target)
        return paths

    def close(self) -> None:
        """Close the open file; what was appended after the last `sync` may be lost."""
        if self._stream is not None:
            with contextlib.suppress(OSError):  # a full disk was reported where it was noticed
                self._stream.close()
            self._stream = None

    def _part(self, shard: int) -> Path:
        return self._parts.with_name(f"{self._parts.name}.{shard}")

    def _of(self, shard: int) -> list[int]:
        return self._lengths[shard * self._shard_frames : (shard + 1) * self._shard_frames]

    def _open(self, shard: int) -> BinaryIO:
        """Return the shard's unfinished file, cut off behind the frames that count."""
        self.sync()
        self.close()
        path, wanted = self._part(shard), sum(self._of(shard))
        if wanted and (not path.exists() or path.stat().st_size < wanted):
            raise CorruptFileError(
                f"{path} is shorter than the {wanted} bytes that were recorded for it. Remove its "
                "folder to simulate this trajectory again from the start."
            )
        mode = "r+b" if path.exists() else "w+b"
        stream = open(path, mode, opener=regular)  # noqa: SIM115 - stays open
        self._stream = stream
        stream.truncate(wanted)
        stream.seek(wanted)
        return stream


class ShardReader:
    """Reads frames of one array [trajectory, time, ...] of a store, checking every byte read.

    `array`: "scale_64/q". Indices are kept in memory after their first use (16 bytes per frame).
    Errors are CorruptFileError with store, array, trajectory and frame.
    """

    def __init__(self, store: str | Path, array: str):
        self.store, self.array = Path(store), array
        metadata = _metadata(self.store / array)
        try:
            self.shape = tuple(metadata["shape"])
            self.dims = tuple(metadata["dimension_names"])
            self._shard_frames = int(metadata["chunk_grid"]["configuration"]["chunk_shape"][1])
            names = [codec["name"] for codec in metadata["codecs"][0]["configuration"]["codecs"]]
        except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
            raise CorruptFileError(f"{self.store}: array {array} has damaged metadata") from error
        if names != ["bytes", "zstd", "crc32c"]:
            raise RunFolderError(f"{self.store}: array {array} was not written by subgrid: {names}")
        self.frame_shape = self.shape[2:]
        self._check_sizes()
        self._indices: dict[tuple[int, int], np.ndarray] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy in another process needs: it reads the indices anew."""
        return vars(self) | {"_indices": {}}

    def has(self, trajectory: int) -> bool:
        """Return whether the trajectory has any shard in the store."""
        return self._path(trajectory, 0).exists()

    def read(self, trajectory: int, times: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return frames [time, ...] of a trajectory, float32."""
        wanted = np.asarray(times, np.int64)
        out = np.empty((len(wanted), *self.frame_shape), np.float32)
        shards = wanted // self._shard_frames
        for shard in np.unique(shards):
            rows = np.flatnonzero(shards == shard)
            index = self._index(trajectory, int(shard))
            with self._open(trajectory, int(shard)) as stream:
                for row in rows:
                    offset, length = index[wanted[row] % self._shard_frames]
                    data = b""
                    if int(offset) + int(length) <= os.fstat(stream.fileno()).st_size:
                        data = os.pread(stream.fileno(), int(length), int(offset))
                    out[row] = self._decode(data, int(length), trajectory, int(wanted[row]))
        return out

    def _check_sizes(self) -> None:
        """Raise CorruptFileError for an array that no store has, before it is allocated."""
        sizes = (*self.shape, self._shard_frames)
        fits = all(type(size) is int and size > 0 for size in sizes)
        if not fits or len(self.shape) != len(self.dims) or self._frame_bytes > _LARGEST_FRAME:
            raise CorruptFileError(
                f"{self.store}: array {self.array} cannot have the shape {self.shape}, with "
                f"{self._shard_frames} frames in a shard; a frame takes at most {_LARGEST_FRAME} "
                "bytes"
            )

    @property
    def _frame_bytes(self) -> int:
        return 4 * math.prod(self.frame_shape)

    def _path(self, trajectory: int, shard: int) -> Path:
        return shard_path(self.store / self.array, len(self.shape), trajectory, shard)

    def _open(self, trajectory: int, shard: int) -> BinaryIO:
        try:
            return open(self._path(trajectory, shard), "rb", opener=regular)
        except FileNotFoundError as error:
            raise self._corrupt(f"trajectory {trajectory}, shard {shard}", "is missing") from error

    def _index(self, trajectory: int, shard: int) -> np.ndarray:
        """Return offsets and lengths [frame, 2] of a shard."""
        if (trajectory, shard) not in self._indices:
            size = 16 * self._shard_frames + 4
            with self._open(trajectory, shard) as stream:
                end = os.fstat(stream.fileno()).st_size
                data = os.pread(stream.fileno(), size, max(0, end - size))
            first = shard * self._shard_frames
            last = min(first + self._shard_frames, self.shape[1]) - 1
            region = f"trajectory {trajectory}, frames {first} to {last}"
            if len(data) != size or not _checksum_fits(data):
                raise self._corrupt(region, "is truncated or its index was altered")
            index = np.frombuffer(data[:-4], "<u8").reshape(-1, 2)
            if (index[: last - first + 1, 0] == _EMPTY).any():
                raise self._corrupt(region, "lacks frames")
            self._indices[trajectory, shard] = index
        return self._indices[trajectory, shard]

    def _decode(self, data: bytes, length: int, trajectory: int, time: int) -> np.ndarray:
        region = f"trajectory {trajectory}, frame {time}"
        if len(data) != length or not _checksum_fits(data):
            raise self._corrupt(region, "was truncated or altered (its checksum differs)")
        if content_size(data) != self._frame_bytes:  # asked before it is decoded, and allocated
            raise self._corrupt(region, "does not hold a frame of this shape")
        try:
            return np.frombuffer(_ZSTD.decode(data[:-4]), "<f4").reshape(self.frame_shape)
        except (RuntimeError, ValueError) as error:
            raise self._corrupt(region, f"cannot be decoded ({error})") from error

    def _corrupt(self, region: str, what: str) -> CorruptFileError:
        return CorruptFileError(
            f"{self.store}: array {self.array}, {region}, {what}. Restore the file from a copy, or "
            "delete the store and its records and generate it again."
        )


def _encode(frame: np.ndarray) -> bytes:
    packed = _ZSTD.encode(np.ascontiguousarray(frame, "<f4"))
    return packed + struct.pack("<I", google_crc32c.value(packed))


def _index(lengths: list[int], shard_frames: int) -> bytes:
    """Return a shard's index: offset and length of each frame, and a checksum of them."""
    index = np.full((shard_frames, 2), _EMPTY, "<u8")
    index[: len(lengths), 0] = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    index[: len(lengths), 1] = lengths
    data = index.tobytes()
    return data + struct.pack("<I", google_crc32c.value(data))


def _checksum_fits(data: bytes) -> bool:
    return len(data) > 4 and struct.unpack("<I", data[-4:])[0] == google_crc32c.value(data[:-4])


def _metadata(array: Path) -> dict[str, Any]:
    try:
        return read_json(array / "zarr.json")
    except FileNotFoundError as error:
        raise FileNotFoundError(f"no such array: {array}") from error
