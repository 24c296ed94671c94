"""The laws that every closure must obey, run on a user's own class, and what it claims besides.

What it does to the physics is measured: mean, energy, enstrophy, shifts and mirror images.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from subgrid.closures.base import CLAIMS, check_closure
from subgrid.randomness import random_key
from subgrid.systems import AbstractSystem, law
from subgrid.systems.law import Law
from subgrid.types import Variable

_SMALL_MEAN = 1e-4  # of the root-mean-square: a mean of zero is one to rounding
_MIRRORED = 1e-2  # what roots and the like put into the shortest waves made 1e-3; a break makes 1
_PASSES = 8  # leaves 1/256 of waves of four cells, and less of what products make of them

Call = Callable[[Any], Any]
_Seen = tuple[str, Mapping[str, bool]]  # what was measured, and which claims it bears out or not


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

    compiled = eqx.filter_jit(lambda x, m: closure(x, m, None))  # once, for all that follows

    def call(x: Any) -> Any:
        return closure(x, memory, None)[0]

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
    """Return two states that have left their initial conditions."""
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


def physics_laws(
    closure: Any, call: Call, system: AbstractSystem, states: Sequence[Any]
) -> list[Law]:
    """Return what a closure does to a system, the worst case over some states.

    `call`: state → increment, compiled. What the class claims (see `AbstractClosure.claims`) holds
    or is broken; the rest is reported.
    """
    claims = tuple(getattr(closure, "claims", ()))
    increments = [call(state) for state in states]
    measured: dict[str, Callable[[], _Seen]] = {"zero mean": partial(_mean, system, increments)}
    for name in ("energy", "enstrophy"):
        measured[f"work on {name}"] = partial(_work, name, system, states, increments)
    dims = law.periodic_dims(system)
    measured |= {
        f"shift along {dim}": partial(_shift, dim, call, system, states[0]) for dim in dims
    }
    measured |= {
        f"mirror along {dim}": partial(_mirror, dim, call, system, states[0]) for dim in dims
    }
    laws = [
        law.guard(name, partial(_law, name, measure, claims)) for name, measure in measured.items()
    ]
    for claim in claims:
        if claim not in CLAIMS:
            laws.append(Law("claims", False, f"{claim!r} is none; known: {', '.join(CLAIMS)}"))
    parts = jax.tree.leaves(closure, is_leaf=lambda part: isinstance(part, AbstractSystem))
    if bare := [type(part).__name__ for part in parts if isinstance(part, AbstractSystem)]:
        words = f"the constants of {bare[0]} count as weights: hold Fixed(system)"
        laws.append(Law("weights", None, f"{words}, see subgrid.nn.Fixed"))
    return laws


def _law(name: str, measure: Callable[[], _Seen], claims: Sequence[str]) -> Law:
    """Return a law: held or broken where the class claims something of it, else a note."""
    words, facts = measure()
    claimed = [claim for claim in claims if claim in facts]
    if not claimed:
        return Law(name, None, words)
    holds = all(facts[claim] for claim in claimed)
    return Law(name, holds, f"{words}; claimed: {', '.join(claimed)}")


def _mean(system: AbstractSystem, increments: Sequence[Any]) -> _Seen:
    """Measure the mean over the domain of each variable and component, weighted by area."""
    dims, weights = system.domain.dims, system.domain.weights / np.sum(system.domain.weights)
    largest, where = 0.0, ""
    for increment in increments:
        for variable, leaf in zip(system.variables, jax.tree.leaves(increment), strict=True):
            if variable.dims[-len(dims) :] != dims:
                continue
            values, axes = np.asarray(leaf, np.float64), tuple(range(-len(dims), 0))
            size = np.sqrt(np.sum(weights * values**2, axis=axes))
            mean = np.abs(np.sum(weights * values, axis=axes))
            share = mean / np.where(size > 0, size, 1)
            if np.max(share) > largest:
                place = np.unravel_index(np.argmax(share), share.shape)
                largest = float(np.max(share))
                where = _component(system, variable, place)
    conserves = largest < _SMALL_MEAN
    words = "conserves the domain mean" if conserves else f"is a source of the mean of {where}"
    return f"{words} (|mean|/rms at most {largest:.1e})", {"conserves mean": conserves}


def _component(system: AbstractSystem, variable: Variable, place: tuple[Any, ...]) -> str:
    coordinates = system.coordinates()
    named = (f", {d} {coordinates[d][0][i]}" for d, i in zip(variable.dims, place, strict=False))
    return f"{variable.name}{''.join(named)}"


def _work(
    name: str, system: AbstractSystem, states: Sequence[Any], increments: Sequence[Any]
) -> _Seen:
    """Measure the rate at which the increment changes a quantity, and how far that cancels out."""
    shapes = jax.eval_shape(system.diagnostics, states[0])
    parts = [part for part, one in shapes.items() if part.endswith(name) and not one.shape]
    if whole := {name, f"total_{name}"}.intersection(parts):
        parts = sorted(whole)[:1]
    if not parts:
        return f"not known: the diagnostics of the system have no {name}", {}

    @eqx.filter_jit
    def measure(state: Any, increment: Any) -> tuple[Any, Any, Any]:
        def total(state: Any) -> Any:
            found = system.diagnostics(state)
            return sum(found[part] for part in parts)

        value, slope = jax.value_and_grad(total)(state)
        terms = jax.tree.leaves(jax.tree.map(jnp.multiply, slope, increment))
        return value, sum(jnp.sum(term) for term in terms), sum(jnp.sum(abs(t)) for t in terms)

    rates, shares = [], []
    for pair in zip(states, increments, strict=True):
        value, work, size = (float(number) for number in measure(*pair))
        rates.append(work / value if value > 0 else float("nan"))
        shares.append(work / size if size > 0 else 0.0)
    small = law.tolerance(states[0])
    signs = {0 if abs(share) <= small else 1 if share > 0 else -1 for share in shares}
    verbs = {1: "gives", -1: "takes", 0: "keeps"}
    verb = verbs[min(signs)] if len(signs) == 1 else "gives and takes"
    unit = "" if system.time_units == "1" else f" per {system.time_units}"
    per = f"{', '.join(f'{rate:+.2g}' for rate in rates)} of it{unit or ' per unit of time'}"
    exact = f"net/absolute {', '.join(f'{share:+.2g}' for share in shares)}"
    facts = {f"dissipates {name}": not {0, 1} & signs, f"conserves {name}": signs == {0}}
    return f"{verb} {name}: {per} ({exact})", facts


def _shift(dim: str, call: Call, system: AbstractSystem, state: Any) -> _Seen:
    error = law.shift_error(system, dim, call, state)
    invariant = error <= law.tolerance(state)
    return law.shift_words(error, invariant), {"translation invariant": invariant}


def _mirror(dim: str, call: Call, system: AbstractSystem, state: Any) -> _Seen:
    """Compare the mirror symmetry of the closure with that of the system, where this has one.

    Which way the arrays turn (vorticity and one velocity change sign, faces sit between cells) is
    found from the system's own tendency.
    """
    state = _smooth(system, state)
    leaves, structure = jax.tree.flatten(state)
    tendency = eqx.filter_jit(system.tendency)
    before, small = tendency(state), law.tolerance(state)
    signs = itertools.product((1, -1), repeat=len(leaves))
    places = itertools.product((0, 1), repeat=len(leaves))
    for sign, place in itertools.product(signs, places):

        def mirrored(tree: Any, sign: Any = sign, place: Any = place) -> Any:
            flipped = law.along(system, dim, tree, lambda leaf, axis: jnp.flip(leaf, axis))
            moved = law.along(system, dim, flipped, lambda leaf, axis: jnp.roll(leaf, 1, axis))
            pairs = zip(jax.tree.leaves(flipped), jax.tree.leaves(moved), sign, place, strict=True)
            return structure.unflatten([s * (there if p else here) for here, there, s, p in pairs])

        # a tendency of zero would have any symmetry
        if law.difference(tendency(mirrored(state)), mirrored(before)) <= small and _moves(before):
            error = law.difference(call(mirrored(state)), mirrored(call(state)))
            kept = error <= _MIRRORED
            words = "keeps the symmetry of the system" if kept else "breaks the system's symmetry"
            return f"{words} ({error:.1e})", {"mirror symmetric": kept}
    return "the system has no such symmetry", {}


def _smooth(system: AbstractSystem, state: Any) -> Any:
    """Return a state without its shortest waves, whose derivative on a grid has no symmetry."""

    def smoothed(leaf: Any, axis: int) -> Any:
        return (jnp.roll(leaf, 1, axis) + 2 * leaf + jnp.roll(leaf, -1, axis)) / 4

    for dim in law.periodic_dims(system) * _PASSES:
        state = law.along(system, dim, state, smoothed)
    return state


def _moves(tree: Any) -> bool:
    return any(bool(jnp.any(leaf != 0)) for leaf in jax.tree.leaves(tree))
