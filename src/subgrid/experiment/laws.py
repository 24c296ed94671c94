"""The laws that a closure or a system must obey, run on a user's own class."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from subgrid.closures import check_closure
from subgrid.experiment.law import Law, difference, guard, tolerance
from subgrid.experiment.physics import physics_laws
from subgrid.randomness import random_key
from subgrid.systems import AbstractSystem, check_table, largest_safe_dt
from subgrid.types import Variable


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
    checks: tuple[tuple[str, Callable[[], Law]], ...] = (
        ("finite", lambda: _finite("finite", [fast(one) for one in states])),
        ("jit", lambda: _same("jit", fast(state), call(state))),
        ("same again", lambda: _again(closure, compiled, state)),
        ("vmap", lambda: _vmap(call, state)),
        ("gradient", lambda: _gradient(call, state)),
        ("model step", lambda: _steps(system, closure, state)),
    )
    laws += [guard(name, check) for name, check in checks]
    if any(law.name == "finite" and not law.holds for law in laws):
        return laws  # of NaN nothing more can be measured
    return [*laws, *physics_laws(closure, fast, system, states)]


def system_laws(system: AbstractSystem) -> list[Law]:
    """Return the outcome of every law for a system.

    Required: states and tendencies of the shapes and dtype that the system says, which is looked at
    first, one variable per array of the state, the tendency shaped like the state and finite,
    the same under jit, vmap equal to single calls, a finite gradient, to_state(to_evolved(x)) = x
    (to rounding), 20 healthy steps of a small dt, finite diagnostics. Reported: the largest safe
    dt.
    """
    try:
        check_table(system)
    except (Exception, SystemExit) as error:
        return [Law("interface", False, f"{type(error).__name__}: {error}")]
    state = system.initial_state(key=random_key(0))
    call = system.tendency
    checks: tuple[tuple[str, Callable[[], Law]], ...] = (
        ("variables", lambda: _variables(system.variables, state)),
        ("tendency like state", lambda: _like("tendency like state", call(state), state)),
        ("finite", lambda: _finite("finite", call(state))),
        ("jit", lambda: _same("jit", eqx.filter_jit(call)(state), call(state))),
        ("vmap", lambda: _vmap(call, state)),
        ("gradient", lambda: _gradient(call, state)),
        (
            "round trip",
            lambda: _same("round trip", system.to_state(system.to_evolved(state)), state),
        ),
        ("diagnostics", lambda: _finite("diagnostics", system.diagnostics(state))),
        ("model step", lambda: _steps(system, None, state)),
        ("largest safe dt", lambda: _time_step(system)),
    )
    return [guard(name, check) for name, check in checks]


def _developed_states(system: Any) -> list[Any]:
    model = system.model(_small_dt(system))
    step, states = eqx.filter_jit(model.step), []
    for seed in range(2):
        carry = model.init(system.initial_state(key=random_key(seed)))
        for _ in range(50):
            carry = step(carry)
        states.append(model.state(carry))
    return states


def _small_dt(system: Any) -> float:
    if not hasattr(system, "max_stable_dt"):
        return 1.0e-3
    return 0.1 * float(system.max_stable_dt(system.initial_state(key=random_key(0))))


def _same(name: str, got: Any, wanted: Any) -> Law:
    error = difference(got, wanted)
    limit = tolerance(wanted)
    return Law(name, error <= limit, f"relative difference {error:.1e}, allowed {limit:.1e}")


def _finite(name: str, tree: Any) -> Law:
    bad = sum(int(np.sum(~np.isfinite(np.asarray(leaf)))) for leaf in jax.tree.leaves(tree))
    return Law(name, bad == 0, "every value is finite" if bad == 0 else f"{bad} values are not")


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


def _like(name: str, got: Any, wanted: Any) -> Law:
    def shapes(tree: Any) -> Any:
        return jax.tree.map(lambda leaf: (jnp.shape(leaf), str(leaf.dtype)), tree)

    same = jax.tree.structure(got) == jax.tree.structure(wanted) and shapes(got) == shapes(wanted)
    return Law(name, same, f"got {shapes(got)}, state {shapes(wanted)}")


def _vmap(call: Callable, state: Any) -> Law:
    batch = jax.tree.map(lambda leaf: jnp.stack([leaf, 0.5 * leaf]), state)
    single = [call(state), call(jax.tree.map(lambda leaf: 0.5 * leaf, state))]
    return _same(
        "vmap", eqx.filter_vmap(call)(batch), jax.tree.map(lambda *x: jnp.stack(x), *single)
    )


def _gradient(call: Callable, state: Any) -> Law:
    def loss(x: Any) -> Any:
        leaves = jax.tree.leaves(call(x))
        # each field in units of itself: squares of 1e-12 fields leave float32's range
        sizes = [jax.lax.stop_gradient(jnp.max(jnp.abs(leaf))) for leaf in leaves]
        units = [jnp.where(size > 0, size, 1) for size in sizes]
        return sum(jnp.mean((leaf / unit) ** 2) for leaf, unit in zip(leaves, units, strict=True))

    return _finite("gradient", jax.grad(loss)(state))


def _variables(variables: tuple[Variable, ...], state: Any) -> Law:
    leaves = jax.tree.leaves(state)
    named = [f"{v.name}[{', '.join(v.dims)}] {v.units}" for v in variables]
    fits = len(leaves) == len(variables) and all(
        leaf.ndim == len(variable.dims) for leaf, variable in zip(leaves, variables, strict=False)
    )
    return Law("variables", fits, f"{'; '.join(named)} for {len(leaves)} arrays")


def _steps(system: Any, closure: Any, state: Any) -> Law:
    from subgrid.stepping import rollout

    model = system.model(_small_dt(system), closure)
    result = rollout(model, state, 20, 20, key=random_key(0))
    died = int(result.blew_up_at)
    return Law(
        "model step", died < 0, "20 steps" if died < 0 else f"left its bounds at step {died}"
    )


def _time_step(system: Any) -> Law:
    limit = largest_safe_dt(system)
    words = "not known: the system has no max_stable_dt(state)" if limit is None else str(limit)
    return Law("largest safe dt", None, words)
