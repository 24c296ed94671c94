"""The training loop: any network, any loss; resumable to the same bits after a kill."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from subgrid.errors import ConfigError
from subgrid.provenance import load_arrays
from subgrid.randomness import require_seed
from subgrid.training.checkpoint import Checkpoints, fill, tree_hash
from subgrid.training.optimisers import Optimiser
from subgrid.training.run import FitResult, Parts, Run
from subgrid.training.trackers import Callback, JsonLines
from subgrid.training.update import Loss, data_mesh

MOST_SKIPPED = 100


def fit(
    network: Any,
    *,
    loss: Loss,
    batches: Callable[[int], Any],
    validate: Callable[[Any], Mapping[str, float]],
    optimiser: Optimiser,
    updates: int,
    folder: str | Path,
    seed: int,
    settings: Mapping[str, Any] | None = None,
    where: Callable[[Any], Any] | None = None,
    validate_every: int = 250,
    checkpoint_every: int = 250,
    ema: float | None = None,
    chunk: int | None = None,
    callbacks: Sequence[Callback] = (),
    label: str = "",
    most_skipped: int = MOST_SKIPPED,
) -> FitResult:
    """Return the network trained for `updates` updates, as it was at its best validation loss.

    `loss(network, batch, keys)`: mean over the batch of what is to be made small, or a pair of it
    and a dict of further scalars for the records; keys[b] is the random key of sample b.
    `batches(n)`: the batch of update n, a PyTree of arrays with equal first axes; it must depend on
    nothing else, for that is what makes a resumed run equal to an uninterrupted one.
    `validate(network)`: a dict with "loss", which selects the weights that are kept.
    `where(network)`: the part whose weights are trained; all by default. `settings`: plain values
    that decide the run's numbers beyond the arguments given here; a folder made with others is
    refused.
    `validate_every`, `checkpoint_every`: in updates; metrics get a line at each validation.
    `ema`: decay of an exponential moving average of the weights, used for validation and kept.
    `chunk`: samples per gradient evaluation on each device (see `make_update`).

    Called again on the same folder it goes on from the last checkpoint, or returns at once if the
    run is done. Files: metrics.jsonl, best.safetensors, checkpoints/.

    Raises ConfigError for bad arguments, RunFolderError for a folder of another run,
    CorruptFileError for a damaged one, and UnstableRunError if more than `most_skipped` updates in
    a row have a loss or gradient that is not finite, or if no validation loss is finite.
    """
    require_seed(seed)
    _check(
        ema,
        chunk=chunk,
        updates=updates,
        validate_every=validate_every,
        checkpoint_every=checkpoint_every,
        most_skipped=most_skipped,
    )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        **(settings or {}),
        "updates": updates,
        "seed": seed,
        "ema": ema,
        "validate_every": validate_every,
        "optimiser": dict(optimiser.settings()),
        "network": tree_hash(network),
    }
    run = Run(
        parts=Parts.split(network, where),
        loss=loss,
        batches=batches,
        validate=validate,
        optimiser=optimiser,
        updates=updates,
        seed=seed,
        validate_every=validate_every,
        checkpoint_every=checkpoint_every,
        ema=ema,
        chunk=chunk,
        callbacks=(JsonLines(folder / "metrics.jsonl"), *callbacks),
        label=label,
        most_skipped=most_skipped,
        mesh=data_mesh(),
        folder=folder,
        checkpoints=Checkpoints(folder, settings),
    )
    return run.result(run.train(*run.start()))


def load_best(folder: str | Path, like: Any) -> Any:
    """Return the network `like` with the best weights of the training run in `folder`.

    Raises FileNotFoundError if there are none yet and CorruptFileError if they are damaged or of
    another network.
    """
    path = Path(folder) / "best.safetensors"
    arrays, _ = load_arrays(path)
    return jax.tree.map(
        lambda leaf: jnp.asarray(leaf) if isinstance(leaf, np.ndarray) else leaf,
        fill(like, arrays, path),
    )


def _check(ema: float | None, *, chunk: int | None, **counts: int) -> None:
    if chunk is not None:
        counts["chunk"] = chunk
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigError(f"{name} is {value!r}; it must be a whole number of at least 1.")
    if ema is not None and not 0 < ema < 1:
        raise ConfigError(f"ema is {ema!r}; it must lie between 0 and 1, for example 0.999.")
