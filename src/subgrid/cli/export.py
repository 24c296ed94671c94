"""`subgrid export`: a trained model of a run, for use elsewhere."""

from pathlib import Path

from subgrid.cli.options import WholeNumber


def command(
    run: Path, model: str, /, *, out: Path, to: str = "bundle", seed: WholeNumber | None = None
) -> None:
    """Write a trained model of an evaluated run for use elsewhere.

    Parameters
    ----------
    run
        The run folder.
    model
        The name of a learned model of its config.
    out
        The folder to write, absent or empty.
    to
        What to write. bundle: model.json, weights.safetensors, card.md.
    seed
        Which of the initialisations. Default: the one with the best validation loss.
    """
    from subgrid.experiment import export_model

    number = export_model(run, model, out, to=to, seed=seed)
    print(f"wrote {model}, seed {number}, to {out}")
