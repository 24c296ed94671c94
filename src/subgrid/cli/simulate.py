"""`subgrid simulate`: one stage of a run."""

from typing import Annotated

from cyclopts import Parameter

from subgrid.cli.options import RunOptions
from subgrid.cli.stage import run_stage

_NO_OPTIONS = RunOptions()


def command(
    source: str,
    /,
    *,
    options: RunOptions = _NO_OPTIONS,
    force: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
) -> None:
    """Simulate the truth and write the data.

    Parameters
    ----------
    source
        A run folder, or a preset or config file that `subgrid run` would take.
    force
        Remove the data of every split and what was made from it, and make it again.
    """
    run_stage("simulate", source, options, force)
