"""`subgrid new`: a preset as a file of your own."""

import re
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
    text = re.sub(
        r'^name = ".*"$', f'name = "{file.stem}"', preset_text(preset), count=1, flags=re.M
    )
    write_atomic(file, text)
    print(f"wrote {file}. Run it with: subgrid run {file}")
