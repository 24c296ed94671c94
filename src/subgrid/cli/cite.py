"""`subgrid cite`: what to cite for a run."""

from pathlib import Path


def command(source: str, /) -> None:
    """Print the BibTeX of subgrid and of the papers behind the parts that a run uses.

    Parameters
    ----------
    source
        A run folder, a preset or a config file.
    """
    from subgrid.config import config_from_dict, is_run_folder, read_source
    from subgrid.recipes.citations import citations

    # no trust is asked for: nothing that a config or a bundle names is imported here
    tables, label = read_source(source)
    tables.pop("profiles", None)
    config, taken = config_from_dict(tables, label), {}
    if config.pretrained() and is_run_folder(Path(source)):
        from subgrid.experiment.folder import RunFolder
        from subgrid.recipes.pretrained import copies  # imports JAX, as bundles do

        taken = copies(RunFolder(Path(source), config))
    print("\n\n".join(citations(config, taken)))
