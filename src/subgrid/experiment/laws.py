"""The laws that a closure or a system must obey, run on a user's own class."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from subgrid.closures import check_closure
from subgrid.systems import AbstractSystem, check_table, largest_safe_dt
from subgrid.types import Variable


@dataclass(frozen=True)
class Law:
    """The outcome of one law: `holds` is True or False, or None where it is only reported."""

    name: str
    holds: bool | None
    detail: str


def closure_laws(closure: Any, system: AbstractSystem, state: Any = None) -> list[Law]:
    """Return the outcome of every law for a closure on a system.

    Required: an increment shaped like the state with its dtype, finite values, the same values
    under jit (to rounding), vmap over states equal to single calls, a finite gradient, unchanged
    memory structure. Reported: equivariance under a shift along x, and the mean of the increment.
    `state` defaults to one that has left its initial condition by 50 steps.
    """
    try:
        check_closure(closure, system)
    except (Exception, SystemExit) as error:
        return [Law("interface", False, f"{type(error).__name__}: {error}")]
    state = _developed_state(system) if state is None else state
    memory = closure.init(state, key=jax.random.key(0))

    def call(x: Any) -> Any:
        return closure(x, memory, None)[0]

    laws = [Law("interface", True, "an increment like the state, and a memory like the one given")]
    checks: tuple[tuple[str, Callable[[], Law]], ...] = (
        ("finite", lambda: _finite("finite", call(state))),
        ("jit", lambda: _same("jit", eqx.filter_jit(call)(state), call(state))),
        ("vmap", lambda: _vmap(call, state)),
        ("gradient", lambda: _gradient(call, state)),
        ("shift along x", lambda: _shift(call, state)),
        ("zero mean", lambda: _zero_mean(call, state)),
        ("model step", lambda: _steps(system, closure, state)),
    )
    return [*laws, *(_guard(name, check) for name, check in checks)]


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
    state = system.initial_state(key=jax.random.key(0))
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
    return [_guard(name, check) for name, check in checks]


def _guard(name: str, check: Callable[[], Law]) -> Law:
    try:
        return check()
    except (Exception, SystemExit) as error:
        return Law(name, False, f"{type(error).__name__}: {error}")


def _developed_state(system: Any) -> Any:
    model = system.model(_small_dt(system))
    carry = model.init(system.initial_state(key=jax.random.key(0)))
    step = eqx.filter_jit(model.step)
    for _ in range(50):
        carry = step(carry)
    return model.state(carry)


def _small_dt(system: Any) -> float:
    if not hasattr(system, "max_stable_dt"):
        return 1.0e-3
    return 0.1 * float(system.max_stable_dt(system.initial_state(key=jax.random.key(0))))


def _difference(got: Any, wanted: Any) -> float:
    """Return the largest difference of two PyTrees relative to the largest value."""
    pairs = list(zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True))
    # np.max, for Python's max forgets a NaN that does not come first
    scale = float(np.max([float(jnp.max(jnp.abs(b))) for _, b in pairs], initial=0.0))
    error = float(np.max([float(jnp.max(jnp.abs(a - b))) for a, b in pairs], initial=0.0))
    return error / scale if scale > 0 else error


def _tolerance(tree: Any) -> float:
    # fusion under jit reorders sums of up to a few thousand terms: some hundred roundings
    return 500 * max(float(jnp.finfo(leaf.dtype).eps) for leaf in jax.tree.leaves(tree))


def _same(name: str, got: Any, wanted: Any) -> Law:
    error = _difference(got, wanted)
    limit = _tolerance(wanted)
    return Law(name, error <= limit, f"relative difference {error:.1e}, allowed {limit:.1e}")


def _finite(name: str, tree: Any) -> Law:
    bad = sum(int(np.sum(~np.isfinite(np.asarray(leaf)))) for leaf in jax.tree.leaves(tree))
    return Law(name, bad == 0, "every value is finite" if bad == 0 else f"{bad} values are not")


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


def _shift(call: Callable, state: Any) -> Law:
    def shift(tree: Any) -> Any:
        return jax.tree.map(lambda leaf: jnp.roll(leaf, 1, axis=-1), tree)

    error = _difference(call(shift(state)), shift(call(state)))
    limit = _tolerance(state)
    words = "shifts with the state" if error <= limit else "does not shift with the state"
    return Law("shift along x", None, f"{words} (relative difference {error:.1e})")


def _zero_mean(call: Callable, state: Any) -> Law:
    largest = 0.0
    for leaf in jax.tree.leaves(call(state)):
        values = np.asarray(leaf, np.float64)
        size = np.sqrt(np.mean(values**2, axis=(-2, -1)))
        mean = np.abs(values.mean(axis=(-2, -1)))
        largest = max(largest, float(np.max(mean / np.where(size > 0, size, 1))))
    words = "conserves the domain mean" if largest < 1e-4 else "changes the domain mean"
    return Law("zero mean", None, f"{words} (|mean|/rms at most {largest:.1e})")


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
    result = rollout(model, state, 20, 20, key=jax.random.key(0))
    died = int(result.blew_up_at)
    return Law(
        "model step", died < 0, "20 steps" if died < 0 else f"left its bounds at step {died}"
    )


def _time_step(system: Any) -> Law:
    limit = largest_safe_dt(system)
    words = "not known: the system has no max_stable_dt(state)" if limit is None else str(limit)
    return Law("largest safe dt", None, words)
