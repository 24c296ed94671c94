"""`subgrid new`: a preset as a file of your own."""

import re
import shlex
import unicodedata
from pathlib import Path

from subgrid.config import preset_text
from subgrid.errors import ConfigError
from subgrid.provenance import write_atomic


def command(preset: str, file: Path, /) -> None:
    """Write a preset to a file of your own, to change it.

    Parameters
    ----------
    preset
        The preset to start from (see `subgrid list presets`).
    file
        The file to write, ending in .toml. An existing one is never overwritten.
    """
    if file.suffix != ".toml":
        raise ConfigError(f"{file}: must end in .toml")
    if file.exists():
        raise ConfigError(f"{file} exists and is not overwritten. Choose another name.")
    if not file.parent.is_dir():
        raise ConfigError(f"{file}: the folder {file.parent} does not exist")
    # the name decides the run folder: yours must not be the preset's
    name = _name(file)
    text = re.sub(r'^name = ".*"$', f'name = "{name}"', preset_text(preset), count=1, flags=re.M)
    write_atomic(file, text)
    called = "" if name == file.stem else f", an experiment called {name}"
    print(f"wrote {file}{called}. Run it with: subgrid run {shlex.quote(str(file))}")


def _name(file: Path) -> str:
    """Return the file's name as an experiment can bear it: plain letters, `-` for what is none.

    Raises ConfigError if nothing is left of it.
    """
    plain = unicodedata.normalize("NFKD", file.stem).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", plain).strip("-._")[:60]
    if not name:
        raise ConfigError(
            f"{str(file)!r}: an experiment is named after its file, and this name has no letter "
            "from A to Z and no digit. Choose another one."
        )
    return name
