"""The laws that every closure must obey, run on a user's own class."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np

from subgrid.closures.base import check_closure
from subgrid.closures.physics import physics_laws
from subgrid.randomness import random_key
from subgrid.systems import AbstractSystem, law
from subgrid.systems.law import Law


def closure_laws(closure: Any, system: AbstractSystem, state: Any = None) -> list[Law]:
    """Return the outcome of every law for a closure on a system.

    Required: an increment shaped like the state with its dtype, finite values, the same values
    under jit (to rounding) and bits when called again with the same key, vmap over states equal to
    single calls, a finite gradient, unchanged memory structure. Reported, and required where the
    class claims it (see `AbstractClosure.claims`): the mean of the increment, its work on energy
    and enstrophy, shifts and mirror images. `state` defaults to two that have left their initial
    conditions by 50 steps.
    """
    try:
        check_closure(closure, system)
    except (Exception, SystemExit) as error:
        return [Law("interface", False, f"{type(error).__name__}: {error}")]
    states = _developed_states(system) if state is None else [state]
    state = states[0]
    memory = closure.init(state, key=random_key(0))

    def call(x: Any) -> Any:
        return closure(x, memory, None)[0]

    compiled = eqx.filter_jit(lambda x, m: closure(x, m, None))  # once, for all that follows

    def fast(x: Any) -> Any:
        return compiled(x, memory)[0]

    laws = [Law("interface", True, "an increment like the state, and a memory like the one given")]
    checks: dict[str, Callable[[], Law]] = {
        "finite": lambda: law.finite("finite", [fast(one) for one in states]),
        "jit": lambda: law.same("jit", fast(state), call(state)),
        "same again": lambda: _again(closure, compiled, state),
        "vmap": lambda: law.vmap(call, state),
        "gradient": lambda: law.gradient(call, state),
        "model step": lambda: law.steps(system, closure, state),
    }
    laws += [law.guard(name, check) for name, check in checks.items()]
    if any(one.name == "finite" and not one.holds for one in laws):
        return laws  # of NaN nothing more can be measured
    return [*laws, *physics_laws(closure, fast, system, states)]


def _developed_states(system: Any) -> list[Any]:
    model = system.model(law.small_dt(system))
    step, states = eqx.filter_jit(model.step), []
    for seed in range(2):
        carry = model.init(system.initial_state(key=random_key(seed)))
        for _ in range(50):
            carry = step(carry)
        states.append(model.state(carry))
    return states


def _again(closure: Any, compiled: Callable, state: Any) -> Law:
    """Check that a run can be repeated: the same key gives the same bits, in two calls in a row."""

    def two(seed: int) -> list[Any]:
        memory, found = closure.init(state, key=random_key(seed)), []
        for _ in range(2):
            increment, memory = compiled(state, memory)
            found += jax.tree.leaves(increment)
        return found

    first, same, other = two(0), two(0), two(1)
    equal = all(np.array_equal(a, b, equal_nan=True) for a, b in zip(first, same, strict=True))
    random = any(not np.array_equal(a, b) for a, b in zip(first, other, strict=True))
    words = "the same bits" if equal else "other bits"
    return Law("same again", equal, f"{words} with the same key{', random' if random else ''}")
