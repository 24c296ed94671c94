"""The run folder: where everything is, what made it, and which stages are done."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from subgrid import __version__
from subgrid.checksums import hashes, signed, unsigned
from subgrid.config import (
    Config,
    config_from_dict,
    config_to_toml,
    own_packages,
    read_toml,
    require_trusted_names,
)
from subgrid.errors import CorruptFileError, RunFolderError
from subgrid.experiment.environments import same_code
from subgrid.experiment.keys import STAGES, stage_keys
from subgrid.files import inside, read_json, require_regular
from subgrid.ownership import is_leftover
from subgrid.provenance import config_hash, environment, file_hash, write_atomic

FORMAT = 1
_FOLDERS = ("data", "models", "evaluation")


class RunFolder:
    """A folder that belongs to one config.

    `create` makes it or opens the one made earlier by the same config; `open` opens an existing
    one.
    A stage counts as done when the manifest holds its key (the hash of what it depends on) and
    every file it wrote is still there as it was.

    `trust`: whether what lies in it may name code that is not subgrid's. A config that the caller
    has is the caller's: trained models may be of the packages that it names.
    """

    def __init__(self, path: Path, config: Config, trust: bool = False):
        self.path = path
        self.config = config
        self.trust = trust
        self.keys = stage_keys(config)

    @classmethod
    def create(cls, path: str | Path, config: Config, trust: bool = False) -> "RunFolder":
        """Return the folder of this config, made if it is not there yet.

        A try of another config gives way if nothing of it is finished (see `gives_way_to`).
        Raises RunFolderError if the folder holds any other run of another config, a run of another
        format, or files that are no run.
        """
        path = Path(path)
        if (made := cls.existing(path, config, trust)) is not None:
            return made
        path.mkdir(parents=True, exist_ok=True)
        folder, kept, replaced = cls(path, config, trust), {}, {}
        if (path / "config.toml").exists():
            tried = cls.read(path)
            replaced = {"replaces": config_hash(tried.config.to_dict())}
            if tried.keys["simulate"] == folder.keys["simulate"]:  # its data stay
                names = ("subgrid", "begun")
                kept = {n: value for n, value in tried.manifest().items() if n in names}
        manifest = {
            "format": FORMAT,
            "subgrid": __version__,
            "config_hash": config_hash(config.to_dict()),
            "seed": config.seed,
            "stages": {},
            **kept,
        }
        folder.write_manifest({**manifest, **replaced})
        # last, because its presence says that the folder is a run
        write_atomic(path / "config.toml", config_to_toml(config))
        if replaced:
            folder.write_manifest(manifest)
        return folder

    @classmethod
    def existing(cls, path: str | Path, config: Config, trust: bool = False) -> "RunFolder | None":
        """Return the folder of this config, or None if it is yet to be made; raises as `create`."""
        path = Path(path)
        if not (path / "config.toml").exists():
            refuse_other_files(path)
            return None
        folder = cls.read(path, trust)
        if folder.config.to_dict() == config.to_dict():
            return folder
        if not folder.gives_way_to(config):
            _refuse_other_config(path, folder.config, config)
        return None

    @classmethod
    def open(cls, path: str | Path, trust: bool = False) -> "RunFolder":
        """Return an existing run folder, which may be a stranger's.

        Raises RunFolderError if it is none of this format, CorruptFileError if it holds links or
        other things that are no files, and UntrustedCodeError if its config names code and `trust`
        is not given.
        """
        folder = cls.read(Path(path), trust)
        require_trusted_names(folder.config, folder.path / "config.toml", trust)
        return folder

    @classmethod
    def read(cls, path: Path, trust: bool = False) -> "RunFolder":
        """Return an existing run folder for its files only: what it names is not to be built."""
        file = path / "config.toml"
        if not file.is_file():
            raise RunFolderError(f"{path} is no run folder: it has no config.toml")
        _require_regular(path)
        manifest = _read_manifest(path)
        if manifest.get("format") != FORMAT:
            raise RunFolderError(
                f"{path} has run-folder format {manifest.get('format')} (made by subgrid "
                f"{manifest.get('subgrid')}), this version reads format {FORMAT}. Choose another "
                "--out, or use the version that made it."
            )
        try:
            tables = read_toml(file, from_folder=True)
        except ValueError as error:
            raise CorruptFileError(f"{file} is not valid TOML: {error}") from error
        config = config_from_dict(tables, str(file))
        # the latter where a process was killed while a failed try gave way to another config
        known = manifest["config_hash"], manifest.get("replaces")
        if config_hash(config.to_dict()) not in known:
            raise RunFolderError(
                f"{file} was changed after the run began. Restore it, or start the changed config "
                "in a folder of its own with --out."
            )
        return cls(path, config, trust)

    def split(self, name: str) -> Path:
        """Return the path of the data of a split: train, validation or test."""
        return self.path / "data" / f"{name}.zarr"

    def model(self, name: str, seed: int | None = None) -> Path:
        """Return the folder of a model, or of one of its seeds."""
        folder = self.path / "models" / name
        return folder if seed is None else folder / f"seed_{seed}"

    def load_model(self, name: str, seed: int) -> Any:
        """Return a trained model with its best weights; raises as `load_closure` does."""
        from subgrid.closures import load_closure  # imports JAX

        return load_closure(self.model(name, seed), self.trust or own_packages(self.config))

    @property
    def evaluation(self) -> Path:
        """The folder of the evaluation's stores."""
        return self.path / "evaluation"

    @property
    def scores(self) -> Path:
        """The file of all scores."""
        return self.path / "scores.json"

    @property
    def report(self) -> Path:
        """The report."""
        return self.path / "report.html"

    def manifest(self) -> dict[str, Any]:
        """Return what the manifest records."""
        return _read_manifest(self.path)

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Replace the manifest, atomically; it holds the checksum of itself."""
        write_atomic(self.path / "manifest.json", json.dumps(signed(manifest), indent=2) + "\n")

    def gives_way_to(self, config: Config) -> bool:
        """Return whether this is a failed try, of which another config would lose nothing.

        No stage is done; of data that the other config does not share no trajectory is finished.
        """
        if self.manifest()["stages"]:
            return False
        if self.keys["simulate"] == stage_keys(config)["simulate"]:
            return True
        return not any(map(_lasted, (self.path / "data").glob("*.records/[0-9]*.json")))

    def is_done(self, stage: str) -> bool:
        """Return whether a stage is finished for this config.

        Raises CorruptFileError if a file that the finished stage wrote is gone or was altered.
        """
        record = self.manifest()["stages"].get(stage)
        if record is None or record["key"] != self.keys[stage]:
            return False
        for name, digest in record["files"].items():
            file = inside(self.path, name)
            if not file.is_file():
                raise CorruptFileError(
                    f"{file}, written by the finished stage {stage!r}, is gone. Restore it, or run "
                    f"`subgrid {stage} {self.path} --force` to make it again."
                )
            if file_hash(file) != digest:
                raise CorruptFileError(
                    f"{file} was altered after the stage {stage!r} wrote it. Restore it, or run "
                    f"`subgrid {stage} {self.path} --force` to make it again."
                )
        return True

    def mark_begun(self, stage: str) -> bool:
        """Record the machine and versions under which a stage begins or goes on, each code once.

        Returns whether it goes on.
        """
        manifest, now = self.manifest(), environment()
        before = manifest.setdefault("begun", {}).setdefault(stage, [])
        goes_on = bool(before)
        if not any(same_code(now, entry) for entry in before):
            before.append(now)
            self.write_manifest(manifest)
        return goes_on

    def mark_done(
        self,
        stage: str,
        seconds: float,
        files: list[Path],
        recorded: Mapping[Path, str] | None = None,
        **notes: Any,
    ) -> None:
        """Record a finished stage: its key, time, machine and the hash of each file it wrote.

        `seconds`: of the session that finished it. `recorded`: hashes of files from when they were
        written. Raises CorruptFileError, and records nothing, for one that is gone or altered.
        """
        found = hashes(files)
        for file, wanted in (recorded or {}).items():
            if found.get(file) != wanted:
                raise CorruptFileError(
                    f"{file} {'was altered' if file.is_file() else 'is gone'} after it was "
                    f"written, before the stage {stage!r} ended. Restore it, or run "
                    f"`subgrid {stage} {self.path} --force` to make it again."
                )
        manifest = self.manifest()
        manifest["stages"][stage] = {
            "key": self.keys[stage],
            "seconds": round(seconds, 3),
            "environment": environment(),
            "files": {str(file.relative_to(self.path)): digest for file, digest in found.items()},
            **notes,
        }
        self.write_manifest(manifest)

    def forget(self, stage: str) -> None:
        """Drop the records of a stage and of those after it, so that they run again."""
        manifest = self.manifest()
        for later in STAGES[STAGES.index(stage) :]:
            manifest["stages"].pop(later, None)
            manifest.get("begun", {}).pop(later, None)
        self.write_manifest(manifest)


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


def _require_regular(path: Path) -> None:
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
            return {"format", "subgrid", "config_hash"} <= set(made) and made["stages"] == {}
        if entry.name == ".lock":
            text = entry.read_text(encoding="utf-8")
            return not text or "pid" in json.loads(text)
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return is_leftover(entry.name, lambda name: name in ("manifest.json", "config.toml"))


def _lasted(record: Path) -> bool:
    """Return whether a trajectory is finished; a damaged record may be of one."""
    try:
        return read_json(record)["failed"] is not True
    except (ValueError, KeyError, TypeError):
        return True


def _read_manifest(path: Path) -> dict[str, Any]:
    file = path / "manifest.json"
    try:
        manifest = unsigned(read_json(file), file)
    except FileNotFoundError:
        raise RunFolderError(f"{path} has no manifest.json: it is no complete run folder") from None
    return manifest


def _refuse_other_config(path: Path, old: Config, new: Config) -> None:
    raise RunFolderError(
        f"{path} holds a run of another config:\n{differences(old, new)}\n"
        "A folder belongs to one config. Choose another one with --out; --data-from "
        f"{path} takes over its data where the truth and the coarsening are the same."
    )


def differences(old: Config, new: Config) -> str:
    """Return the settings that differ, a line each; of many the first five."""
    found = list(_differences(old.to_dict(), new.to_dict()))
    shown = "\n".join(f"  {line}" for line in found[:5])
    return shown + (f"\n  and {len(found) - 5} more" if len(found) > 5 else "")


def _differences(old: Any, new: Any, key: str = "") -> Any:
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
