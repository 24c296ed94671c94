"""Samples out of a dataset of xarray that is in memory: a user's own data, with no store."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from subgrid.data.loader import TIME, Batch, sample_order
from subgrid.data.statistics import VariableStatistics
from subgrid.errors import ConfigError

if TYPE_CHECKING:
    import xarray as xr

_SAMPLED = ("member", "trajectory", "sample", "time")  # dims that count samples


class MemorySamples:
    """The samples of a dataset, for training: what `Samples` is of a store.

    `data`: variables [..., channels, space], each beside its target, `x` and `x_forcing`. `space`
    names the dims of the domain. Samples run over `member`, `trajectory`, `sample` and `time`, in
    that order; any other dims are channels. Values are used as float32. A coordinate `time` of
    numbers says when samples are, in the unit of the system that they drive; else they are at 0.
    Raises ConfigError for a variable without these dims, and for values that are not finite.
    """

    def __init__(self, data: "xr.Dataset", space: Sequence[str], source: str = "this dataset"):
        self.path, self.variables = Path(source), tuple(map(str, data.data_vars))
        self._axes = len(space)
        self._held: Batch = {}
        sampled = [dim for dim in _SAMPLED if dim in data.dims]
        for name in self.variables:
            values = data[name]
            if not {*sampled, *space} <= set(values.dims) or not sampled:
                raise ConfigError(
                    f"{source}: {name!r} has the dims {values.dims}; it needs those of the domain, "
                    f"{tuple(space)}, and one or more of {_SAMPLED} that count samples"
                )
            frames = values.transpose(*sampled, ..., *space).values.astype(np.float32)
            frames = frames.reshape(-1, *frames.shape[len(sampled) :])
            if not np.isfinite(frames).all():
                raise ConfigError(f"{source}: {name!r} has values that are not finite; drop them")
            self._held[name] = frames
        times = np.zeros([data.sizes[dim] for dim in sampled], np.float32)
        if "time" in data.coords and "time" in sampled and data["time"].dtype.kind in "iuf":
            times += data["time"].values  # the last of the dims that count samples
        self._times = times.ravel()
        self.scale = int(data.sizes[space[-1]])
        digest = hashlib.sha256()
        for name, frames in self._held.items():
            digest.update(f"{name}{frames.shape}".encode())
            digest.update(np.ascontiguousarray(frames).tobytes())
        self.content_hash = digest.hexdigest()

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(next(iter(self._held.values())))

    def batch(self, indices: Sequence[int] | np.ndarray) -> Batch:
        """Return the samples of these numbers: {variable: [sample, channels, space]}, float32."""
        chosen = np.asarray(indices, np.int64)
        found = {name: frames[chosen] for name, frames in self._held.items()}
        return {**found, TIME: self._times[chosen]}

    def batches(self, seed: int, batch_size: int) -> Callable[[int], Batch]:
        """Return the function update number → batch; see `Samples.batches`."""
        numbers = sample_order(len(self), seed, batch_size, self.path)
        return lambda update: self.batch(numbers(update))

    def statistics(self) -> dict[str, VariableStatistics]:
        """Return mean, variance and range of each variable per channel."""
        found = {}
        for name, frames in self._held.items():
            values = frames.astype(np.float64)
            axes = (0, *range(values.ndim - self._axes, values.ndim))
            moments = (np.asarray(f(values, axis=axes)) for f in (np.mean, np.var, np.min, np.max))
            count = values.size // max(1, int(np.prod(values.shape[1 : values.ndim - self._axes])))
            found[name] = VariableStatistics(*moments, count=count, excluded=())
        return found
