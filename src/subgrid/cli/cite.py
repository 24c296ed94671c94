"""`subgrid cite`: what to cite for a run."""

from pathlib import Path


def command(source: str, /) -> None:
    """Print the BibTeX of subgrid and of the papers behind the parts that a run uses.

    Parameters
    ----------
    source
        A run folder, a preset or a config file.
    """
    from subgrid.config import is_run_folder, load_config
    from subgrid.experiment.citations import citations

    config, taken = load_config(source), {}
    if config.pretrained() and is_run_folder(Path(source)):
        from subgrid.experiment.folder import RunFolder
        from subgrid.experiment.pretrained import copies  # imports JAX, as bundles do

        taken = copies(RunFolder(Path(source), config))
    print("\n\n".join(citations(config, taken)))
