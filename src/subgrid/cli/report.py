"""`subgrid report`: one stage of a run."""

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
    """Write report.html.

    Parameters
    ----------
    source
        A run folder, or a preset or config file that `subgrid run` would take.
    force
        Remove report.html and what was made from it, and make it again.
    """
    run_stage("report", source, options, force)
