"""`subgrid train`: one stage of a run."""

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
    """Train the learned closures on the data.

    Parameters
    ----------
    source
        A run folder, or a preset or config file that `subgrid run` would take.
    force
        Remove the learned models and what was made from it, and make it again.
    """
    run_stage("train", source, options, force)
