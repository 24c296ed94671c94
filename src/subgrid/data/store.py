"""The Zarr store of one split: made by one process, filled by many, opened with xarray."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from subgrid.data.decoding import check_decoded_size
from subgrid.data.observing import ScaleLayout
from subgrid.data.shards import FRAMES_PER_SHARD, ShardReader, frame_codecs
from subgrid.errors import ConfigError, CorruptFileError, RunFolderError
from subgrid.files import read_json, require_regular

if TYPE_CHECKING:
    import xarray
    import zarr

_AXES = ("trajectory", "time")
_MOST_TRAJECTORIES = 10**6
_LARGEST_COORDINATES = 2**28  # bytes, of those of a scale together
# global attributes that decide what is read: absent, or of this kind
_ATTRIBUTES = {
    "trajectories": lambda value: type(value) is int and 0 <= value <= _MOST_TRAJECTORIES,
    "failed": lambda value: _are_counts(value),
    "scales": lambda value: _are_counts(value) and 0 not in value,
}


def group_name(scale: int) -> str:
    """Return the name of the group that holds a coarse size."""
    return f"scale_{scale}"


def create_store(
    path: Path,
    layouts: Mapping[int, ScaleLayout],
    *,
    trajectories: int,
    times: np.ndarray,
    attributes: Mapping[str, Any],
) -> None:
    """Make the metadata and coordinates of a store; its arrays hold nothing yet.

    `times` [time]: since the start of a trajectory. Made aside and renamed, so that a
    killed process leaves no half a store.
    """
    import zarr

    aside = path.with_name(f".{path.name}.unfinished")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        root = zarr.create_group(aside, attributes={**attributes, "trajectories": trajectories})
        for size, layout in layouts.items():
            _create_scale(root, size, layout, trajectories, times, attributes)
        aside.rename(path)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def extend_store(path: Path, trajectories: int) -> None:
    """Make room for more trajectories. May be repeated after a kill."""
    import zarr

    root = zarr.open_group(path, mode="r+")
    for _, group in root.groups():
        for _, array in group.arrays():
            if _AXES[0] in (array.metadata.dimension_names or ()):  # type: ignore[union-attr]
                array.resize((trajectories, *array.shape[1:]))
        _write_coordinate(group, "trajectory", np.arange(trajectories))
    root.update_attributes({"trajectories": trajectories, "complete": False})


def update_attributes(path: Path, attributes: Mapping[str, Any]) -> None:
    """Change or add global attributes of a store."""
    import zarr

    zarr.open_group(path, mode="r+").update_attributes(dict(attributes))


def attributes_of(path: str | Path) -> dict[str, Any]:
    """Return the global attributes of a store.

    Raises FileNotFoundError if there is none, CorruptFileError if its metadata is damaged and
    RunFolderError if it is not one of subgrid's.
    """
    metadata = Path(path) / "zarr.json"
    try:
        found = read_json(metadata)["attributes"]
    except FileNotFoundError as error:
        raise FileNotFoundError(f"no dataset at {path}: {metadata} does not exist") from error
    except (KeyError, TypeError) as error:
        raise CorruptFileError(f"{metadata} is truncated or no Zarr metadata") from error
    if "config_hash" not in found:
        raise RunFolderError(f"{path} is a Zarr store, but not one that subgrid made")
    wrong = [name for name, fits in _ATTRIBUTES.items() if name in found and not fits(found[name])]
    if wrong:
        raise CorruptFileError(f"{metadata} has something else as {', '.join(wrong)}")
    return found


def _are_counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(each) is int and each >= 0 for each in value)


def complete_attributes(path: str | Path) -> dict[str, Any]:
    """Return the global attributes of a finished store; raises RunFolderError if it is not."""
    found = attributes_of(path)
    if not found["complete"]:
        raise RunFolderError(
            f"{path} is not finished: run the same generation again, it goes on where it stopped"
        )
    return found


def scales(path: str | Path) -> tuple[int, ...]:
    """Return the coarse sizes of a store, largest first."""
    return tuple(attributes_of(path)["scales"])


def check_scale(path: str | Path, scale: int) -> None:
    """Raise ConfigError if a store has no such coarse size."""
    known = scales(path)
    if scale not in known:
        raise ConfigError(f"{path} has no scale {scale}; it has {', '.join(map(str, known))}")


def open_dataset(path: str | Path, scale: int) -> "xarray.Dataset":
    """Return one coarse size of a store, read lazily and checked.

    Like `xarray.open_zarr(path, group="scale_64", consolidated=False)`, but a truncated, altered or
    missing chunk raises CorruptFileError with store, array, trajectory and frame when it is read.
    Trajectories that failed or are not simulated yet are NaN.
    """
    import xarray

    path = Path(path)
    check_scale(path, scale)
    require_regular(path)
    check_decoded_size(path / group_name(scale), _LARGEST_COORDINATES.__ge__, shards=True)
    plain = xarray.open_zarr(path, group=group_name(scale), consolidated=False, chunks=None)
    missing = _may_be_missing(attributes_of(path))
    for name, variable in plain.data_vars.items():
        reader = ShardReader(path, f"{group_name(scale)}/{name}")
        plain[name] = (variable.dims, _lazy(reader, missing), variable.attrs)
    return plain


def present_trajectories(attributes: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the numbers of the trajectories of a finished store that did not fail."""
    failed = set(attributes["failed"])
    return tuple(i for i in range(attributes["trajectories"]) if i not in failed)


def _may_be_missing(attributes: Mapping[str, Any]) -> frozenset[int] | None:
    """Return the trajectories without data, or None if any may be (generation not finished)."""
    return frozenset(attributes["failed"]) if attributes["complete"] else None


def _lazy(reader: ShardReader, missing: frozenset[int] | None) -> Any:
    """Return an xarray array that reads frames by `reader` when it is indexed."""
    from xarray.backends import BackendArray
    from xarray.core import indexing

    class Frames(BackendArray):
        shape, dtype = reader.shape, np.dtype(np.float32)

        def __getitem__(self, key: Any) -> Any:
            return indexing.explicit_indexing_adapter(
                key, self.shape, indexing.IndexingSupport.OUTER, self._read
            )

        def _read(self, key: tuple[Any, ...]) -> np.ndarray:
            which, times = (np.arange(n)[k] for n, k in zip(self.shape, key[:2], strict=False))
            out = np.empty((np.size(which), np.size(times), *reader.frame_shape), np.float32)
            for row, trajectory in enumerate(np.atleast_1d(which)):
                absent = missing is None or int(trajectory) in missing
                if absent and not reader.has(int(trajectory)):
                    out[row] = np.nan
                else:
                    out[row] = reader.read(int(trajectory), np.atleast_1d(times))
            out = out.reshape(*np.shape(which), *np.shape(times), *reader.frame_shape)
            return _outer(out, key[2:])

    return indexing.LazilyIndexedArray(Frames())


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


def _create_scale(
    root: "zarr.Group",
    size: int,
    layout: ScaleLayout,
    trajectories: int,
    times: np.ndarray,
    attributes: Mapping[str, Any],
) -> None:
    names = ["time", *layout.coordinates]
    group = root.create_group(
        group_name(size),
        attributes={
            "Conventions": attributes["Conventions"],
            "title": f"{attributes['title']}, {size} cells along x",
            "source": attributes["source"],
            "coordinates_of_frames": names,
        },
    )
    shard = min(len(times), FRAMES_PER_SHARD)
    for array in layout.arrays:
        group.create_array(
            array.name,
            shape=(trajectories, len(times), *array.shape),
            chunks=(1, 1, *array.shape),
            shards=(1, shard, *array.shape),
            dtype="float32",
            fill_value=np.nan,
            compressors=frame_codecs(),
            dimension_names=(*_AXES, *array.dims),
            attributes={**array.attributes},
        )
    _write_coordinate(group, "trajectory", np.arange(trajectories))
    since = "time since the start of the trajectory"
    time = {"units": layout.time_units, "long_name": since, "axis": "T"}
    _write_coordinate(group, "time", times, time)
    for name, (values, notes) in layout.coordinates.items():
        _write_coordinate(group, name, np.asarray(values), notes)


def _write_coordinate(
    group: "zarr.Group", name: str, values: np.ndarray, notes: Mapping[str, str] | None = None
) -> None:
    if name == "trajectory":
        what = "number of the trajectory"
        notes = {"long_name": what, "units": "1", "standard_name": "realization"}
    array = group.create_array(
        name,
        shape=values.shape,
        dtype=values.dtype,
        chunks=values.shape,
        compressors=frame_codecs(),
        dimension_names=(name,),
        attributes=dict(notes or {}),
        overwrite=True,
    )
    array[...] = values


def listed(values: Sequence[Any]) -> str:
    """Return values as text for a message, at most ten of them."""
    shown = ", ".join(map(str, values[:10]))
    return f"{shown}, ..." if len(values) > 10 else shown
