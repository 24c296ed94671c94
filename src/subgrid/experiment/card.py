"""The model card: what a learned closure is, what it was made from, and where it may be used."""

from typing import Any

from subgrid.config import LearnedConfig
from subgrid.experiment.folder import RunFolder


def model_card(folder: RunFolder, model: LearnedConfig, number: int, result: Any) -> str:
    """Return the card of one trained closure as Markdown; `result` is that of its training."""
    config = folder.config
    truth = config.truth
    plans = [config.training_of(model, stage) for stage in range(len(model.networks))]
    trained = "\n".join(
        dict.fromkeys(
            f"- training: {plan.updates} updates of {plan.batch_size} samples, {plan.optimiser},\n"
            f"  learning rate {plan.learning_rate:g} ({plan.schedule}), noise {plan.noise:g}"
            for plan in plans
        )
    )
    fits = "\n".join(
        f"- network {index}: best validation loss {fit.best_loss:.5g} at update "
        f"{fit.best_update} of {fit.updates}, {fit.samples} samples seen, {fit.skipped} updates "
        "skipped"
        for index, fit in enumerate(result.fits)
    )
    data = folder.manifest()["stages"]["simulate"]["splits"]["train"]["content_hash"]
    size = config.coarse_shapes[0]
    constants = ", ".join(f"{name} = {value}" for name, value in truth.constants.items())
    return f"""# {model.name}, seed {number}

A closure for {truth.system} ({truth.configuration}{"; " + constants if constants else ""}) on
{size[1]} x {size[0]} cells: it maps the coarse state to the subgrid forcing, which is added to the
tendency.

- experiment: {config.label}, seed {config.seed}
- networks: {", ".join(model.networks)} ({model.arrangement}, width {model.width:g}), on
  {", ".join(map(str, model.scales(config.coarse)))} cells
- output: zero mean {model.zero_mean}, flux form {model.flux_form}
- data: {config.data.trajectories.train} trajectories of {truth.frames} frames from
  {truth.nx} x {config.ny} cells, coarsened by {config.coarse.operator}; content {data}
{trained}
{fits}

Losses are mean squared errors in units of the variance of the target. The scalers inside hold for
this system, grid and coarsening; elsewhere the closure is untested. Load it with
`subgrid.closures.load_closure(folder)`.
"""
