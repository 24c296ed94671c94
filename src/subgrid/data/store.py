"""The Zarr store of one split: made by one process, filled by many, opened with xarray."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from subgrid.checksums import hashes, signed, unsigned
from subgrid.data.decoding import check_decoded_size
from subgrid.data.metadata import consolidate, read_metadata
from subgrid.data.observing import ScaleLayout
from subgrid.data.shards import FRAMES_PER_SHARD, ShardReader, frame_codecs
from subgrid.errors import ConfigError, CorruptFileError, RunFolderError
from subgrid.files import require_regular
from subgrid.ownership import files_below, put_in_place, remove_ours
from subgrid.provenance import aside_of, config_hash

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
_ROOT = "zarr.json"
_METADATA = re.compile(r"(\w+/){1,2}(zarr\.json|c(/\d+)?)")  # groups, arrays, coordinates
_DOMAIN = "domain_dims"  # attribute of a scale: the axes of its domain, the others are channels
_METADATA_HASH = "metadata_sha256"  # None while they are being changed


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

    for left in path.parent.glob(f".{path.name}.subgrid-*"):
        remove_ours(left, lambda _: True)
    aside = aside_of(path)
    try:
        root = zarr.create_group(aside, attributes={**attributes, "trajectories": trajectories})
        for size, layout in layouts.items():
            _create_scale(root, size, layout, trajectories, times, attributes)
        _describe_scales(root, layouts, trajectories, times)
        consolidate(aside)
        _sign(aside, {_METADATA_HASH: _metadata_hash(aside)})
        put_in_place(aside, path, last=_ROOT)
    except BaseException:
        remove_ours(aside, lambda _: True)
        raise


def extend_store(path: Path, trajectories: int) -> None:
    """Make room for more trajectories. May be repeated after a kill."""
    import zarr

    _sign(path, {_METADATA_HASH: None})
    root = zarr.open_group(path, mode="r+")
    for group in (root, *(group for _, group in root.groups())):
        for _, array in group.arrays():
            if _AXES[0] in (array.metadata.dimension_names or ()):  # type: ignore[union-attr]
                array.resize((trajectories, *array.shape[1:]))
        _write_coordinate(group, "trajectory", np.arange(trajectories))
    consolidate(path)
    changed = {"trajectories": trajectories, "complete": 0}
    _sign(path, {**changed, _METADATA_HASH: _metadata_hash(path)})


def update_attributes(path: Path, attributes: Mapping[str, Any]) -> None:
    """Change or add global attributes of a store."""
    _sign(path, attributes)


def _sign(path: Path, attributes: Mapping[str, Any]) -> None:
    """Change or add global attributes, and the checksum of all of them, in one write."""
    before = unsigned(read_metadata(path)["attributes"], path / _ROOT)
    consolidate(path, signed({**before, **attributes}))


def being_extended(attributes: Mapping[str, Any]) -> bool:
    """Return whether a process was killed while it extended the store."""
    return _METADATA_HASH in attributes and attributes[_METADATA_HASH] is None


def check_metadata(path: Path, attributes: Mapping[str, Any]) -> dict[Path, str]:
    """Return the hashes of the metadata and coordinates of a store.

    Raises CorruptFileError if they are not what was written; those of earlier versions are not
    checked.
    """
    found = _metadata_files(path)
    if attributes.get(_METADATA_HASH) not in (None, _hash_of(path, found)):
        raise CorruptFileError(
            f"{path}: a zarr.json of its groups and arrays, or a coordinate, was altered or is "
            "gone (their checksum differs). Restore it, or delete the store and its records and "
            "generate it again."
        )
    return found


def _metadata_hash(path: Path) -> str:
    return _hash_of(path, _metadata_files(path))


def _metadata_files(path: Path) -> dict[Path, str]:
    files = files_below(path)
    return hashes(f for f in files if _METADATA.fullmatch(f.relative_to(path).as_posix()))


def _hash_of(path: Path, found: Mapping[Path, str]) -> str:
    """Return the hash of metadata files and of the root's, whose attributes have their own."""
    lines = [f"{digest}  {file.relative_to(path).as_posix()}\n" for file, digest in found.items()]
    root = {name: value for name, value in read_metadata(path).items() if name != "attributes"}
    return hashlib.sha256("".join([*lines, config_hash(root)]).encode()).hexdigest()


def attributes_of(path: str | Path) -> dict[str, Any]:
    """Return the global attributes of a store.

    Raises FileNotFoundError if there is none, CorruptFileError if its metadata is damaged and
    RunFolderError if it is not one of subgrid's.
    """
    found = unsigned(read_metadata(Path(path))["attributes"], Path(path) / _ROOT)
    if "config_hash" not in found:
        raise RunFolderError(f"{path} is a Zarr store, but not one that subgrid made")
    wrong = [name for name, fits in _ATTRIBUTES.items() if name in found and not fits(found[name])]
    if wrong:
        raise CorruptFileError(f"{path}/zarr.json has something else as {', '.join(wrong)}")
    return found


def _are_counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(each) is int and each >= 0 for each in value)


def complete_attributes(path: str | Path) -> dict[str, Any]:
    """Return the global attributes of a finished store, its metadata checked.

    Raises RunFolderError if it is not finished, CorruptFileError if its metadata were altered.
    """
    found = attributes_of(path)
    if not found["complete"]:
        raise RunFolderError(
            f"{path} is not finished: run the same generation again, it goes on where it stopped"
        )
    check_metadata(Path(path), found)
    return found


def domain_dims(path: str | Path, scale: int) -> tuple[str, ...]:
    """Return the names of the axes of the domain at a coarse size."""
    attributes = read_metadata(Path(path) / group_name(scale))["attributes"]
    return tuple(str(attributes.get(_DOMAIN, "y x")).split())


def frame_times(path: str | Path) -> np.ndarray:
    """Return the time of every frame [time] since the start of its trajectory."""
    import zarr

    return np.asarray(zarr.open_array(Path(path) / "time", mode="r")[...])


def scales(path: str | Path) -> tuple[int, ...]:
    """Return the coarse sizes of a store, largest first."""
    return tuple(attributes_of(path)["scales"])


def check_scale(path: str | Path, scale: int) -> None:
    """Raise ConfigError if a store has no such coarse size."""
    known = scales(path)
    if scale not in known:
        raise ConfigError(f"{path} has no scale {scale}; it has {', '.join(map(str, known))}")


def open_dataset(
    path: str | Path, scale: int, chunks: int | str | Mapping[Any, Any] | None = None
) -> "xarray.Dataset":
    """Return one coarse size of a store, read lazily and checked.

    Like `xarray.open_zarr(path, group="scale_64")`, but a truncated, altered or missing chunk
    raises CorruptFileError with store, array, trajectory and frame when it is read. Trajectories
    that failed or are not simulated yet are NaN.

    `chunks`: None gives arrays that are read where they are used, anything else dask arrays as
    `xarray.Dataset.chunk` makes them. What a mapping does not name comes in whole frames of one
    trajectory, as many as 8 MiB hold: `chunks={}` is a good choice.
    """
    import xarray

    from subgrid.data.opening import Frames

    path, group = Path(path).absolute(), group_name(scale)
    check_scale(path, scale)
    require_regular(path)  # xarray opens coordinates by itself
    check_decoded_size(path / group, _LARGEST_COORDINATES.__ge__, shards=True)
    found = xarray.open_zarr(path, group=group, consolidated=False, chunks=None)
    missing, part = _may_be_missing(attributes_of(path)), {}
    for name, variable in found.data_vars.items():
        frames = Frames(ShardReader(path, f"{group}/{name}"), missing)
        found[name] = (variable.dims, frames.lazy(), variable.attrs)
        part |= dict(zip(variable.dims, frames.part, strict=True))
    for variable in found.variables.values():
        variable.encoding.clear()  # Zarr's own fits no other format that it may be written to
    if chunks is None:
        return found
    return found.chunk({**part, **chunks} if isinstance(chunks, Mapping) else chunks)


def present_trajectories(attributes: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the numbers of the trajectories of a finished store that did not fail."""
    failed = set(attributes["failed"])
    return tuple(i for i in range(attributes["trajectories"]) if i not in failed)


def _may_be_missing(attributes: Mapping[str, Any]) -> frozenset[int] | None:
    """Return the trajectories without data, or None if any may be (generation not finished)."""
    return frozenset(attributes["failed"]) if attributes["complete"] else None


def _create_scale(
    root: "zarr.Group",
    size: int,
    layout: ScaleLayout,
    trajectories: int,
    times: np.ndarray,
    attributes: Mapping[str, Any],
) -> None:
    group = root.create_group(
        group_name(size),
        attributes={
            "Conventions": attributes["Conventions"],
            "title": f"{attributes['title']}, size {size}",
            "source": attributes["source"],
            _DOMAIN: " ".join(layout.domain_dims),
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
    _write_axes(group, layout.time_units, trajectories, times)
    for name, (values, notes) in layout.coordinates.items():
        _write_coordinate(group, name, np.asarray(values), notes)


def _describe_scales(
    root: "zarr.Group", layouts: Mapping[int, ScaleLayout], trajectories: int, times: np.ndarray
) -> None:
    """Write what all scales share, and which there are, for those who open the root alone."""
    sizes = sorted(layouts, reverse=True)
    _write_axes(root, layouts[sizes[0]].time_units, trajectories, times)
    where = ", ".join(map(group_name, sizes))
    # of another name than its axis: a coordinate would be handed down to every group
    notes = {"units": "1", "long_name": "size of each scale, as cells along x", "groups": where}
    _write_coordinate(root, "cells", np.array(sizes), notes, axis="scale")
    root.update_attributes({"comment": f"the variables are in the groups {where}"})


def _write_axes(group: "zarr.Group", time_units: str, trajectories: int, times: np.ndarray) -> None:
    _write_coordinate(group, "trajectory", np.arange(trajectories))
    since = "time since the start of the trajectory"
    _write_coordinate(group, "time", times, {"units": time_units, "long_name": since, "axis": "T"})


def _write_coordinate(
    group: "zarr.Group",
    name: str,
    values: np.ndarray,
    notes: Mapping[str, str] | None = None,
    axis: str | None = None,
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
        dimension_names=(axis or name,),
        attributes=dict(notes or {}),
        overwrite=True,
    )
    array[...] = values


def listed(values: Sequence[Any]) -> str:
    """Return values as text for a message, at most ten of them."""
    shown = ", ".join(map(str, values[:10]))
    return f"{shown}, ..." if len(values) > 10 else shown
