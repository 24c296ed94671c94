"""`subgrid export`: a trained model of a run, for use elsewhere."""

from pathlib import Path

from subgrid.cli.options import Flag, WholeNumber


def command(
    run: Path,
    model: str,
    /,
    *,
    out: Path,
    to: str = "bundle",
    seed: WholeNumber | None = None,
    trust: Flag = False,
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
    trust
        Let the run folder run code that is not subgrid's, as module:Class names it.
    """
    from subgrid.recipes import export_model

    number = export_model(run, model, out, to=to, seed=seed, trust=trust)
    print(f"wrote {model}, seed {number}, to {out}")
