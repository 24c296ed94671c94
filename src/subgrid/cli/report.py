"""`subgrid report`: one stage of a run."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from subgrid.cli.options import RunOptions, resolve
from subgrid.cli.stage import NO_OPTIONS, run_stage


def command(
    source: str,
    /,
    *,
    options: RunOptions = NO_OPTIONS,
    force: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
    markdown: Path | None = None,
) -> None:
    """Write report.html.

    Parameters
    ----------
    source
        A run folder, or a preset or config file that `subgrid run` would take.
    force
        Remove report.html and what was made from it, and make it again.
    markdown
        Write the report as this Markdown file too, its images in `figures` beside it.
    """
    run_stage("report", source, options, force)
    if markdown is not None:
        from subgrid.experiment import RunFolder
        from subgrid.recipes import make_markdown

        config, out = resolve(source, options)
        make_markdown(RunFolder.create(out, config, options.trust), markdown)
