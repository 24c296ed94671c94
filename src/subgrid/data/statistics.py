"""Mean, variance and range of a dataset's variables per channel, in one streaming pass."""

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from subgrid.checksums import signed
from subgrid.data.metadata import read_metadata
from subgrid.data.shards import ShardReader
from subgrid.data.store import (
    check_scale,
    complete_attributes,
    domain_dims,
    group_name,
    present_trajectories,
)
from subgrid.files import read_json
from subgrid.ownership import is_read_only
from subgrid.provenance import config_hash, write_atomic

_BLOCK = 64  # frames read at once


@dataclass(frozen=True)
class VariableStatistics:
    """Statistics of one array per channel, float64, in its units.

    Channels are the axes before those of the domain (two-layer QG: [level]).

    `variance` is the mean squared deviation, over `count` values per channel. Frames with a value
    that is not finite are left out and listed in `excluded` as (trajectory, frame).
    """

    mean: NDArray[np.float64]
    variance: NDArray[np.float64]
    minimum: NDArray[np.float64]
    maximum: NDArray[np.float64]
    count: int
    excluded: tuple[tuple[int, int], ...]

    @property
    def std(self) -> NDArray[np.float64]:
        """The standard deviation."""
        return np.asarray(np.sqrt(self.variance))


def statistics(path: str | Path, scale: int) -> dict[str, VariableStatistics]:
    """Return the statistics of every variable of one coarse size, over all healthy trajectories.

    Read once, block by block, and merged by Chan, Golub & LeVeque's update (1979, Stanford report
    STAN-CS-79-773); then kept in train.statistics.json beside the store, with a checksum, for as
    long as the content hash of the store is the same; a truncated or altered file is made anew.
    Nothing is kept in a folder that cannot be written, nor over a file of the user's.
    Raises RunFolderError for an unfinished store, ConfigError for an unknown size and
    CorruptFileError for a damaged chunk.
    """
    path = Path(path)
    check_scale(path, scale)
    attributes = complete_attributes(path)
    cache = path.with_suffix(".statistics.json")
    kept = _read(cache, attributes["content_hash"])
    if str(scale) not in kept:
        space, present = domain_dims(path, scale), present_trajectories(attributes)
        kept[str(scale)] = {
            name: _plain(
                _one_pass(ShardReader(path, f"{group_name(scale)}/{name}"), space, present)
            )
            for name in array_names(path, scale)
        }
        _keep(cache, {"content_hash": attributes["content_hash"], "scales": kept})
    return {name: _from_plain(values) for name, values in kept[str(scale)].items()}


def array_names(path: Path, scale: int) -> tuple[str, ...]:
    """Return the names of the arrays [trajectory, time, ...] of one coarse size, sorted."""
    arrays = {file.parent for file in (path / group_name(scale)).glob("*/zarr.json")}
    axes = {array.name: read_metadata(array).get("dimension_names") or [] for array in arrays}
    return tuple(sorted(name for name in axes if list(axes[name][:2]) == ["trajectory", "time"]))


def _one_pass(
    reader: ShardReader, space: tuple[str, ...], present: tuple[int, ...]
) -> VariableStatistics:
    """Return the statistics over times, trajectories `present` and the dimensions of `space`."""
    axes = tuple(i for i, name in enumerate(reader.dims[1:]) if i == 0 or name in space)
    channels = tuple(n for i, n in enumerate(reader.shape[1:]) if i not in axes)
    count, excluded = 0, []
    mean, squares = np.zeros(channels), np.zeros(channels)
    low, high = np.full(channels, np.inf), np.full(channels, -np.inf)
    for trajectory, first, block in _blocks(reader, present):
        finite = np.isfinite(block).reshape(len(block), -1).all(axis=1)
        excluded += [(trajectory, first + int(i)) for i in np.flatnonzero(~finite)]
        values = block[finite].astype(np.float64)
        added = values.size // int(np.prod(channels))
        if added == 0:
            continue
        block_mean = values.mean(axis=axes)
        shift = block_mean - mean
        deviation = values - np.expand_dims(block_mean, axes)
        squares += (deviation**2).sum(axis=axes) + shift**2 * (count * added / (count + added))
        mean += shift * (added / (count + added))
        count += added
        low = np.minimum(low, values.min(axis=axes))
        high = np.maximum(high, values.max(axis=axes))
    # a field without levels has one channel and no axis: NumPy makes scalars of such arrays
    mean, variance, low, high = map(np.asarray, (mean, squares / max(count, 1), low, high))
    return VariableStatistics(mean, variance, low, high, count, tuple(excluded))


def _blocks(
    reader: ShardReader, trajectories: tuple[int, ...]
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield trajectory, number of the first frame, and frames [time, ...]."""
    for trajectory in trajectories:
        for first in range(0, reader.shape[1], _BLOCK):
            times = np.arange(first, min(first + _BLOCK, reader.shape[1]))
            yield trajectory, first, reader.read(trajectory, times)


def _read(cache: Path, content_hash: str) -> dict[str, Any]:
    """Return what the cache holds for this content; a missing or damaged one holds nothing."""
    try:
        content = read_json(cache)
        whole = content.pop("sha256") == config_hash(content)
        return content["scales"] if whole and content["content_hash"] == content_hash else {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _keep(cache: Path, content: dict[str, Any]) -> None:
    with contextlib.suppress(OSError, ValueError):  # damaged, or there is none
        found = read_json(cache)
        if isinstance(found, dict) and not {"content_hash", "scales"} & set(found):
            return  # a table of somebody else
    try:
        write_atomic(cache, json.dumps(signed(content), indent=1))
    except OSError as error:
        if not is_read_only(error):
            raise


def _plain(found: VariableStatistics) -> dict[str, Any]:
    values = dataclasses.asdict(found)
    return {n: v.tolist() if isinstance(v, np.ndarray) else v for n, v in values.items()}


def _from_plain(values: dict[str, Any]) -> VariableStatistics:
    arrays = {n: np.array(values[n]) for n in ("mean", "variance", "minimum", "maximum")}
    excluded = tuple((int(a), int(b)) for a, b in values["excluded"])
    return VariableStatistics(**arrays, count=values["count"], excluded=excluded)
