"""`subgrid evaluate`: one stage of a run."""

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
    """Test every closure offline and online on held-out trajectories.

    Parameters
    ----------
    source
        A run folder, or a preset or config file that `subgrid run` would take.
    force
        Remove the scores and what was made from it, and make it again.
    """
    run_stage("evaluate", source, options, force)
