"""Runs one stage for the commands simulate, train, evaluate and report."""

from subgrid.cli.options import RunOptions, resolve
from subgrid.cli.screen import progress_display


def run_stage(stage: str, source: str, options: RunOptions, force: bool) -> None:
    """Run one stage of the run that `source` and `options` name; earlier stages must be done."""
    config, out = resolve(source, options)
    from subgrid.experiment import run_experiment

    with progress_display() as progress:
        run_experiment(
            config,
            out,
            stages=(stage,),
            force=force,
            progress=progress,
            workers=options.workers,
            dask=options.dask,
            data_from=options.data_from,
        )
