"""Bundles: a trained closure in a folder, with what it is valid for and its model card.

model.json            the closure, and as metadata what it was made for (see `validity`)
weights.safetensors   its arrays
card.md               for people: what it is, how it was made, its scores, its limits
"""

import math
import os
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pydantic

from subgrid.closures import (
    MODEL_FILE,
    WEIGHTS_FILE,
    holds_closure,
    in_system,
    load_closure,
    load_metadata,
    save_closure,
    system_of,
)
from subgrid.errors import ConfigError, CorruptFileError, UnknownNameError
from subgrid.files import read_bytes, read_text
from subgrid.provenance import file_hash, write_atomic
from subgrid.registry import unknown_name_message
from subgrid.systems import SYSTEMS
from subgrid.trust import Trust, require_trust

CARD_FILE = "card.md"
_FILES = (WEIGHTS_FILE, CARD_FILE, MODEL_FILE)  # the last one makes a folder a bundle
_SHIPPED = Path(__file__).with_name("bundles")
_SAME = 1e-6  # relative: constants are given to six digits and kept in single precision


class _ValidFor(pydantic.BaseModel, strict=True):
    """What is read of `valid_for`, see `validity`."""

    system: str
    operator: str
    settings: dict
    online: dict
    target: str | None = None


class _Metadata(pydantic.BaseModel, strict=True):
    """What is read of the metadata."""

    dt: float = pydantic.Field(gt=0, allow_inf_nan=False)
    valid_for: _ValidFor
    truth: dict | None = None
    experiment: str | None = None
    arrangement: str | None = None
    coupling: str | None = None


@dataclass(frozen=True)
class Bundle:
    """A bundle in `folder`, called `name`; `metadata`: what `model.json` says of its making.

    `trust`: whether code that is not subgrid's may run, see `subgrid.closures.load_closure`.
    """

    name: str
    folder: Path
    metadata: dict[str, Any]
    trust: Trust = False

    @cached_property
    def closure(self) -> Any:
        """The closure, in the system it was tested in, read when first asked for.

        Models of another system refuse it. Raises as `load_closure` and `system` do.
        """
        closure, system = load_closure(self.folder, self.trust), self.system()
        try:
            # the data's system, which it may hold, and that of the free runs may differ: `validity`
            return in_system(closure, system)
        except ConfigError as error:
            error.add_note(f"while reading {self.folder / MODEL_FILE}")
            raise
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise CorruptFileError(
                f"{self.folder / MODEL_FILE} describes no closure of its system: {error}"
            ) from error

    @property
    def card(self) -> str:
        """The model card, Markdown; raises CorruptFileError for a file that is no text."""
        return read_text(self.folder / CARD_FILE)

    @property
    def checksum(self) -> str:
        """SHA-256 (hex) of model.json, which holds that of the weights: of the whole closure."""
        return file_hash(self.folder / MODEL_FILE)

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum((self.folder / name).stat().st_size for name in _FILES)

    def system(self, **changes: Any) -> Any:
        """Return the coarse system that the closure was tested in; `changes` override settings.

        Raises UntrustedCodeError for a system that neither subgrid nor an installed package has,
        unless it is trusted, and CorruptFileError for settings that build none.
        """
        valid, file = self.metadata["valid_for"], self.folder / MODEL_FILE
        name, settings = valid["system"], {**valid["settings"], **valid["online"]}
        if ":" in name:  # other names are those of registries
            require_trust(file, {f"valid_for.system = {name!r}": name}, self.trust)
        try:
            build = SYSTEMS.get(name)
        except ConfigError as error:
            error.add_note(f"while reading valid_for.system of {file}")
            raise
        try:
            return system_of(build, {**settings, **changes})
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            if changes:  # which may be what is wrong
                raise
            raise CorruptFileError(
                f"the settings in valid_for of {file} build no system {name!r}: {error}"
            ) from error

    def differences(self, other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
        """Return what the `validity` of another use has otherwise: key → (bundle's, other's)."""
        # the dtype and the limits of a healthy run are no physics
        left_out = {"dtype", *getattr(SYSTEMS.get(other["system"]), "limits", ())}
        ours, theirs = _flat(self.metadata["valid_for"], left_out), _flat(other, left_out)
        pairs = {
            key: (ours.get(key, "unset"), theirs.get(key, "unset"))
            for key in dict.fromkeys([*ours, *theirs])
        }
        return {key: pair for key, pair in pairs.items() if not _same(*pair)}


def bundles() -> list[str]:
    """Return the names of the shipped bundles."""
    return sorted(folder.name for folder in _SHIPPED.glob("*") if holds_closure(folder))


def pretrained(bundle: str | Path, trust: Trust = False) -> Any:
    """Return the closure of a shipped bundle, or of a bundle's folder.

    `trust`, errors: as for `load_bundle` and `load_closure`.
    """
    return load_bundle(bundle, trust).closure


def load_bundle(bundle: str | Path, trust: Trust = False) -> Bundle:
    """Return a shipped bundle by its name, or the one in a folder.

    `trust`: whether code that it names and that is not subgrid's may run, see `load_closure`.
    Nothing is imported here. Raises UnknownNameError, listing what is shipped, if it is neither,
    ConfigError for a closure that is no bundle, CorruptFileError for a model.json that was altered
    or made wrong.
    """
    folder, known = Path(bundle), bundles()
    if str(bundle) in known:
        folder = _SHIPPED / str(bundle)
    elif not holds_closure(folder):
        raise UnknownNameError(
            unknown_name_message("bundle", str(bundle), known or ["none is shipped"])
            + f" One of your own is given by its folder, which holds a {MODEL_FILE}."
        )
    metadata = load_metadata(folder)["metadata"]
    missing = {"valid_for", "dt"} - set(metadata)
    if missing or not os.path.lexists(folder / CARD_FILE):
        raise ConfigError(
            f"{folder} holds a closure but is no bundle: it does not say what it is valid for. "
            "`subgrid export RUN MODEL --to bundle --out DIR` makes one of a trained model."
        )
    try:
        _Metadata.model_validate(metadata)
    except pydantic.ValidationError as error:
        wrong = dict.fromkeys(".".join(map(str, one["loc"])) for one in error.errors())
        raise CorruptFileError(
            f"{folder / MODEL_FILE} lacks, or has something else as, {', '.join(wrong)} in its "
            "metadata: it is no bundle that subgrid wrote"
        ) from error
    return Bundle(folder.resolve().name, folder, metadata, trust)


def write_bundle(
    closure: Any, folder: str | Path, *, metadata: Mapping[str, Any], card: str
) -> None:
    """Write a bundle: a folder that `subgrid.deploy.pretrained` loads.

    `metadata`: JSON, with `valid_for` (see `validity`) and `dt` [s]; `card`: Markdown, whose first
    line says what the closure is. Written aside and renamed, so that neither an error nor a kill
    leaves a part of it. Raises FileExistsError for a folder with files, else as `save_closure`.
    """
    folder = Path(folder).resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} exists and is not empty; choose another folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as aside:
        made = Path(aside) / folder.name
        save_closure(closure, made, metadata)
        write_atomic(made / CARD_FILE, card)
        made.replace(folder)


def copy_bundle(bundle: Bundle, folder: str | Path) -> None:
    """Copy a bundle, byte by byte; model.json, which makes it one, comes last.

    Raises CorruptFileError for damaged weights, before anything is written.
    """
    folder = Path(folder)
    load_closure(bundle.folder, bundle.trust)
    folder.mkdir(parents=True, exist_ok=True)
    for name in _FILES:
        # the weights fit in memory: they are read already
        write_atomic(folder / name, read_bytes(bundle.folder / name, largest=math.inf))


def validity(
    system: str, coarse: Any, online: Any, operator: str, target: str | None = None
) -> dict[str, Any]:
    """Return what a closure is valid for: where it was trained and tested.

    `system`: its name; `coarse`: the system that the data are coarse states of, with the truth's
    constants; `online`: the one of the free runs; `operator`: what made the data coarse; `target`:
    what it predicts, unless that is the difference of two tendencies. Raises ConfigError for a
    system that cannot tell its settings.
    """
    if not hasattr(coarse, "settings"):
        raise ConfigError(
            f"system {system!r} has no method `settings` that returns the arguments which build "
            "it, so nothing can say what a closure of it is valid for"
        )
    settings, tested = coarse.settings(), online.settings()
    changes = {name: value for name, value in tested.items() if value != settings[name]}
    valid = {"system": system, "operator": operator, "settings": settings, "online": changes}
    return valid if target is None else {**valid, "target": target}


def _flat(valid: Mapping[str, Any], left_out: Collection[str]) -> dict[str, Any]:
    settings = {name: v for name, v in valid["settings"].items() if name not in left_out}
    online = {f"{name} of the free runs": value for name, value in valid["online"].items()}
    named = {"system": valid["system"], **settings, **online, "operator": valid["operator"]}
    return named | ({"target": valid["target"]} if "target" in valid else {})


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=_SAME)
    return one == other
