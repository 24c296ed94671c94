"""Keeps a closure in a folder as readable JSON and safetensors, and builds it from them again.

    model.json            what the closure is: classes, settings, versions, metadata, checksums
    weights.safetensors   every array, named by its path in the closure ("network.layers.0.weight")

No pickle and no twin built by hand: `model.json` holds the tree of modules. A class of your own
needs nothing but to be importable: it is written as "module:Class". Reading it runs that module, so
it must be trusted (see `subgrid.trust`); a folder from anybody else is read without trust.
"""

import dataclasses
import importlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import equinox as eqx

from subgrid.closures._structure import describe, rebuild
from subgrid.errors import ConfigError, CorruptFileError
from subgrid.files import read_json
from subgrid.provenance import (
    aside_of,
    config_hash,
    file_hash,
    load_arrays,
    require_fits_memory,
    save_arrays,
    versions,
    write_atomic,
)
from subgrid.trust import Trust

_FORMAT = "subgrid-closure-2"
MODEL_FILE = "model.json"
WEIGHTS_FILE = "weights.safetensors"
# what `save_closure` writes besides
_KINDS = {
    "closure": str,
    "metadata": dict,
    "structure": dict,
    "versions": dict,
    "weights_sha256": str,
}


def save_closure(
    closure: eqx.Module,
    folder: str | Path,
    metadata: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a closure, or another module, into a folder (made if absent), with JSON `metadata`.

    Raises FileExistsError if the folder holds a closure already and `overwrite` is not given,
    ConfigError, before anything is written, if some part cannot be named (a lambda, a class defined
    inside a function or in `__main__`), OSError if the disk is full, with an older closure still in
    place. `model.json` counts and is put in place last: a kill in between leaves a folder without a
    closure, never a wrong one.
    """
    folder = Path(folder)
    model_file = folder / MODEL_FILE
    if holds_closure(folder) and not overwrite:
        raise FileExistsError(
            f"{model_file} exists; choose another folder or pass overwrite=True to replace it"
        )
    structure, arrays = describe(closure)
    document: dict[str, Any] = {
        "format": _FORMAT,
        "closure": _registered_name(closure),
        "metadata": dict(metadata or {}),
        "versions": versions(),
        "structure": structure,
    }
    document = json.loads(_to_json(document))  # as it will be read: hashes agree
    folder.mkdir(parents=True, exist_ok=True)
    new_weights, new_model = aside_of(folder / WEIGHTS_FILE), aside_of(model_file)
    try:
        save_arrays(new_weights, arrays)
        document["weights_sha256"] = file_hash(new_weights)
        write_atomic(new_model, _to_json({**document, "sha256": config_hash(document)}))
        # both are on disk: from here only renames, and model.json, which counts, is the last
        model_file.unlink(missing_ok=True)
        new_weights.replace(folder / WEIGHTS_FILE)
        new_model.replace(model_file)
    finally:
        new_weights.unlink(missing_ok=True)
        new_model.unlink(missing_ok=True)


def holds_closure(folder: str | Path) -> bool:
    """Return whether `save_closure` wrote a closure into a folder; a killed one leaves none."""
    return (Path(folder) / MODEL_FILE).is_file()


def load_closure(folder: str | Path, trust: Trust = False) -> Any:
    """Return the closure (or module) that `save_closure` wrote, with the same bits in every array.

    `trust`: whether code that is not subgrid's may run, such as a class of your own: True, or the
    names of the packages that it may be of.

    Raises FileNotFoundError if there is none, UntrustedCodeError, before anything is imported, if
    it names other code, CorruptFileError, naming the file, if one of the two files is truncated,
    altered or made wrong, and ConfigError if a class it names cannot be imported or has other
    fields than when it was saved.
    """
    folder = Path(folder)
    document = _read_model_file(folder)
    weights = folder / WEIGHTS_FILE
    if not os.path.lexists(weights):
        raise CorruptFileError(f"{weights} is missing; {MODEL_FILE} beside it needs it")
    require_fits_memory(weights)
    if file_hash(weights) != document["weights_sha256"]:
        raise CorruptFileError(
            f"{weights} is truncated or altered: its checksum differs from the one in {MODEL_FILE}"
        )
    arrays, _ = load_arrays(weights)
    try:
        found = rebuild(document["structure"], arrays, str(folder / MODEL_FILE), trust)
    except (ConfigError, CorruptFileError) as error:
        written = document["versions"].get("subgrid", "unknown")
        error.add_note(f"while reading {folder / MODEL_FILE}, written by subgrid {written}")
        raise
    if not dataclasses.is_dataclass(found):
        raise CorruptFileError(f"{folder / MODEL_FILE} describes {found!r:.80}, which is no module")
    return found


def load_metadata(folder: str | Path) -> dict[str, Any]:
    """Return what `model.json` says about a closure: its name, metadata, versions and checksums.

    Imports no class and reads no weights. Raises as `load_closure` does for `model.json`.
    """
    document = _read_model_file(Path(folder))
    return {key: value for key, value in document.items() if key != "structure"}


def _read_model_file(folder: Path) -> dict[str, Any]:
    path = folder / MODEL_FILE
    if not holds_closure(folder):
        raise FileNotFoundError(f"no closure in {folder}: {MODEL_FILE} is missing")
    document = read_json(path)
    if not isinstance(document, dict):
        raise CorruptFileError(f"{path} is truncated or no JSON object")
    try:
        whole = document.pop("sha256", None) == config_hash(document)
    except RecursionError as error:
        raise CorruptFileError(f"{path} is nested too deeply") from error
    if not whole:
        raise CorruptFileError(f"{path} was altered after it was written (its checksum differs)")
    if document.get("format") != _FORMAT:
        raise ConfigError(
            f"{path} has format {document.get('format')!r}; this version reads {_FORMAT!r}. Export "
            "or train the closure again, or use the version of subgrid that wrote it."
        )
    wrong = [key for key, kind in _KINDS.items() if not isinstance(document.get(key), kind)]
    if wrong:
        raise CorruptFileError(f"{path} lacks, or has something else as, {', '.join(wrong)}")
    return document


def _registered_name(closure: eqx.Module) -> str:
    """Return the name under which a closure's class is registered, or "module:Class"."""
    # the registry lives in the package above this module, which imports it
    registry = importlib.import_module("subgrid.closures").CLOSURES
    for name in registry.names():
        if registry.get(name) is type(closure):
            return name
    return f"{type(closure).__module__}:{type(closure).__qualname__}"


def _to_json(document: Mapping[str, Any]) -> str:
    try:
        return json.dumps(document, indent=1, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"the metadata of a closure must be numbers, strings, lists and mappings: {error}"
        ) from error
