"""The commands simulate, train and evaluate, which are one but for the stage; and what runs it."""

from collections.abc import Callable
from typing import Annotated

from cyclopts import Parameter

from subgrid.cli.options import RunOptions, resolve
from subgrid.cli.screen import progress_display

NO_OPTIONS = RunOptions()


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
            trust=options.trust,
        )


def stage_command(stage: str, made: str) -> Callable[..., None]:
    """Return the command of a stage that has `made` something."""

    def command(
        source: str,
        /,
        *,
        options: RunOptions = NO_OPTIONS,
        force: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
    ) -> None:
        run_stage(stage, source, options, force)

    command.__doc__ = f"""Run the stage.

    Parameters
    ----------
    source
        A run folder, or a preset or config file that `subgrid run` would take.
    force
        Remove {made} and what was made from it, and make it again.
    """
    return command


simulate = stage_command("simulate", "the data of every split")
train = stage_command("train", "the learned models")
evaluate = stage_command("evaluate", "the scores")
