"""Turns names into objects: ours, those of installed packages, and a user's own module:Class."""

import difflib
import importlib
import importlib.metadata
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from subgrid.errors import ConfigError, UnknownNameError


def unknown_name_message(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the text of the error for an unknown name, with the nearest known one."""
    return f"unknown {kind} {name!r}. {known_names(name, known)}."


def known_names(name: str, known: Iterable[str]) -> str:
    """Return the known names in words, the one nearest to an unknown name first."""
    known = list(known)
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"Did you mean {nearest[0]!r}? " if nearest else ""
    return f"{hint}Known: {', '.join(known)}"


def on_first_use(package: str, **names: str) -> Callable[[str], Any]:
    """Return a `__getattr__` that imports public names of a package when they are asked for.

    `names`: those of each module of the package, with spaces between.
    """
    homes = {name: module for module, every in names.items() for name in every.split()}

    def get(name: str) -> Any:
        if name in homes:
            return getattr(importlib.import_module(f"{package}.{homes[name]}"), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return get


class Registry:
    """Looks up the objects of one kind ("closure", "system", ...) by name.

    `entries` maps a name to the object or to "module:Name", imported when first asked for. Other
    packages add names through the entry-point group `subgrid.<kind>s`; a user's own object needs no
    registration and is written "module:Class".
    """

    def __init__(self, kind: str, entries: Mapping[str, Any]):
        self.kind = kind
        self._entries = dict(entries)

    def names(self) -> list[str]:
        """Return all known names: ours in their order, then those of installed packages."""
        return [*self._entries, *(n for n in self._entry_points() if n not in self._entries)]

    def get(self, name: str) -> Any:
        """Return the object called `name`, or at "module:Name".

        "module:Name" is code that runs, from the current folder too: a name out of a file that may
        be a stranger's is asked about first (see `subgrid.trust`). Raises UnknownNameError for an
        unknown name and ConfigError where "module:Name" cannot be imported.
        """
        if name in self._entries:
            entry = self._entries[name]
            return import_named(entry, self.kind) if isinstance(entry, str) else entry
        if ":" in name:
            search_current_folder()
            return import_named(name, self.kind)
        installed = self._entry_points()
        if name in installed:
            return installed[name].load()
        known = self.names()
        raise UnknownNameError(
            unknown_name_message(self.kind, name, known)
            + f" Your own {self.kind} can be given as 'module:Class'."
        )

    def describe(self) -> list[tuple[str, str]]:
        """Return each name with the first line of its object's documentation."""
        rows = []
        for name in self.names():
            text = inspect.getdoc(self.get(name)) or ""
            rows.append((name, text.split("\n")[0]))
        return rows

    def _entry_points(self) -> dict[str, importlib.metadata.EntryPoint]:
        found = importlib.metadata.entry_points(group=f"subgrid.{self.kind}s")
        return {point.name: point for point in sorted(found, key=lambda point: point.name)}


def import_named(reference: str, kind: str) -> Any:
    """Return the object at "module:Name", which runs the module's code.

    Raises ConfigError, naming the `kind` of object, if there is none.
    """
    module_name, _, name = reference.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except (ImportError, TypeError, ValueError) as error:
        raise ConfigError(
            f"cannot import {kind} {reference!r}: {error}. The module must be importable: run from "
            "its folder or install it."
        ) from error
    try:
        for part in name.split("."):
            found = getattr(found, part)
    except AttributeError as error:
        raise ConfigError(
            f"module {module_name!r} has no {name!r} (asked for as {kind} {reference!r})."
        ) from error
    return found


def search_current_folder() -> None:
    """Let modules be found in the current folder, after everything that is installed.

    Only for names that a user typed or trusts: a file that happens to lie there is not run, nor
    does it stand in for a module of the same name.
    """
    folder = os.getcwd()
    if not {"", folder} & set(sys.path):
        sys.path.append(folder)
