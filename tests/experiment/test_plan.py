"""What a dry run times."""

import threading

import jax.numpy as jnp

from subgrid.experiment.plan import Clock


def test_calls_are_timed_as_many_at_once_as_there_are_workers():
    together, calls = threading.Barrier(2), []

    def call():
        calls.append(None)
        if len(calls) > 1:  # the first compiles
            together.wait(timeout=60)  # breaks unless another call comes while this one waits
        return jnp.zeros(())

    assert Clock(2)(call) > 0
    assert len(calls) == 1 + 3 * 2
