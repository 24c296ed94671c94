"""What a run needs to go on after a kill: two files, of which the long one is only added to.

NAME.safetensors  carry, totals, and how much of the other file counts; replaced as a whole
NAME.frames       what every segment adds: steps, series and snapshots; never written again
"""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import PyTree
from numpy.typing import NDArray

from subgrid.errors import CorruptFileError, RunFolderError
from subgrid.provenance import config_hash, load_arrays, save_arrays, structure_text
from subgrid.stepping.model import Carry

_LENGTH = 8  # bytes before each segment that say how long it is
Arrays = Mapping[str, NDArray]


class KeptRun:
    """Keeps one run in `path` (`.safetensors`), `mark` telling it from others (hex digits).

    A segment costs as many bytes as it adds, and those of the carry and the totals.
    """

    def __init__(self, path: str | Path, mark: str):
        self._path, self._mark = Path(path), np.frombuffer(bytes.fromhex(mark), np.uint8)
        self._frames = self._path.with_suffix(".frames")
        self._length, self._digest = 0, bytes(32)

    def exists(self) -> bool:
        """Return whether a run was kept."""
        return self._path.exists()

    def add(self, segment: Arrays, totals: Arrays, carry: Carry) -> None:
        """Add a segment's arrays; `totals`, which do not grow, and the carry replace the old ones.

        Raises OSError (disk full) with what was kept before still in force.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._append(_packed(segment))
        save_arrays(
            self._path,
            {
                **{f"totals/{name}": value for name, value in totals.items()},
                **carry_arrays(carry),
                "run": self._mark,
                "frames_length": np.array(self._length, np.int64),
                "frames_digest": np.frombuffer(self._digest, np.uint8),
            },
        )

    def restored(self, start: Carry) -> tuple[list[dict[str, NDArray]], Arrays, Carry]:
        """Return segments, totals and carry as they were added, `start` being like the latter.

        Raises RunFolderError for the files of another run and CorruptFileError for damaged ones.
        """
        arrays, _ = load_arrays(self._path)
        try:
            if not np.array_equal(arrays["run"], self._mark):
                raise RunFolderError(
                    f"{self._path} was written by a run with other settings, weights or initial "
                    "states, or by another version. Remove it or use another folder."
                )
            self._length = int(arrays["frames_length"])
            self._digest = arrays["frames_digest"].tobytes()
        except KeyError as error:
            raise CorruptFileError(
                f"{self._path} lacks {error}; remove it and run again"
            ) from error
        carry = carry_from(arrays, start, self._path)
        totals = {
            name.removeprefix("totals/"): value
            for name, value in arrays.items()
            if name.startswith("totals/")
        }
        return self._segments(), totals, carry

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


def run_mark(tree: PyTree, **settings: Any) -> str:
    """Return a hash of all that decides a run: arrays and static fields of a tree, and settings."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(eqx.filter(tree, eqx.is_array)):
        value = plain(leaf)
        digest.update(f"{value.dtype.str}{value.shape}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    found = {"structure": structure_text(tree), "arrays": digest.hexdigest()}
    return config_hash({**settings, **found})


def carry_arrays(carry: Carry) -> dict[str, NDArray]:
    """Return the arrays of a carry by their paths, random keys as their words."""
    return {f"carry{name}": plain(leaf) for name, leaf in _by_path(carry)}


def carry_from(arrays: Arrays, like: PyTree, path: Path) -> Carry:
    """Return the carry whose `carry_arrays` are among those of a file.

    `like`: a carry of the same model, or its shapes. Raises CorruptFileError, naming `path`, if
    the file lacks an array of it.
    """
    leaves = []
    for name, wanted in _by_path(like):
        found, is_key = arrays.get(f"carry{name}"), _is_key(wanted)
        shape = jax.eval_shape(jax.random.key_data, wanted) if is_key else wanted
        if found is None or found.shape != shape.shape or found.dtype != shape.dtype:
            raise CorruptFileError(
                f"{path} has no carry{name} of shape {shape.shape}, {shape.dtype}: it was written "
                "by another version. Remove it to start this run again."
            )
        leaf = jnp.asarray(found)
        if is_key:
            leaf = jax.random.wrap_key_data(leaf, impl=jax.random.key_impl(wanted))
        leaves.append(leaf)
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def plain(leaf: ArrayLike) -> NDArray:
    """Return an array as NumPy; typed random keys as their words."""
    return np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _by_path(tree: PyTree) -> list[tuple[str, jax.Array]]:
    """Return the leaves of a tree with their paths as text."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return [(jax.tree_util.keystr(path), leaf) for path, leaf in leaves]


def _chained(digest: bytes, entry: bytes) -> bytes:
    """Return the checksum of a file one entry longer, from that without it."""
    return hashlib.sha256(digest + entry).digest()


def _packed(arrays: Arrays) -> bytes:
    from safetensors.numpy import save

    return save({name: np.asarray(value, order="C") for name, value in arrays.items()})


def _unpacked(segment: bytes) -> dict[str, NDArray]:
    from safetensors.numpy import load

    return load(segment)
