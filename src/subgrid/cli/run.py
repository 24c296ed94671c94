"""`subgrid run`, from a config to a report, and the commands that do one stage of the same."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from subgrid.cli.options import Flag, RunOptions, resolve
from subgrid.cli.screen import progress_display
from subgrid.config import Config

_NO_OPTIONS = RunOptions()
Source = Annotated[
    str, Parameter(help="A run folder, or a preset or config file that `subgrid run` would take.")
]


def run(source: str, /, *, options: RunOptions = _NO_OPTIONS, dry_run: Flag = False) -> None:
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
    else:
        _work(config, out, options)


def simulate(source: Source, /, *, options: RunOptions = _NO_OPTIONS, force: Flag = False) -> None:
    """Simulate the truth and write the data.

    Parameters
    ----------
    force
        Remove the data of every split and what was made from them, and make them again.
    """
    _work(*resolve(source, options), options, stages=("simulate",), force=force)


def train(source: Source, /, *, options: RunOptions = _NO_OPTIONS, force: Flag = False) -> None:
    """Train the learned closures on the data.

    Parameters
    ----------
    force
        Remove the learned models and what was made from them, and make them again.
    """
    _work(*resolve(source, options), options, stages=("train",), force=force)


def evaluate(source: Source, /, *, options: RunOptions = _NO_OPTIONS, force: Flag = False) -> None:
    """Test every closure offline and online.

    Parameters
    ----------
    force
        Remove the scores and what was made from them, and make them again.
    """
    _work(*resolve(source, options), options, stages=("evaluate",), force=force)


def report(
    source: Source,
    /,
    *,
    options: RunOptions = _NO_OPTIONS,
    force: Flag = False,
    markdown: Path | None = None,
) -> None:
    """Write report.html.

    Parameters
    ----------
    force
        Remove report.html and what was made from it, and make it again.
    markdown
        Write the report as this Markdown file too, its images in `figures` beside it.
    """
    config, out = resolve(source, options)
    _work(config, out, options, stages=("report",), force=force)
    if markdown is not None:
        from subgrid.experiment import RunFolder
        from subgrid.recipes import make_markdown

        make_markdown(RunFolder.create(out, config, options.trust), markdown)


def _work(config: Config, out: Path, options: RunOptions, **what: Any) -> None:
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
            **what,
        )
