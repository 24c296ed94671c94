"""What a closure costs: time per step of each model, and its size."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PyTree

from subgrid.evaluation.survival import DAYS, TimeUnit
from subgrid.randomness import random_key
from subgrid.stepping import AbstractModel, advance_segment, see_nothing


class StepCost(NamedTuple):
    """Seconds per step of one member and the ratio to the baseline measured in the same run."""

    seconds: float
    ratio: float

    def per_unit(self, dt: float, unit: TimeUnit) -> float:
        """Return the seconds of one member for a `unit` of simulated time, in steps of `dt`."""
        return self.seconds * unit.length / dt


class NetworkSize(NamedTuple):
    """How large a network is: its `weights`, and floating-point operations per cell and step.

    The cells are those of the closure's grid; NaN for a network that does not say its operations.
    """

    weights: int
    operations: float


@dataclass(frozen=True)
class Timing:
    """What the report says of the costs: `dt` of the coarse model, the `device` in words.

    `unit`: what time is counted in. `networks`: model → size, of the learned ones; `finer_grids`:
    whether models without a closure on finer grids are among those compared, what the cost of a
    closure could buy instead.
    """

    dt: float
    device: str
    networks: Mapping[str, NetworkSize] = field(default_factory=dict)
    finer_grids: bool = False
    unit: TimeUnit = DAYS

    @property
    def length(self) -> str:
        """What the cost is given for: "simulated day"."""
        return "simulated day" if self.unit.name == "days" else "unit of time"

    @property
    def step(self) -> str:
        """The time step in words."""
        return f"{self.dt:g} s" if self.unit.name == "days" else f"{self.dt:g}"


def step_cost(
    models: Mapping[str, AbstractModel],
    state: PyTree | dict[str, PyTree],
    *,
    baseline: str = "none",
    steps: int = 32,
    repeats: int = 9,
) -> dict[str, StepCost]:
    """Return the cost per step of each model: the median of `repeats` interleaved timings.

    `state`: to start from, one for all models or a dict of one per model.

    Each timing is one compiled segment of `steps` steps of one member from `state`, after a first
    call that compiles. The models take turns, so that a busy machine slows all of them alike; the
    ratio is the median over turns of the ratio to `baseline` in the same turn. Raises KeyError if
    `baseline` is not among the models.
    """
    if baseline not in models:
        raise KeyError(f"baseline {baseline!r} is not among the models {', '.join(models)}")
    states = state if isinstance(state, dict) else dict.fromkeys(models, state)
    key = random_key(0)  # for closures that draw
    starts = {
        name: eqx.filter_jit(model.init)(states[name], key=key) for name, model in models.items()
    }
    timings = np.zeros((repeats + 1, len(models)))
    for turn in range(repeats + 1):
        for column, (name, model) in enumerate(models.items()):
            begin = time.perf_counter()
            carry, _ = advance_segment(model, starts[name], 1, steps, see_nothing)
            jax.block_until_ready(carry)
            timings[turn, column] = (time.perf_counter() - begin) / steps
    medians = np.median(timings[1:], axis=0)  # the first turn compiles
    alone = timings[1:, [list(models).index(baseline)]]
    ratios = np.median(timings[1:] / alone, axis=0)
    return {
        name: StepCost(float(seconds), float(ratio))
        for name, seconds, ratio in zip(models, medians, ratios, strict=True)
    }
