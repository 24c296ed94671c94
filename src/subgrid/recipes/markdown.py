"""The report of a finished run as Markdown, where the user wants it; no file of theirs is lost."""

import contextlib
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from subgrid.computing import lenient
from subgrid.errors import ConfigError, RunFolderError
from subgrid.evaluation import markdown_files
from subgrid.experiment.folder import RunFolder
from subgrid.experiment.lock import RunLock
from subgrid.provenance import file_hash, write_atomic
from subgrid.recipes.make_report import report_data

_RECORD = "markdown"  # in the manifest: path → hashes of what was written there, the last two


@lenient()
def make_markdown(run: str | Path | RunFolder, file: str | Path, trust: bool = False) -> list[Path]:
    """Write the report of a finished run as Markdown, images in `figures` beside it.

    `run`: the run folder; `file`: the Markdown file; `trust`: whether the run may name code that
    is not subgrid's. Returns the images' paths. Raises RunFolderError if the run is not evaluated,
    UntrustedCodeError if it names such code, and ConfigError, with nothing written, where a file is
    in the way that this run did not write or that was changed since.
    """
    folder, page = run if isinstance(run, RunFolder) else RunFolder.open(run, trust), Path(file)
    if not folder.is_done("evaluate"):
        path = folder.path
        raise RunFolderError(f"{path} is not evaluated yet: run `subgrid run {path}` first")
    files = markdown_files(report_data(folder), page)
    writable = os.access(folder.path, os.W_OK)
    with RunLock(folder.path) if writable else contextlib.nullcontext():
        manifest = folder.manifest()
        known: Mapping[str, list[str]] = manifest.get(_RECORD, {})
        _refuse_others(files, known)
        if writable:  # first: a file that is there is known, whatever happens
            new = {
                _key(target): [*known.get(_key(target), [])[-1:], hashlib.sha256(data).hexdigest()]
                for target, data in files.items()
            }
            folder.write_manifest({**manifest, _RECORD: {**known, **new}})
        for target, data in files.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(target, data)
    return [target for target in files if target != page]


def _refuse_others(files: Mapping[Path, bytes], known: Mapping[str, list[str]]) -> None:
    others = [
        str(target)
        for target in files
        if os.path.lexists(target)
        and not (target.is_file() and file_hash(target) in known.get(_key(target), ()))
    ]
    if others:
        raise ConfigError(
            f"--markdown would overwrite {', '.join(others)}, which this run did not write or "
            "which was changed since. Move it away or choose another name."
        )


def _key(target: Path) -> str:
    return str(target.resolve())
