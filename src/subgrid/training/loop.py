"""The training loop: any network, any loss; resumable to the same bits after a kill."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np

from subgrid.computing import lenient, unusual
from subgrid.computing import settings as settings_of_jax
from subgrid.provenance import load_arrays, structure_text
from subgrid.randomness import require_seed
from subgrid.training.checkpoint import Checkpoints, fill, tree_hash
from subgrid.training.plan import Plan
from subgrid.training.run import FitResult, Parts, Run
from subgrid.training.trackers import Callback, JsonLines
from subgrid.training.update import Loss, data_mesh


@lenient()
def fit(
    network: Any,
    plan: Plan,
    *,
    loss: Loss,
    batches: Callable[[int], Any],
    validate: Callable[[Any], Mapping[str, float]],
    folder: str | Path,
    seed: SupportsIndex,
    settings: Mapping[str, Any] | None = None,
    where: Callable[[Any], Any] | None = None,
    callbacks: Sequence[Callback] = (),
    label: str = "",
) -> FitResult:
    """Return the network trained for `plan.updates` updates, as it was at its best validation loss.

    `loss(network, batch, keys)`: mean over the batch of what is to be made small, or a pair of it
    and a dict of further scalars for the records; keys[b] is the random key of sample b.
    `batches(n)`: the batch of update n, a PyTree of arrays with equal first axes; it must depend on
    nothing else, for that is what makes a resumed run equal to an uninterrupted one.
    `validate(network)`: a dict with "loss", which selects the weights that are kept.
    `where(network)`: the part whose weights are trained; all by default. `settings`: plain values
    that decide the run's numbers beyond the arguments given here.

    Called again on the same folder it goes on from the last checkpoint, or returns at once if the
    run is done. Files: metrics.jsonl, best.safetensors, checkpoints/.

    Raises ConfigError for a bad seed, RunFolderError for a folder of another run, of other devices
    or of other settings of JAX, CorruptFileError for a damaged one, UnstableRunError if more than
    `plan.most_skipped` updates in a row have a loss or gradient that is not finite, or if no
    validation loss is finite, and NothingLearnedError if no update took effect. `best_update` 0
    says that no update was better than what was given: no error, but see `training_remarks`.
    """
    seed = require_seed(seed)
    folder, mesh = Path(folder), data_mesh()
    folder.mkdir(parents=True, exist_ok=True)
    deciding = {
        **(settings or {}),
        **plan.settings(),
        "seed": seed,
        **unusual(settings_of_jax()),  # the usual ones are not told, as before there were these
        "devices": f"{mesh.size} {jax.default_backend()}",
        "network": tree_hash(network),
        "structure": structure_text(network),
    }
    run = Run(
        plan=plan,
        parts=Parts.split(network, where),
        loss=loss,
        batches=batches,
        validate=validate,
        seed=seed,
        callbacks=(JsonLines(folder / "metrics.jsonl", plan.validate_every), *callbacks),
        label=label,
        mesh=mesh,
        folder=folder,
        checkpoints=Checkpoints(folder, deciding),
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
