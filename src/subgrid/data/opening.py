"""The frames of a store as an array of xarray: read where it is indexed, by any process."""

from typing import Any

import numpy as np
from xarray.backends import BackendArray
from xarray.core import indexing

from subgrid.data.shards import ShardReader

_PART = 2**23  # bytes: a part of a dask array costs about a millisecond, whatever its size


class Frames(BackendArray):
    """The array [trajectory, time, ...] of a reader, read where it is indexed.

    `missing`: trajectories without data, which are NaN; None if any may be.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, reader: ShardReader, missing: frozenset[int] | None):
        self._reader, self._missing = reader, missing
        self.shape = reader.shape

    @property
    def part(self) -> tuple[int, ...]:
        """The shape of a good part to work on: whole frames of one trajectory.

        A power of two of them, so that no part needs two shards where shards are full.
        """
        frame = self.dtype.itemsize * int(np.prod(self._reader.frame_shape))
        frames = 2 ** max(0, (_PART // frame).bit_length() - 1)
        return (1, min(frames, self.shape[1]), *self._reader.frame_shape)

    def lazy(self) -> Any:
        """Return what a variable of xarray can hold."""
        return indexing.LazilyIndexedArray(self)

    def __getitem__(self, key: Any) -> Any:
        """Return what an index of xarray's asks for."""
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._read
        )

    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        which, times = (np.arange(n)[k] for n, k in zip(self.shape, key[:2], strict=False))
        frame_shape = self._reader.frame_shape
        out = np.empty((np.size(which), np.size(times), *frame_shape), np.float32)
        for row, trajectory in enumerate(np.atleast_1d(which)):
            absent = self._missing is None or int(trajectory) in self._missing
            if absent and not self._reader.has(int(trajectory)):
                out[row] = np.nan
            else:
                out[row] = self._reader.read(int(trajectory), np.atleast_1d(times))
        out = out.reshape(*np.shape(which), *np.shape(times), *frame_shape)
        return _outer(out, key[2:])


def _outer(frames: np.ndarray, key: tuple[Any, ...]) -> np.ndarray:
    """Return frames indexed along their last axes, each axis by itself."""
    for axis, part in zip(range(-len(key), 0), key, strict=True):
        # a number would shift the axes that follow: keep it as a slice of length one for now
        index = slice(part, part + 1 or None) if isinstance(part, int | np.integer) else part
        frames = frames[(..., index, *[slice(None)] * (-axis - 1))]
    numbers = [
        axis
        for axis, part in zip(range(-len(key), 0), key, strict=True)
        if isinstance(part, int | np.integer)
    ]
    return np.squeeze(frames, axis=tuple(numbers)) if numbers else frames
