"""A run whose frames come back as an xarray dataset, segment by segment."""

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, SupportsIndex

import jax
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree

from subgrid.computing import lenient
from subgrid.errors import UnstableRunError
from subgrid.stepping.model import Model
from subgrid.stepping.rollout import advance_segment, frames_of
from subgrid.stepping.split import SplitModel

if TYPE_CHECKING:
    import xarray

SEGMENT_STEPS = 2000


@lenient()
def simulate(
    model: Model | SplitModel,
    state: PyTree,
    steps: SupportsIndex,
    save_every: SupportsIndex = 1,
    progress: bool | Callable[[int, int], None] = True,
    key: PRNGKeyArray | None = None,
) -> "xarray.Dataset":
    """Run a model and return its frames on the host, with CF metadata.

    Runs compiled segments of about 2000 steps; between them frames move to the host and `progress`
    is told (steps done, steps): True prints a line on standard error. Frame 0 is the initial state.
    A run that blows up ends there: the dataset holds the frames before it and the attribute
    `blew_up_at` (the step; -1 otherwise). Raises ValueError if `steps` is no positive multiple of
    `save_every`, UnstableRunError if the initial state itself is out of bounds, ShapeError unless
    it is one state of the model's system.
    """
    frames, every = frames_of(steps, save_every)
    report = _printer() if progress is True else progress or (lambda done, total: None)
    carry = model.init(state, key=key)
    if not bool(model.healthy(carry)):
        raise UnstableRunError("the initial state is not finite or out of its bounds")
    per_segment = min(frames, max(1, SEGMENT_STEPS // every))
    saved, done = [jax.tree.map(lambda leaf: np.asarray(leaf)[None], state)], 0
    while done < frames and int(carry.blew_up_at) < 0:
        count = min(per_segment, frames - done)
        carry, states = advance_segment(model, carry, count, every)
        saved.append(jax.tree.map(np.asarray, states))
        done += count
        report(done * every, frames * every)
    blew_up_at = int(carry.blew_up_at)
    healthy = 1 + (done if blew_up_at < 0 else (blew_up_at - 1) // every)
    return _dataset(model, saved, healthy, every, blew_up_at)


def _dataset(
    model: Model | SplitModel, saved: list[Any], frames: int, save_every: int, blew_up_at: int
) -> "xarray.Dataset":
    import xarray

    system = model.system  # type: ignore[attr-defined]
    leaves = [np.concatenate(parts) for parts in zip(*map(jax.tree.leaves, saved), strict=True)]
    times = np.arange(frames) * save_every * model.dt
    since = {"long_name": "time since the start", "units": system.time_units, "axis": "T"}
    coordinates: dict[str, Any] = {"time": ("time", times, since)}
    for name, (values, attributes) in system.coordinates().items():
        coordinates[name] = (name, values, attributes)
    data = {
        variable.name: (("time", *variable.dims), leaf[:frames], variable.attributes())
        for variable, leaf in zip(system.variables, leaves, strict=True)
    }
    attributes = {
        "Conventions": "CF-1.11",
        "source": f"subgrid {type(system).__name__}",
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
