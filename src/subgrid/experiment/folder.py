"""The run folder: where everything is, what made it, and which tasks are done."""

import json
from collections.abc import Iterable, Mapping
from functools import cached_property
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
from subgrid.experiment.refusals import refuse_odd_files, refuse_other_config, refuse_other_files
from subgrid.experiment.task import STAGES, Graph, Task, downstream, graph, may_build, recipe_of
from subgrid.files import inside, read_json
from subgrid.provenance import config_hash, environment, file_hash, write_atomic
from subgrid.trust import Trust

FORMAT = 2


class RunFolder:
    """The results of one experiment, and the manifest that says what made each.

    `create` makes the folder or opens it, also with a changed config; `open` opens an existing one.
    A task counts as done when the manifest holds its key (the hash of what it depends on) and every
    file it wrote is still there as it was.

    `trust`: whether what lies in it may name code that is not subgrid's. A config that the caller
    has is the caller's: trained models may be of the packages that it names.
    """

    def __init__(self, path: Path, config: Config, trust: Trust = False):
        self.path = path
        self.config = config
        self.trust = trust

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how another process opens it; its tasks are made again there."""
        return RunFolder, (self.path.absolute(), self.config, self.trust)

    @cached_property
    def tasks(self) -> Graph:
        """The tasks of the experiment by name, each after those that it needs."""
        return graph(recipe_of(self.config).tasks(self.config))

    @classmethod
    def create(cls, path: str | Path, config: Config, trust: bool = False) -> "RunFolder":
        """Return the folder of this config, made if it is not there yet.

        The folder of another config takes this one, if they have work in common; tasks that both
        have stay done. Raises RunFolderError if the folder holds a run that has nothing in common
        with it, one of another format, or files that are no run.
        """
        path = Path(path)
        folder = cls.existing(path, config, trust)
        if folder is not None:
            folder._take_config()
            return folder
        path.mkdir(parents=True, exist_ok=True)
        folder = cls(path, config, trust)
        begun = {"format": FORMAT, "subgrid": __version__, "tasks": {}, "begun": {}}
        folder.write_manifest({**begun, **folder._of_config()})
        # last, because its presence says that the folder is a run
        write_atomic(path / "config.toml", config_to_toml(config))
        return folder

    def _of_config(self) -> dict[str, Any]:
        return {"config_hash": config_hash(self.config.to_dict()), "seed": self.config.seed}

    def _take_config(self) -> None:
        """Write the config in place of the one that is there, if that is another."""
        old = self.read(self.path, own_packages(self.config)).config
        if old.to_dict() == self.config.to_dict():
            return
        manifest = {**self.manifest(), **self._of_config()}
        if may_build(old, self.config):
            # what lies there is of these keys, whether a record says so or not
            for name, task in RunFolder(self.path, old).tasks.items():
                manifest["begun"].setdefault(name, _begun(task))
        self.write_manifest({**manifest, "replaces": config_hash(old.to_dict())})
        write_atomic(self.path / "config.toml", config_to_toml(self.config))
        self.write_manifest(manifest)

    @classmethod
    def existing(cls, path: str | Path, config: Config, trust: bool = False) -> "RunFolder | None":
        """Return what is there as the folder of this config, None if it is yet to be made.

        Nothing is written; raises as `create`.
        """
        path = Path(path)
        if not (path / "config.toml").exists():
            refuse_other_files(path)
            return None
        there, folder = cls.read(path, trust or own_packages(config)), cls(path, config, trust)
        if there.config.to_dict() != config.to_dict() and not folder._follows(there):
            refuse_other_config(path, there.config, config)
        return folder

    def _follows(self, there: "RunFolder") -> bool:
        """Return whether this config has work in common with that of a run, or nothing to lose."""
        manifest = there.manifest()
        records = manifest["tasks"]
        known = {**manifest["begun"], **records}
        if any(known.get(name, {}).get("key") == task.key for name, task in self.tasks.items()):
            return True
        if records or not may_build(there.config, self.config):
            return not records
        old = there.tasks.items()
        if any(name in self.tasks and self.tasks[name].key == task.key for name, task in old):
            return True
        return not any(task.lasting and task.lasting(self.path) for _, task in old)

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
    def read(cls, path: Path, trust: Trust = False) -> "RunFolder":
        """Return an existing run folder for its files only: what it names is not to be built.

        `trust`: in the code of a recipe of its own, to read the sections that this brings.
        """
        file = path / "config.toml"
        if not file.is_file():
            raise RunFolderError(f"{path} is no run folder: it has no config.toml")
        refuse_odd_files(path)
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
        config = config_from_dict(tables, str(file), trust)
        # of the tables as they stand: a newer subgrid may have more keys, with defaults. The latter
        # where a process was killed while the config changed
        known = manifest["config_hash"], manifest.get("replaces")
        if config_hash(tables) not in known:
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

    def load_model(self, name: str, seed: int | None = None) -> Any:
        """Return a model that this run made, a network of it by its `seed`.

        Code that the config names is trusted. Raises as `load_closure` does.
        """
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

    def stage(self, name: str) -> list[Task]:
        """Return the tasks of a stage."""
        return [task for task in self.tasks.values() if task.stage == name]

    def stages(self) -> dict[str, dict[str, Any]]:
        """Return what the manifest records of each finished stage, of all its tasks together.

        `seconds` is their sum, `environment` that of the last one; notes of several are one table.
        """
        records, found = self.manifest()["tasks"], {}
        for name in STAGES:
            tasks = self.stage(name)
            done = [records[t.name] for t in tasks if self._recorded(t, records)]
            if len(done) == len(tasks):
                found[name] = _together(done)
        return found

    def is_done(self, what: str) -> bool:
        """Return whether a task, or all tasks of a stage, are finished for this config.

        Raises CorruptFileError if a file that a finished task wrote is gone or was altered.
        """
        records = self.manifest()["tasks"]
        tasks = self.stage(what) if what in STAGES else [self.tasks[what]]
        if not all(self._recorded(task, records) for task in tasks):
            return False
        for task in tasks:
            self._verify(task, records[task.name]["files"])
        return True

    def done(self, tasks: Iterable[Task]) -> set[str]:
        """Return the names of those that are done; raises as `is_done`."""
        records = self.manifest()["tasks"]
        found = [task for task in tasks if self._recorded(task, records)]
        for task in found:
            self._verify(task, records[task.name]["files"])
        return {task.name for task in found}

    def stale(self) -> set[str]:
        """Return the tasks of which there is output of another key, and what depends on them."""
        manifest = self.manifest()
        known = {**manifest["begun"], **manifest["tasks"]}
        changed = [
            name
            for name, task in self.tasks.items()
            if name in known and known[name]["key"] != task.key
        ]
        return downstream(self.tasks, changed) & known.keys()

    @staticmethod
    def _recorded(task: Task, records: Mapping[str, Any]) -> bool:
        return records.get(task.name, {}).get("key") == task.key

    def _verify(self, task: Task, files: Mapping[str, str]) -> None:
        for name, digest in files.items():
            file = inside(self.path, name)
            if file.is_file() and file_hash(file) == digest:
                continue
            wrong = "was altered" if file.is_file() else "is gone"
            raise CorruptFileError(f"{file} {wrong} after it was written. {self._advice(task)}")

    def _advice(self, task: Task) -> str:
        return (
            f"Restore it, or run `subgrid {task.stage} {self.path} --force` to make again what the "
            f"stage {task.stage!r} made."
        )

    def mark_begun(self, name: str) -> bool:
        """Record the machine and versions under which a task begins or goes on, each code once.

        Returns whether it goes on.
        """
        manifest, now = self.manifest(), environment()
        before = manifest["begun"].setdefault(name, _begun(self.tasks[name]))
        goes_on = bool(before["environments"])
        if not any(same_code(now, entry) for entry in before["environments"]):
            before["environments"].append(now)
        self.write_manifest(manifest)
        return goes_on

    def mark_done(
        self,
        name: str,
        seconds: float,
        files: Iterable[Path],
        notes: Mapping[str, Any] | None = None,
        *,
        where: Mapping[str, Any] | None = None,
        resumed: bool = False,
    ) -> None:
        """Record a finished task: its key, time, machine and the hash of each file it wrote.

        `seconds`: of the session that finished it; `where`: the environment, this one unless given.
        Raises CorruptFileError, and records nothing, for a file that is gone, or altered since it
        was written where its hash was kept then.
        """
        task, found = self.tasks[name], hashes(files)
        for file, wanted in (task.recorded(self.path) if task.recorded else {}).items():
            if found.get(file) != wanted:
                wrong = "was altered" if file.is_file() else "is gone"
                raise CorruptFileError(
                    f"{file} {wrong} after it was written, before its task ended. "
                    f"{self._advice(task)}"
                )
        manifest, now = self.manifest(), environment() if where is None else where
        begun = manifest["begun"].get(name, {}).get("environments", ())
        if all(same_code(now, entry) for entry in begun):  # the record says as much
            manifest["begun"].pop(name, None)
        manifest["tasks"][name] = {
            "key": task.key,
            "stage": task.stage,
            "seconds": round(seconds, 3),
            "resumed": resumed,
            "environment": now,
            "files": {str(file.relative_to(self.path)): digest for file, digest in found.items()},
            **(notes or {}),
        }
        self.write_manifest(manifest)

    def downstream_of(self, what: str) -> set[str]:
        """Return a task and those that depend on it; or all tasks of a stage and later ones.

        Of a stage those of earlier configs that have output, too.
        """
        if what not in STAGES:
            return downstream(self.tasks, [what])
        manifest = self.manifest()
        known = {**manifest["begun"], **manifest["tasks"]}
        later = STAGES[STAGES.index(what) :]
        return {name for name in known if known[name]["stage"] in later} | {
            task.name for task in self.tasks.values() if task.stage in later
        }

    def forget(self, what: str | Iterable[str]) -> None:
        """Drop the records of these tasks (or see `downstream_of`), so that they run again.

        They take up the files that are there.
        """
        manifest = self.manifest()
        for name in self.downstream_of(what) if isinstance(what, str) else what:
            manifest["tasks"].pop(name, None)
            manifest["begun"].pop(name, None)
        self.write_manifest(manifest)

    def disown(self, names: Iterable[str]) -> None:
        """Record that the output of these tasks is nobody's, until it is removed and forgotten."""
        manifest = self.manifest()
        for name in names:
            record = manifest["tasks"].pop(name, None) or manifest["begun"].get(name)
            if record is not None:
                record = {"stage": record["stage"], "files": record.get("files", {})}
                manifest["begun"][name] = {"key": "", "environments": [], **record}
        self.write_manifest(manifest)


def _begun(task: Task) -> dict[str, Any]:
    return {"key": task.key, "stage": task.stage, "environments": []}


def _together(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the records of several tasks as one; tables of the same name are joined."""
    found: dict[str, Any] = {"seconds": 0.0, "resumed": False, "environment": {}}
    for record in records:
        for name, value in record.items():
            if isinstance(value, Mapping) and name != "environment":
                found[name] = {**found.get(name, {}), **value}
            else:
                found[name] = value
    seconds = round(sum(record["seconds"] for record in records), 3)
    return {**found, "seconds": seconds, "resumed": any(r["resumed"] for r in records)}


def _read_manifest(path: Path) -> dict[str, Any]:
    file = path / "manifest.json"
    try:
        manifest = unsigned(read_json(file), file)
    except FileNotFoundError:
        raise RunFolderError(f"{path} has no manifest.json: it is no complete run folder") from None
    return manifest
