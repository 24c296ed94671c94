"""The metadata of a group of a Zarr store, with a copy of all that lies below it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from subgrid.errors import CorruptFileError
from subgrid.files import read_json
from subgrid.provenance import write_atomic

_FILE = "zarr.json"


def read_metadata(node: Path) -> dict[str, Any]:
    """Return the metadata of a group or array.

    Raises FileNotFoundError if there is none and CorruptFileError if it is damaged.
    """
    file = node / _FILE
    try:
        found = {"attributes": {}, **read_json(file)}
        found["attributes"] = dict(found["attributes"])
    except FileNotFoundError as error:
        raise FileNotFoundError(f"no dataset at {node}: {file} does not exist") from error
    except (ValueError, TypeError) as error:
        raise CorruptFileError(f"{file} is no Zarr metadata") from error
    return found


def consolidate(group: Path, attributes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Write the metadata of a group anew, and return it; `attributes` are added to its own.

    It gets a copy of all metadata below it ("consolidated"): xarray and Zarr then read one file to
    open it, and xarray warns where there is none. So do the groups below, before it. Its file is
    replaced as a whole: no reader and no kill meets attributes and arrays that do not belong
    together. Equal content gives equal bytes.
    """
    below: dict[str, Any] = {}
    for file in sorted(group.glob(f"*/{_FILE}")):
        name, found = file.parent.name, read_metadata(file.parent)
        if found.get("node_type") == "group":
            copied = consolidate(file.parent)["consolidated_metadata"]["metadata"]
            below |= {f"{name}/{inner}": each for inner, each in copied.items()}
            found["consolidated_metadata"] = _inline({})  # a flat table: each path once
        below[name] = found
    own = read_metadata(group)
    own["attributes"] |= attributes or {}
    own["consolidated_metadata"] = _inline(dict(sorted(below.items())))
    write_atomic(group / _FILE, json.dumps(own, indent=2))
    return own


def _inline(metadata: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "inline", "must_understand": False, "metadata": metadata}
