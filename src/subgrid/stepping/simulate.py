"""A run whose frames come back as an xarray dataset, segment by segment."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree
from numpy.typing import NDArray

from subgrid.computing import lenient
from subgrid.errors import UnstableRunError
from subgrid.stepping.driver import Done, drive, segments_of
from subgrid.stepping.kept_run import KeptRun, run_mark
from subgrid.stepping.model import AbstractModel
from subgrid.stepping.rollout import frames_of

if TYPE_CHECKING:
    import xarray

SEGMENT_STEPS = 2000


@lenient()
def simulate(
    model: AbstractModel,
    state: PyTree,
    steps: SupportsIndex,
    save_every: SupportsIndex = 1,
    progress: bool | Callable[[int, int], None] = True,
    key: PRNGKeyArray | None = None,
    forcing: PyTree = None,
    file: str | Path | None = None,
) -> "xarray.Dataset":
    """Run a model and return its frames on the host, with CF metadata.

    Runs compiled segments of about 2000 steps; between them frames move to the host and
    `progress(steps done, steps)` is called: True prints a line on standard error. Frame 0 is the
    initial state. `forcing`: a PyTree with a leading axis of `steps`, by default what the model
    prescribes. `file` (`.safetensors`, with `.frames` beside it): where a segment is kept as soon
    as it is done; a run that was killed goes on from there, and ends with the same bits.

    A run that blows up ends there: the dataset holds the frames before it and the attribute
    `blew_up_at` (the step; -1 otherwise). Raises ValueError if `steps` is no positive multiple of
    `save_every`, UnstableRunError if the initial state itself is beyond its limits, ShapeError
    unless it is one state of the model's system, RunFolderError if `file` is of another run and
    CorruptFileError if it is damaged.
    """
    frames, every = frames_of(steps, save_every)
    report = _printer() if progress is True else progress or (lambda done, total: None)
    carry = model.init(state, key=key)
    if not bool(model.healthy(carry)):
        raise UnstableRunError("the initial state is not finite or beyond its limits")
    most = min(frames, max(1, SEGMENT_STEPS // every))
    counts = [most] * (frames // most) + [frames % most] * (frames % most > 0)
    saved = [_named(jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], state))]
    kept = None
    if file is not None:
        kept = KeptRun(file, run_mark((model, carry, forcing), steps=frames * every, every=every))
        if kept.exists():
            parts, _, carry = kept.restored(carry)
            saved += parts

    def keep(done: Done) -> bool:
        saved.append(_named(done.seen))
        if kept is not None:
            kept.add(saved[-1], {}, done.after)
        report(done.segment.end, frames * every)
        return int(done.after.blew_up_at) < 0

    ahead = [s for s in segments_of(counts, every) if s.end > int(carry.step)]
    if int(carry.blew_up_at) < 0:
        carry = drive(model, carry, ahead, keep, forcing=forcing)
    leaves = [np.concatenate([part[name] for part in saved]) for name in saved[0]]
    blew_up_at = int(carry.blew_up_at)
    healthy = len(leaves[0]) if blew_up_at < 0 else 1 + (blew_up_at - 1) // every
    return _dataset(model, [leaf[:healthy] for leaf in leaves], every, blew_up_at)


def _named(states: PyTree) -> dict[str, NDArray]:
    """Return the arrays of stacked states [frame, ...] by number, in their order."""
    leaves = jax.tree.leaves(states)
    return {f"{number:03d}": np.asarray(leaf) for number, leaf in enumerate(leaves)}


def _dataset(
    model: AbstractModel, leaves: list[NDArray], save_every: int, blew_up_at: int
) -> "xarray.Dataset":
    import xarray

    times = np.arange(len(leaves[0])) * save_every * model.dt
    since = {"long_name": "time since the start", "units": model.time_units, "axis": "T"}
    coordinates: dict[str, Any] = {"time": ("time", times, since)}
    for name, (values, attributes) in model.coordinates().items():
        coordinates[name] = (name, values, attributes)
    data = {
        variable.name: (("time", *variable.dims), leaf, variable.attributes())
        for variable, leaf in zip(model.variables, leaves, strict=True)
    }
    attributes = {
        "Conventions": "CF-1.11",
        "source": f"subgrid {model.name}",
        "time_step": model.dt,
        "blew_up_at": blew_up_at,
    }
    return xarray.Dataset(data, coordinates, attributes)


def _printer() -> Callable[[int, int], None]:
    start = time.monotonic()

    def report(done: int, total: int) -> None:
        left = (time.monotonic() - start) * (total - done) / done
        end = "\n" if done == total else "\r" if sys.stderr.isatty() else "\n"
        text = f"step {done} of {total}, {left:.0f} s left"
        print(text, end=end, file=sys.stderr, flush=True)

    return report
