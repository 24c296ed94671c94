"""The check that a time step is below the stability limit, before a run wastes its time."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from subgrid.errors import ConfigError


def check_time_step(key: str, dt: float, system: Any, states: Any = None) -> None:
    """Raise ConfigError, with the largest safe dt, if `dt` is above the limit of a system.

    `key`: the config's name of dt; `states`: stacked states [member, ...] whose fastest flow
    counts. Without states the system at rest is taken: the background flow alone then sets the
    limit, which is necessary but not sufficient. A system without `max_stable_dt` is not checked.
    """
    if not hasattr(system, "max_stable_dt"):
        return
    if states is None:
        shapes = jax.eval_shape(lambda: system.initial_state(key=jax.random.key(0)))
        states = jax.tree.map(lambda leaf: jnp.zeros((1, *leaf.shape), leaf.dtype), shapes)
        reason = "for the background flow alone; eddies will need a smaller one"
    else:
        reason = "for the speeds in its initial states"
    limits = eqx.filter_jit(eqx.filter_vmap(system.max_stable_dt))(states)
    largest = float(jnp.min(limits))
    if dt > largest:
        raise ConfigError(
            f"{key}: got {dt:g} s, above the stability limit; the largest safe step on this grid "
            f"is {_rounded_down(largest):g} s {reason}"
        )


def _rounded_down(value: float) -> float:
    """Return a number of two digits that is not above `value`."""
    import math

    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return math.floor(value / unit) * unit
