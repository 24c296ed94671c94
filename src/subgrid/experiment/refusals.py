"""What may lie in a run folder, and in what two configs differ: the refusals of the run folder."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from subgrid.config import Config
from subgrid.errors import RunFolderError
from subgrid.files import read_json, require_regular
from subgrid.ownership import is_leftover

_FOLDERS = ("data", "models", "evaluation")


def refuse_other_files(path: Path) -> None:
    """Raise RunFolderError if a path is a file, or a folder with files but no run in it."""
    if path.exists() and not path.is_dir():
        raise RunFolderError(f"{path} is a file; a run needs a folder. Choose another --out.")
    if not path.is_dir() or (path / "config.toml").exists():
        return
    others = sorted(entry.name for entry in path.iterdir() if not _of_creation(entry))
    if others:
        shown = ", ".join(others[:5]) + (", ..." if len(others) > 5 else "")
        raise RunFolderError(
            f"{path} is not empty and holds no run (no config.toml), but {shown}. Choose another "
            "--out."
        )


def refuse_odd_files(path: Path) -> None:
    """Raise CorruptFileError if what a run owns holds a link, a pipe or the like.

    The folders themselves may be links, to a larger disk for example.
    """
    for name in (*_FOLDERS, "data.partial"):
        if (path / name).is_dir():
            require_regular(path / name)


def _of_creation(entry: Path) -> bool:
    """Return whether a file is what a process killed while it created a run folder leaves."""
    try:
        if entry.name == "manifest.json":
            made = read_json(entry)
            return {"format", "subgrid", "config_hash"} <= set(made) and made["tasks"] == {}
        if entry.name == ".lock":
            text = entry.read_text(encoding="utf-8")
            return not text or "pid" in json.loads(text)
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return is_leftover(entry.name, lambda name: name in ("manifest.json", "config.toml"))


def refuse_other_config(path: Path, old: Config, new: Config) -> None:
    """Raise RunFolderError for a config of which nothing in a run is."""
    raise RunFolderError(
        f"{path} holds a run that has no work in common with this config:\n"
        f"{differences(old, new)}\nAll of it would be lost. Choose another folder with --out."
    )


def differences(old: Config, new: Config) -> str:
    """Return the settings that differ, a line each; of many the first five."""
    found = list(_differences(old.to_dict(), new.to_dict()))
    shown = "\n".join(f"  {line}" for line in found[:5])
    return shown + (f"\n  and {len(found) - 5} more" if len(found) > 5 else "")


def _differences(old: Any, new: Any, key: str = "") -> Iterator[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in dict.fromkeys([*old, *new]):
            inner = f"{key}.{name}" if key else str(name)
            yield from _differences(old.get(name, "unset"), new.get(name, "unset"), inner)
    elif _named(old) and _named(new):
        yield from _differences(_named(old), _named(new), key)
    elif old != new:
        yield f"{key}: there {old!r}, here {new!r}"


def _named(value: Any) -> dict[str, Any]:
    if isinstance(value, list) and all(isinstance(v, Mapping) and "name" in v for v in value):
        return {entry["name"]: entry for entry in value}
    return {}
