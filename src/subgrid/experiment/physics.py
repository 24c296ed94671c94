"""What a closure does to the physics: mean, energy, enstrophy, symmetries; and what it claims."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from subgrid.closures import CLAIMS
from subgrid.experiment.law import Law, difference, guard, tolerance
from subgrid.systems import AbstractSystem

_SMALL_MEAN = 1e-4  # of the root-mean-square: a mean of zero is one to rounding
_SHIFTS = (1, 3)  # cells; a grid inside a closure that divides both is not found
_AXES = {"x": -1, "y": -2}
_MIRRORED = 1e-2  # what roots and the like put into the shortest waves made 1e-3; a break makes 1
_PASSES = 8  # leaves 1/256 of waves of four cells, and less of what products make of them
_QUANTITIES = {  # sums of the system's diagnostics
    "energy": ("kinetic_energy", "available_potential_energy"),
    "enstrophy": ("enstrophy",),
}

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
    measured: dict[str, Callable[[], _Seen]] = {"zero mean": lambda: _mean(increments)}
    for name in _QUANTITIES:
        measured[f"work on {name}"] = lambda name=name: _work(name, system, states, increments)
    for name in _AXES:
        measured[f"shift along {name}"] = lambda name=name: _shift(name, call, states[0])
    for name in _AXES:
        measured[f"mirror along {name}"] = lambda name=name: _mirror(name, call, system, states[0])
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


def _mean(increments: Sequence[Any]) -> _Seen:
    largest, where = 0.0, ""
    for increment in increments:
        for path, leaf in jax.tree_util.tree_leaves_with_path(increment):
            values = np.asarray(leaf, np.float64)
            size = np.sqrt(np.mean(values**2, axis=(-2, -1)))
            share = np.abs(values.mean(axis=(-2, -1))) / np.where(size > 0, size, 1)
            if np.max(share) > largest:
                largest, name = float(np.max(share)), jax.tree_util.keystr(path).lstrip(".")
                level = int(np.argmax(share)) if share.ndim else None
                where = f" of {name}{'' if level is None else f', level {level}'}"
    conserves = largest < _SMALL_MEAN
    words = "conserves the domain mean" if conserves else f"is a source of the mean{where}"
    return _Seen(f"{words} (|mean|/rms at most {largest:.1e})", {"conserves mean": conserves})


def _work(
    name: str, system: AbstractSystem, states: Sequence[Any], increments: Sequence[Any]
) -> _Seen:
    """Measure the rate at which the increment changes a quantity, and how far that cancels out."""
    known = set(jax.eval_shape(system.diagnostics, states[0]))
    parts = [part for part in _QUANTITIES[name] if part in known]
    if not parts:
        return _Seen(f"not known: the diagnostics of the system have no {_QUANTITIES[name][0]}")

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


def _shift(name: str, call: Call, state: Any) -> _Seen:
    def moved(tree: Any, cells: int) -> Any:
        return jax.tree.map(lambda leaf: jnp.roll(leaf, cells, axis=_AXES[name]), tree)

    here = call(state)
    error = max(difference(call(moved(state, n)), moved(here, n)) for n in _SHIFTS)
    invariant = error <= tolerance(state)
    words = "shifts with the state" if invariant else "does not shift with the state"
    fact = {"translation invariant": invariant}
    return _Seen(f"{words} (by {_SHIFTS[0]} and {_SHIFTS[1]} cells: {error:.1e})", fact)


def _mirror(name: str, call: Call, system: AbstractSystem, state: Any) -> _Seen:
    """Compare the mirror symmetry of the closure with that of the system, where this has one.

    Which way the arrays turn (vorticity and one velocity change sign, faces sit between cells) is
    found from the system's own tendency.
    """
    state = jax.tree.map(_smooth, state)
    leaves, structure = jax.tree.flatten(state)
    tendency = eqx.filter_jit(system.tendency)
    before, small = tendency(state), tolerance(state)
    signs = itertools.product((1, -1), repeat=len(leaves))
    places = itertools.product((0, 1), repeat=len(leaves))
    for sign, place in itertools.product(signs, places):

        def mirrored(tree: Any, sign: Any = sign, place: Any = place) -> Any:
            axis = _AXES[name]
            turned = zip(jax.tree.leaves(tree), sign, place, strict=True)
            return structure.unflatten(
                [s * jnp.roll(jnp.flip(leaf, axis), p, axis) for leaf, s, p in turned]
            )

        # a tendency of zero would have any symmetry
        if difference(tendency(mirrored(state)), mirrored(before)) <= small and _moves(before):
            error = difference(call(mirrored(state)), mirrored(call(state)))
            kept = error <= _MIRRORED
            words = "keeps the symmetry of the system" if kept else "breaks the system's symmetry"
            return _Seen(f"{words} ({error:.1e})", {"mirror symmetric": kept})
    return _Seen("the system has no such symmetry")


def _smooth(field: Any) -> Any:
    """Return a field without its shortest waves, whose derivative on a grid has no symmetry."""
    for axis in (*_AXES.values(),) * _PASSES:
        field = (jnp.roll(field, 1, axis) + 2 * field + jnp.roll(field, -1, axis)) / 4
    return field


def _moves(tree: Any) -> bool:
    return any(bool(jnp.any(leaf != 0)) for leaf in jax.tree.leaves(tree))
