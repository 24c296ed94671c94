"""The options that the commands working on a run share."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, Token

from subgrid.config import Config, is_preset, is_run_folder, load_config, profile_names
from subgrid.errors import ConfigError


def _whole(_: type, tokens: Sequence[Token]) -> int:
    """Return what was given as a whole number; the usual conversion rounds 1.5 to 2."""
    text = tokens[0].value
    if not re.fullmatch(r"[+-]?\d{1,18}", text):
        raise ValueError(f"got {text}; must be a whole number, such as 2")
    return int(text)


WholeNumber = Annotated[int, Parameter(converter=_whole)]
Flag = Annotated[bool, Parameter(negative=(), show_default=False)]


@Parameter(name="*")
@dataclass(frozen=True)
class RunOptions:
    """Which config, where to, and with how many processes.

    Parameters
    ----------
    profile
        Size of a preset: tiny (seconds), laptop (minutes), or another one that it defines.
    out
        Run folder. Default: runs/NAME-PROFILE.
    set
        Change one setting, as in --set training.updates=100. May be given more than once.
    workers
        Simulate in this many processes, and train and test this many networks at once.
    dask
        Simulate on the Dask cluster whose scheduler has this address.
    data_from
        Take over the data of another finished run with the same truth, coarsening and seed.
    noise_from
        Train with the noise that the calibration of another finished run chose.
    trust
        Let a run folder or a bundle run code that is not subgrid's, as module:Class names it. Only
        for those from people whose programs you would run.
    """

    profile: str | None = None
    out: Path | None = None
    set: Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)] = ()
    workers: WholeNumber = 1
    dask: str | None = None
    data_from: Path | None = None
    noise_from: Path | None = None
    trust: Flag = False


def resolve(source: str, options: RunOptions) -> tuple[Config, Path]:
    """Return the config and the run folder that a command line asks for.

    `source` is a preset, a config file or an existing run folder. Raises ConfigError for options
    that a run folder does not take, since its config is fixed, and for less than one worker, and
    UntrustedCodeError for a run folder that names code of its own, unless it is trusted.
    """
    if options.workers < 1:
        raise ConfigError(f"--workers {options.workers}: must be at least 1")
    path = Path(source)
    if path.is_dir() and (is_run_folder(path) or not is_preset(source)):
        if options.profile or options.set or options.out or options.noise_from:
            raise ConfigError(
                f"{source} is a run folder: its config is fixed, so --profile, --set, --noise-from "
                "and --out do not apply. Give the preset or the config file with another --out "
                "instead."
            )
        from subgrid.experiment import RunFolder

        return RunFolder.open(path, options.trust).config, path
    profile = options.profile
    if profile is None and "laptop" in profile_names(source):
        profile = "laptop"
    config = load_config(source, profile, options.set)
    if options.noise_from is not None:
        from subgrid.recipes import with_chosen_noise

        config = with_chosen_noise(config, options.noise_from)
    return config, options.out or Path("runs") / config.label
