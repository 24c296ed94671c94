"""`subgrid cite`: what to cite for a run."""


def command(source: str, /) -> None:
    """Print the BibTeX of subgrid and of the papers behind the parts that a run uses.

    Parameters
    ----------
    source
        A run folder, a preset or a config file.
    """
    from subgrid.config import load_config
    from subgrid.experiment.citations import citations

    print("\n\n".join(citations(load_config(source))))
