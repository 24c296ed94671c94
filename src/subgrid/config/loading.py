"""Reads a config from a preset, a file or a run folder, with a profile and single overrides."""

import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeGuard

import tomli_w
from pydantic import ValidationError

from subgrid.config.explain import explain
from subgrid.config.names import require_trusted_names
from subgrid.config.settings import Config, config_class
from subgrid.errors import ConfigError, UnknownNameError
from subgrid.files import hidden_characters, read_text
from subgrid.numbers import shown
from subgrid.registry import unknown_name_message
from subgrid.trust import Trust

DEEPEST = 20  # a config has five levels of tables; Python's own limit is met by some hundred

_TOO_DEEP = f"tables and lists lie more than {DEEPEST} levels deep within each other"


class NotTomlError(ConfigError):
    """Text is no TOML."""


def preset_names() -> list[str]:
    """Return the names of the shipped presets."""
    folder = files("subgrid.config") / "presets"
    return sorted(
        p.name.removesuffix(".toml") for p in folder.iterdir() if p.name.endswith(".toml")
    )


def preset_text(name: str) -> str:
    """Return the TOML text of a preset; raises UnknownNameError for an unknown name."""
    known = preset_names()
    if name not in known:
        raise UnknownNameError(
            unknown_name_message("preset", name, known)
            + " A config file of your own is given by its path, ending in .toml."
        )
    return (files("subgrid.config") / "presets" / f"{name}.toml").read_text(encoding="utf-8")


def read_source(source: str | Path) -> tuple[dict[str, Any], str]:
    """Return the tables of a preset, TOML file or run folder, and what to call it in messages."""
    path = Path(source)
    folder = is_run_folder(path)
    if folder:
        path = path / "config.toml"
    elif is_preset(source):
        return tomllib.loads(preset_text(str(source))), f"preset {source!r}"
    if not path.is_file():
        raise ConfigError(
            f"no config file {str(path)!r}. Give a preset ({', '.join(preset_names())}), a .toml "
            "file or a run folder."
        )
    try:
        return read_toml(path, from_folder=folder), str(path)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error


def is_run_folder(path: Path) -> bool:
    """Return whether a path is a folder with a config, as a run has it."""
    return path.is_dir() and (path / "config.toml").exists()


def is_preset(source: str | Path) -> bool:
    """Return whether a source is to be looked up among the presets, and is not a path.

    A folder or a file that happens to be called like a preset does not hide it: `./NAME` is that.
    """
    text, path = str(source), Path(source)
    if path.suffix == ".toml" or any(mark and mark in text for mark in (os.sep, os.altsep)):
        return False
    return text in preset_names() or not path.exists()


def read_toml(path: Path, from_folder: bool = False) -> dict[str, Any]:
    """Return the tables of a TOML file, with or without the mark that some editors begin it with.

    `from_folder`: it lies in a run folder, which may be a stranger's, so it may be no link; a file
    that you name yourself may. Raises ConfigError if it is no TOML, UnicodeDecodeError if it is
    not in UTF-8, CorruptFileError for a link.
    """
    text = read_text(path) if from_folder else path.read_text(encoding="utf-8")
    return parsed(text.removeprefix("\ufeff"), str(path))


def parsed(text: str, label: str) -> dict[str, Any]:
    """Return the tables of TOML text; `label` says in errors where it came from.

    Raises NotTomlError for text that is none, ConfigError for tables and lists within each other
    without end.
    """
    try:
        tables = tomllib.loads(text)
    except RecursionError:
        raise ConfigError(f"{label}: {_TOO_DEEP}") from None
    except ValueError as error:  # TOMLDecodeError is one, as is a number of thousands of digits
        raise NotTomlError(f"{label} is not valid TOML: {error}") from error
    level: list[Any] = [tables]
    for _ in range(DEEPEST):
        level = [inner for value in level for inner in _inside(value)]
        if not level:
            return tables
    raise ConfigError(f"{label}: {_TOO_DEEP}")


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def profile_names(source: str | Path) -> list[str]:
    """Return the profiles that a preset or file offers."""
    return list(_profiles(*read_source(source)))


def _profiles(tables: Mapping[str, Any], label: str) -> dict[str, Mapping[str, Any]]:
    """Return the tables of all profiles; raises ConfigError if they are something else."""
    profiles = tables.get("profiles", {})
    if not isinstance(profiles, Mapping):
        raise ConfigError(f"{label}: profiles: got {shown(profiles)}; must be a table of profiles")
    for name, changes in profiles.items():
        if not isinstance(changes, Mapping):
            raise ConfigError(
                f"{label}: profiles.{name}: got {shown(changes)}; must be a table of settings"
            )
    return dict(profiles)


def load_config(
    source: str | Path,
    profile: str | None = None,
    overrides: Iterable[str] = (),
    trust: bool = False,
) -> Config:
    """Return the complete, checked config of a preset, TOML file or run folder.

    A profile's tables are merged over the base ones, key by key; `overrides` such as
    "training.updates=100" or "models.cascade.width=0.25" come last. Entries of `[[models]]` are
    matched by name. `trust`: whether the config of a run folder, which may be a stranger's, may
    name code as "module:Class"; a file that you name yourself may. Of that code only a recipe is
    imported here, for the sections that it brings.
    Raises ConfigError, listing every problem with its key, the value got and what is allowed,
    UnknownNameError for an unknown preset or profile, and UntrustedCodeError.
    """
    tables, label = read_source(source)
    profiles = _profiles(tables, label)
    tables.pop("profiles", None)
    if profile is not None:
        if profile not in profiles:
            raise UnknownNameError(
                f"{label}: " + unknown_name_message("profile", profile, list(profiles) or ["none"])
            )
        tables = merge(tables, profiles[profile])
        tables["profile"] = profile
        label = f"{label}, profile {profile!r}"
    for override in overrides:
        tables = merge(tables, _override_table(override))
    stored = Path(source).is_dir()
    config = config_from_dict(tables, label, trust or not stored)
    if stored:
        require_trusted_names(config, label, trust)
    return config


def config_from_dict(
    tables: Mapping[str, Any], label: str = "config", trust: Trust = False
) -> Config:
    """Return the checked config of plain tables; `label` says in errors where they came from.

    `trust`: in a recipe "module:Class", which says what its sections are.
    """
    if hidden := list(_hidden_in(tables)):
        raise ConfigError(
            f"{label}: {', '.join(hidden)} holds characters that steer a terminal or turn text "
            "around. Remove them."
        )
    kind = config_class(tables.get("recipe", "closure"), trust)
    try:
        return kind(**tables)
    except ValidationError as error:
        further = kind.problems_between(tables)
        raise ConfigError(explain(error, kind, tables, label, further)) from None


def _hidden_in(value: Any, key: str = "") -> Iterator[str]:
    """Yield the keys under which tables hold characters that nobody sees: texts get printed."""
    if isinstance(value, Mapping):
        for name, entry in value.items():
            inner = f"{key}.{name}" if key else str(name)
            yield from [repr(inner)] if hidden_characters(str(name)) else _hidden_in(entry, inner)
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from _hidden_in(entry, key)
    elif isinstance(value, str) and hidden_characters(value):
        yield f"{key} = {value!r}"


def config_to_toml(config: Config) -> str:
    """Return the config as TOML text that `load_config` reads back to an equal config."""
    return tomli_w.dumps(config.to_dict())


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `changes` laid over it: tables key by key, named tables by name."""
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        if _are_named_tables(old) and isinstance(value, Mapping):
            value = _named_list(key, [str(entry["name"]) for entry in old], value)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            merged[key] = merge(old, value)
        elif _are_named_tables(old) and _are_named_tables(value):
            merged[key] = _merge_named(old, value)
        else:
            merged[key] = value
    return merged


def _are_named_tables(value: Any) -> TypeGuard[list[Mapping[str, Any]]]:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(e, Mapping) and isinstance(e.get("name"), str) for e in value)
    )


def _named_list(key: str, known: list[str], changes: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    for name, table in changes.items():
        if name not in known:
            raise UnknownNameError(unknown_name_message(f"entry of [[{key}]]", name, known))
        if not isinstance(table, Mapping):
            raise ConfigError(
                f"{key}.{name}: got {table!r}; must name a key of it, as in {key}.{name}.KEY=VALUE"
            )
    return [{"name": name, **table} for name, table in changes.items()]


def _merge_named(old: list[Mapping], new: list[Mapping]) -> list[dict[str, Any]]:
    changes = {entry["name"]: entry for entry in new}
    merged = [merge(entry, changes.pop(entry["name"], {})) for entry in old]
    return [*merged, *map(dict, changes.values())]


def _override_table(override: str) -> dict[str, Any]:
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise ConfigError(f"--set {override!r}: must look like training.updates=100")
    if "\n" in text.strip():
        raise ConfigError(f"--set {override!r}: takes one setting, in one line; give --set again")
    label = f"--set {shown(override)}"
    if len(parts) > DEEPEST:
        raise ConfigError(f"{label}: no key is {len(parts)} levels deep")
    try:
        value = parsed(f"value = {text.strip()}", label)["value"]
    except NotTomlError:
        value = text.strip()  # a bare word such as adamw: quotes are easily lost in a shell
    table = {parts[-1]: value}
    for part in reversed(parts[:-1]):
        table = {part: table}
    return table
