"""The kernels of a run, a step and the passes of a network: counted, and timed on this machine."""

import functools
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from subgrid.config import LearnedConfig, Parts
from subgrid.nn import flops
from subgrid.randomness import random_key
from subgrid.stepping import advance_segment, see_nothing

_TIMED_STEPS = 20


@dataclass(frozen=True)
class Cost:
    """What work takes: floating-point operations, seconds, and bytes while it runs."""

    operations: float = 0.0
    seconds: float = 0.0
    memory: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.operations + other.operations,
            self.seconds + other.seconds,
            max(self.memory, other.memory),
        )

    def __mul__(self, times: float | int) -> "Cost":
        return Cost(self.operations * times, self.seconds * times, self.memory)


class Kernels:
    """Counts kernels and times one of each make, as many `at_once` as a stage runs.

    Others of the make take as much per operation. Operations are NaN where a part of a network does
    not say its own. `parts`: the systems of the config.
    """

    def __init__(self, parts: Parts, at_once: int):
        self.parts, self.at_once = parts, at_once
        self._timed: dict[Any, Cost] = {}
        self._networks: dict[str, tuple[Any, int]] = {}

    @functools.cached_property
    def alone(self) -> "Kernels":
        """The same, timed while nothing runs beside."""
        return Kernels(self.parts, 1)

    def network(self, model: LearnedConfig) -> tuple[Any, int]:
        """Return the untrained network of a model, and how many channels it sees."""
        if model.name not in self._networks:
            config, coarse = self.parts.config, self.parts.coarse[0]
            seen = model.channels(config, coarse)[0]
            self._networks[model.name] = model.network(config, coarse, random_key(0)), seen
        return self._networks[model.name]

    def make(self, model: LearnedConfig) -> Any:
        """Return what networks that take equally long per operation have in common.

        Of the many that a section of a recipe adds, one stands for all.
        """
        if model in self.parts.config.added_models():
            return model.arrangement
        same = {"networks", "arrangement", "width", "sizes", "features"}
        return tuple((name, str(value)) for name, value in model.model_dump(include=same).items())

    def step(self, system: Any, dt: float, closure: Any = None, name: str | None = None) -> Cost:
        """Return what a step takes; `name`: of its closure, by which it is timed once."""
        key = "step", type(system), system.domain.shape, name
        if key not in self._timed:
            model = system.model(dt, closure)
            carry = model.init(system.initial_state(key=random_key(0)), key=random_key(0))
            seconds = timed(
                lambda: advance_segment(model, carry, 1, _TIMED_STEPS, see_nothing), self.at_once
            )
            self._timed[key] = Cost(system.step_operations, seconds / _TIMED_STEPS)
        return self._timed[key]

    def forward(self, network: Any, sample: tuple[int, ...], make: Any) -> Cost:
        """Return what a network takes for a sample of this shape."""
        work = _operations(network, sample[1:])

        def timing() -> Cost:
            field, apply = jnp.ones(sample, jnp.float32), eqx.filter_jit(network)
            return Cost(work, timed(lambda: apply(field), self.at_once))

        return self._scaled(("forward", make), work, timing)

    def gradient(self, network: Any, sample: tuple[int, ...], chunk: int, make: Any) -> Cost:
        """Return what a gradient takes for each of `chunk` samples, three forward passes' work."""
        work = 3 * _operations(network, sample[1:])

        def timing() -> Cost:
            batch = jnp.ones((chunk, *sample), jnp.float32)
            weights, rest = eqx.partition(network, eqx.is_inexact_array)

            @jax.grad
            def gradient(weights: Any, batch: Any) -> Any:
                return jnp.mean(jax.vmap(eqx.combine(weights, rest))(batch) ** 2)

            compiled = jax.jit(gradient).lower(weights, batch).compile()
            analysis = compiled.memory_analysis()
            memory = 0.0 if analysis is None else float(analysis.temp_size_in_bytes)
            return Cost(work, timed(lambda: compiled(weights, batch), self.at_once) / chunk, memory)

        return self._scaled(("gradient", make), work, timing)

    def _scaled(self, key: Any, work: float, timing: Callable[[], Cost]) -> Cost:
        if key not in self._timed:
            self._timed[key] = timing()
        known = self._timed[key]
        ratio = work / known.operations if work > 0 and known.operations > 0 else 1.0
        return Cost(work, known.seconds * ratio, known.memory)


def _operations(network: Any, shape: tuple[int, ...]) -> float:
    """Return the operations of a forward pass, NaN if a part of a network does not say its own."""
    try:
        return float(flops(network, *shape))
    except (TypeError, AttributeError):  # the latter where a part is asked directly
        return math.nan


def timed(call: Callable[[], Any], at_once: int = 1) -> float:
    """Return the seconds per call where `at_once` threads call, after a call that compiles.

    The best of three rounds.
    """
    jax.block_until_ready(call())
    times = []
    with ThreadPoolExecutor(at_once) as pool:
        for _ in range(3):
            start = time.perf_counter()
            list(pool.map(lambda _: jax.block_until_ready(call()), range(at_once)))
            times.append(time.perf_counter() - start)
    return min(times) / at_once
