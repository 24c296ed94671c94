"""What a closure does to the physics: mean, energy, enstrophy, symmetries; and what it claims."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from subgrid.closures.base import CLAIMS
from subgrid.systems import AbstractSystem
from subgrid.systems.law import (
    Law,
    along,
    difference,
    guard,
    periodic_dims,
    shift_error,
    shift_words,
    tolerance,
)
from subgrid.types import Variable

_SMALL_MEAN = 1e-4  # of the root-mean-square: a mean of zero is one to rounding
_MIRRORED = 1e-2  # what roots and the like put into the shortest waves made 1e-3; a break makes 1
_PASSES = 8  # leaves 1/256 of waves of four cells, and less of what products make of them
_BUDGETS = ("energy", "enstrophy")  # sums of the diagnostics that are called so

Call = Callable[[Any], Any]


@dataclass(frozen=True)
class _Seen:
    """What was measured, in words, and which claims that bears out or refutes."""

    words: str
    facts: Mapping[str, bool] = field(default_factory=dict)


def physics_laws(
    closure: Any, call: Call, system: AbstractSystem, states: Sequence[Any]
) -> list[Law]:
    """Return what a closure does to a system, the worst case over some states.

    `call`: state → increment, compiled. What the class claims (see `AbstractClosure.claims`) holds
    or is broken; the rest is reported.
    """
    claims = tuple(getattr(closure, "claims", ()))
    increments = [call(state) for state in states]
    measured: dict[str, Callable[[], _Seen]] = {"zero mean": lambda: _mean(system, increments)}
    for name in _BUDGETS:
        measured[f"work on {name}"] = lambda name=name: _work(name, system, states, increments)
    dims = periodic_dims(system)
    for dim in dims:
        measured[f"shift along {dim}"] = lambda dim=dim: _shift(dim, call, system, states[0])
    for dim in dims:
        measured[f"mirror along {dim}"] = lambda dim=dim: _mirror(dim, call, system, states[0])
    laws = [guard(name, lambda n=name, m=m: _law(n, m(), claims)) for name, m in measured.items()]
    return [*laws, *_unknown(claims), *_systems_held(closure)]


def _law(name: str, seen: _Seen, claims: Sequence[str]) -> Law:
    """Return a law: held or broken where the class claims something of it, else a note."""
    claimed = [claim for claim in claims if claim in seen.facts]
    if not claimed:
        return Law(name, None, seen.words)
    said = f"{seen.words}; claimed: {', '.join(claimed)}"
    return Law(name, all(seen.facts[claim] for claim in claimed), said)


def _unknown(claims: Sequence[str]) -> Iterator[Law]:
    for claim in claims:
        if claim not in CLAIMS:
            yield Law("claims", False, f"{claim!r} is none; known: {', '.join(CLAIMS)}")


def _systems_held(closure: Any) -> Iterator[Law]:
    """Tell of a system whose constants a training of the closure would find among its weights."""

    def is_system(part: Any) -> bool:
        return isinstance(part, AbstractSystem)

    for part in jax.tree.leaves(closure, is_leaf=is_system):
        if is_system(part):
            words = f"the constants of {type(part).__name__} count as weights: hold Fixed(system)"
            yield Law("weights", None, f"{words}, see subgrid.nn.Fixed")
            return


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
    return _Seen(f"{words} (|mean|/rms at most {largest:.1e})", {"conserves mean": conserves})


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
        return _Seen(f"not known: the diagnostics of the system have no {name}")

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
    small = tolerance(states[0])
    signs = {0 if abs(share) <= small else 1 if share > 0 else -1 for share in shares}
    verbs = {1: "gives", -1: "takes", 0: "keeps"}
    verb = verbs[min(signs)] if len(signs) == 1 else "gives and takes"
    unit = "" if system.time_units == "1" else f" per {system.time_units}"
    per = f"{', '.join(f'{rate:+.2g}' for rate in rates)} of it{unit or ' per unit of time'}"
    exact = f"net/absolute {', '.join(f'{share:+.2g}' for share in shares)}"
    return _Seen(
        f"{verb} {name}: {per} ({exact})",
        {f"dissipates {name}": not {0, 1} & signs, f"conserves {name}": signs == {0}},
    )


def _shift(dim: str, call: Call, system: AbstractSystem, state: Any) -> _Seen:
    error = shift_error(system, dim, call, state)
    invariant = error <= tolerance(state)
    return _Seen(shift_words(error, invariant), {"translation invariant": invariant})


def _mirror(dim: str, call: Call, system: AbstractSystem, state: Any) -> _Seen:
    """Compare the mirror symmetry of the closure with that of the system, where this has one.

    Which way the arrays turn (vorticity and one velocity change sign, faces sit between cells) is
    found from the system's own tendency.
    """
    state = _smooth(system, state)
    leaves, structure = jax.tree.flatten(state)
    tendency = eqx.filter_jit(system.tendency)
    before, small = tendency(state), tolerance(state)
    signs = itertools.product((1, -1), repeat=len(leaves))
    places = itertools.product((0, 1), repeat=len(leaves))
    for sign, place in itertools.product(signs, places):

        def mirrored(tree: Any, sign: Any = sign, place: Any = place) -> Any:
            flipped = along(system, dim, tree, lambda leaf, axis: jnp.flip(leaf, axis))
            moved = along(system, dim, flipped, lambda leaf, axis: jnp.roll(leaf, 1, axis))
            pairs = zip(jax.tree.leaves(flipped), jax.tree.leaves(moved), sign, place, strict=True)
            return structure.unflatten([s * (there if p else here) for here, there, s, p in pairs])

        # a tendency of zero would have any symmetry
        if difference(tendency(mirrored(state)), mirrored(before)) <= small and _moves(before):
            error = difference(call(mirrored(state)), mirrored(call(state)))
            kept = error <= _MIRRORED
            words = "keeps the symmetry of the system" if kept else "breaks the system's symmetry"
            return _Seen(f"{words} ({error:.1e})", {"mirror symmetric": kept})
    return _Seen("the system has no such symmetry")


def _smooth(system: AbstractSystem, state: Any) -> Any:
    """Return a state without its shortest waves, whose derivative on a grid has no symmetry."""

    def smoothed(leaf: Any, axis: int) -> Any:
        return (jnp.roll(leaf, 1, axis) + 2 * leaf + jnp.roll(leaf, -1, axis)) / 4

    for dim in periodic_dims(system) * _PASSES:
        state = along(system, dim, state, smoothed)
    return state


def _moves(tree: Any) -> bool:
    return any(bool(jnp.any(leaf != 0)) for leaf in jax.tree.leaves(tree))
