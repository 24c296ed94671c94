"""What a dry run times."""

import itertools
import threading
from pathlib import Path

import jax.numpy as jnp
import pytest

from subgrid.config import load_config
from subgrid.recipes import kernels, plan

SMALLEST = Path(__file__).with_name("smallest.toml")


def test_calls_are_timed_as_many_at_once_as_asked_for(monkeypatch):
    together, calls = threading.Barrier(2), []

    def call():
        calls.append(None)
        if len(calls) > 1:  # the first compiles
            together.wait(timeout=60)  # breaks unless another call comes while this one waits
        return jnp.zeros(())

    ticks = itertools.count()
    monkeypatch.setattr(kernels.time, "perf_counter", lambda: float(next(ticks)))
    assert kernels.timed(call, 2) == 0.5  # a tick for two calls
    assert len(calls) == 1 + 3 * 2


@pytest.mark.parametrize(
    ("workers", "trained", "tested"),
    # three networks in all; tested also without a closure and with a classical one
    [(1, 1, 1), (2, 2, 2), (4, 3, 4), (9, 3, 5)],
)
def test_as_many_networks_are_timed_at_once_as_there_are_workers(
    monkeypatch, workers, trained, tested
):
    seen = []

    def timed(call, at_once=1):
        seen.append(at_once)
        return 1.0

    monkeypatch.setattr(kernels, "timed", timed)
    monkeypatch.setattr(plan, "usable_cpus", lambda: 8)
    config = load_config(SMALLEST)
    stages = {stage.stage: stage for stage in plan.plan_run(config, workers)}
    # the truth by itself, two models trained, then all tested: a step without and with a classical
    # closure, a network of two
    assert seen == [1, *[trained] * 2, *[tested] * 4]
    steps = 100  # see test_dry_run
    assert stages["simulate"].total.seconds == pytest.approx(steps / 20 / min(workers, 5))
