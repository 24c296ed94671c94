"""What free runs need to go on after a kill: two files, of which the long one is only added to.

NAME.safetensors  carry, spectral sums, and how much of the other file counts; replaced as a whole
NAME.frames       what every segment adds: steps, series and the snapshot; never written again
"""

import hashlib
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from subgrid.errors import CorruptFileError, RunFolderError
from subgrid.evaluation.statistics import RunSums
from subgrid.provenance import load_arrays, save_arrays
from subgrid.stepping import Carry

_LENGTH = 8  # bytes before each segment that say how long it is


class RunFile:
    """Keeps one run in `path` (`.safetensors`), `mark` telling it from others (hex digits).

    A segment costs as many bytes as it adds, and those of the carry and the sums.
    """

    def __init__(self, path: str | Path, mark: str):
        self._path, self._mark = Path(path), np.frombuffer(bytes.fromhex(mark), np.uint8)
        self._frames = self._path.with_suffix(".frames")
        self._length, self._digest = 0, bytes(32)

    def exists(self) -> bool:
        """Return whether a run was kept."""
        return self._path.exists()

    def add(self, sums: RunSums, carry: Carry, frames: int, with_snapshot: bool) -> None:
        """Add the last `frames` frames of `sums`, and its last snapshot if they end with one.

        Raises OSError (disk full) with what was kept before still in force.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._append(_packed(sums.segment(frames, with_snapshot)))
        arrays = {f"sums/{name}": value for name, value in sums.totals().items()}
        for index, leaf in enumerate(jax.tree.leaves(carry)):
            arrays[f"carry/{index:03d}"] = plain(leaf)
        arrays["run"] = self._mark
        arrays["frames_length"] = np.array(self._length, np.int64)
        arrays["frames_digest"] = np.frombuffer(self._digest, np.uint8)
        save_arrays(self._path, arrays)

    def restored(self, start: Carry) -> tuple[RunSums, Carry]:
        """Return the sums and the carry of the last segment added, `start` being like the latter.

        Raises RunFolderError for the files of another run and CorruptFileError for damaged ones.
        """
        arrays, _ = load_arrays(self._path)
        leaves, structure = jax.tree.flatten(start)
        try:
            if not np.array_equal(arrays.pop("run"), self._mark):
                raise RunFolderError(
                    f"{self._path} was written by a run with other settings, weights or initial "
                    "states, or by another version. Remove it or use another folder."
                )
            carried = (arrays.pop(f"carry/{index:03d}") for index in range(len(leaves)))
            found = [_like(leaf, value) for leaf, value in zip(leaves, carried, strict=True)]
            self._length = int(arrays.pop("frames_length"))
            self._digest = arrays.pop("frames_digest").tobytes()
        except KeyError as error:
            raise CorruptFileError(
                f"{self._path} lacks {error}; remove it and run again"
            ) from error
        totals = {name.removeprefix("sums/"): value for name, value in arrays.items()}
        sums = RunSums.of_segments(self._segments(), totals)
        return sums, jax.tree.unflatten(structure, found)

    def _append(self, segment: bytes) -> None:
        """Write a segment behind those that count, and to the disk."""
        entry = len(segment).to_bytes(_LENGTH, "little") + segment
        with open(self._frames, "r+b" if self._frames.exists() else "wb") as stream:
            stream.truncate(self._length)  # what a kill left behind
            stream.seek(self._length)
            stream.write(entry)
            stream.flush()
            os.fsync(stream.fileno())
        self._length += len(entry)
        self._digest = _chained(self._digest, entry)

    def _segments(self) -> list[dict[str, NDArray]]:
        """Return what was added, segment by segment."""
        damaged = (
            f"{self._frames} is missing, truncated or altered; remove {self._path} and run again"
        )
        digest, place, found = bytes(32), 0, []
        try:
            content = self._frames.read_bytes()[: self._length]
        except FileNotFoundError as error:
            raise CorruptFileError(damaged) from error
        while place < len(content):
            end = place + _LENGTH + int.from_bytes(content[place : place + _LENGTH], "little")
            digest = _chained(digest, content[place:end])
            found.append(content[place + _LENGTH : end])
            place = end
        if place != self._length or digest != self._digest:
            raise CorruptFileError(damaged)
        return [_unpacked(segment) for segment in found]


def plain(leaf: jax.Array) -> NDArray:
    """Return an array as NumPy; typed random keys as their words."""
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    return np.asarray(leaf)


def _chained(digest: bytes, entry: bytes) -> bytes:
    """Return the checksum of a file one entry longer, from that without it."""
    return hashlib.sha256(digest + entry).digest()


def _packed(arrays: dict[str, NDArray]) -> bytes:
    from safetensors.numpy import save

    return save({name: np.asarray(value, order="C") for name, value in arrays.items()})


def _unpacked(segment: bytes) -> dict[str, NDArray]:
    from safetensors.numpy import load

    return load(segment)


def _like(leaf: jax.Array, value: NDArray) -> jax.Array:
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(jnp.asarray(value), impl=jax.random.key_impl(leaf))
    return jnp.asarray(value, leaf.dtype)
