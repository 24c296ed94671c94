"""`subgrid run`: from a config to a report."""

from typing import Annotated

from cyclopts import Parameter

from subgrid.cli.options import RunOptions, resolve
from subgrid.cli.screen import progress_display
from subgrid.cli.stage import NO_OPTIONS


def command(
    source: str,
    /,
    *,
    options: RunOptions = NO_OPTIONS,
    dry_run: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
) -> None:
    """Run an experiment from its config to its report, or go on with it.

    Parameters
    ----------
    source
        A preset (see `subgrid list presets`), a config file ending in .toml, or a run folder.
    dry_run
        Only print the steps, operations, memory, disk and time that the run would take here.
    """
    config, out = resolve(source, options)
    if dry_run:
        from subgrid.cli.estimate import print_plan

        print_plan(config, out, options.workers, options.data_from, options.trust)
        return
    from subgrid.experiment import run_experiment

    with progress_display() as progress:
        run_experiment(
            config,
            out,
            progress=progress,
            workers=options.workers,
            dask=options.dask,
            data_from=options.data_from,
            trust=options.trust,
        )
