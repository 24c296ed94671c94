"""The laws that every system must obey, on any domain, run on a user's own class."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from subgrid.randomness import random_key
from subgrid.systems import law
from subgrid.systems.base import AbstractSystem, check_table, state_shapes
from subgrid.systems.law import Law
from subgrid.systems.time_step import largest_safe_dt
from subgrid.types import Variable


def system_laws(system: AbstractSystem) -> list[Law]:
    """Return the outcome of every law for a system.

    Required: states, tendencies and forcing of the shapes and dtype that the system says, which is
    looked at first; a domain on which its variables lie; a tendency that is
    finite, zero on land, the same under jit, for states at once and alone, and has a finite
    gradient; to_state(to_evolved(x)) = x to rounding; finite diagnostics; quantities, and the
    field that stands for a state, of the shapes that their dims say; the same system from its
    settings; 20 healthy steps of a small dt that give the same bits again. Reported: coarser
    versions, shifts along what is periodic, the largest safe dt.
    """
    try:
        check_table(system)
    except (Exception, SystemExit) as error:
        return [Law("interface", False, f"{type(error).__name__}: {error}")]
    state = system.initial_state(key=random_key(0))
    call = system.tendency
    checks: dict[str, Callable[[], Law]] = {
        "variables": lambda: _variables(system.variables, state),
        "domain": lambda: _domain(system),
        "tendency like state": lambda: _like("tendency like state", call(state), state),
        "finite": lambda: law.finite("finite", call(state)),
        "land": lambda: _land(system, call(state)),
        "jit": lambda: law.same("jit", eqx.filter_jit(call)(state), call(state)),
        "vmap": lambda: law.vmap(call, state),
        "gradient": lambda: law.gradient(call, state),
        "round trip": lambda: law.same(
            "round trip", system.to_state(system.to_evolved(state)), state
        ),
        "diagnostics": lambda: law.finite("diagnostics", system.diagnostics(state)),
        "quantities": lambda: _quantities(system, state),
        "settings": lambda: _settings(system),
        "model step": lambda: law.steps(system, None, state),
        "coarser": lambda: _coarser(system),
    }
    for dim in law.periodic_dims(system):
        checks[f"shift along {dim}"] = lambda dim=dim: _shift(system, dim, state)
    checks["largest safe dt"] = lambda: _time_step(system)
    return [law.guard(name, check) for name, check in checks.items()]


def _variables(variables: tuple[Variable, ...], state: Any) -> Law:
    leaves = jax.tree.leaves(state)
    named = [f"{v.name}[{', '.join(v.dims)}] {v.units}" for v in variables]
    fits = len(leaves) == len(variables) and all(
        leaf.ndim == len(variable.dims) for leaf, variable in zip(leaves, variables, strict=False)
    )
    return Law("variables", fits, f"{'; '.join(named)} for {len(leaves)} arrays")


def _domain(system: AbstractSystem) -> Law:
    """Check that dimensions, coordinates, areas and land of the domain fit each other."""
    domain, wrong = system.domain, []
    lengths = {dim: len(values) for dim, (values, _) in system.coordinates().items()}
    if tuple(lengths.get(dim) for dim in domain.dims) != domain.shape:
        wrong.append(f"coordinates of {lengths} for a domain {domain.dims} of {domain.shape}")
    if not any(variable.dims[-len(domain.dims) :] == domain.dims for variable in system.variables):
        wrong.append(f"no variable whose last dimensions are those of the domain, {domain.dims}")
    if domain.weights.shape != domain.shape or np.any(domain.weights < 0):
        wrong.append(f"weights must be {domain.shape} and not negative")
    if domain.mask is not None and np.any(domain.weights[~domain.mask]):
        wrong.append("weights must be 0 on land")
    size = " x ".join(map(str, domain.shape))
    said = f"{type(domain).__name__} of {size} points along {', '.join(domain.dims)}"
    return Law("domain", not wrong, "; ".join(wrong) or said)


def _like(name: str, got: Any, wanted: Any) -> Law:
    def shapes(tree: Any) -> Any:
        return jax.tree.map(lambda leaf: (jnp.shape(leaf), str(leaf.dtype)), tree)

    fits = jax.tree.structure(got) == jax.tree.structure(wanted) and shapes(got) == shapes(wanted)
    return Law(name, fits, f"got {shapes(got)}, state {shapes(wanted)}")


def _land(system: AbstractSystem, tendency: Any) -> Law:
    """Check that nothing changes where the domain is masked."""
    mask = system.domain.mask
    if mask is None:
        return Law("land", True, "the domain has none")
    dims = system.domain.dims
    moving = [
        variable.name
        for variable, rate in zip(system.variables, jax.tree.leaves(tendency), strict=True)
        if variable.dims[-len(dims) :] == dims and np.any(np.asarray(rate)[..., ~mask])
    ]
    said = f"{', '.join(moving)} changes on land" if moving else "the tendency is 0 there"
    return Law("land", not moving, said)


def _quantities(system: AbstractSystem, state: Any) -> Law:
    """Check that what a system is observed by has the names and shapes that its tables say."""
    lengths = {dim: len(values) for dim, (values, _) in system.coordinates().items()}

    def shape(dims: tuple[str, ...], spectrum: bool = False) -> tuple[int, ...]:
        components = tuple(lengths.get(dim, 1) for dim in dims if dim not in ("time", "wavenumber"))
        return components + (system.domain.spectral_shape if spectrum else ())

    zero = jax.tree.map(jnp.zeros_like, state)
    found = jax.eval_shape(lambda x: system.observe(x, zero), state)
    names = {quantity.name for quantity in system.quantities}
    wrong = [f"observe and `quantities` differ in {', '.join(sorted(names ^ set(found)))}"]
    wrong = wrong if names != set(found) else []
    for one in system.quantities:
        wanted, got = shape(one.dims, one.is_spectrum), getattr(found.get(one.name), "shape", None)
        if got not in (None, wanted):
            wrong.append(f"{one.name} must be {wanted}, as its dims say, but is {got}")
    if system.drawn is not None:
        wanted = (*shape(system.drawn.components), *system.domain.shape)
        if (got := jax.eval_shape(system.field, state).shape) != wanted:
            wrong.append(f"field must return {wanted}, but returned {got}")
    return Law("quantities", not wrong, "; ".join(wrong) or f"{len(names)} observed")


def _settings(system: AbstractSystem) -> Law:
    """Check that the settings of a system build it again: its models are saved by them."""
    settings = getattr(system, "settings", None)
    if settings is None:
        return Law("settings", None, "none: a closure of it cannot be saved with its system")
    again: Any = type(system)(**settings())
    differing = [name for name, value in settings().items() if again.settings()[name] != value]
    fits = not differing and state_shapes(again) == state_shapes(system)
    said = f"{', '.join(differing) or 'a state'} is another when built again"
    return Law("settings", fits, "they build the same system again" if fits else said)


def _coarser(system: AbstractSystem) -> Law:
    """Report what `at` makes of the first dimension's half, for a system that has coarse ones."""
    size = max(system.domain.shape[-1] // 2, 4)
    try:
        coarse = system.at(size)
    except ValueError as error:  # ConfigError is one
        return Law("coarser", None, f"at({size}): {error}")
    check_table(coarse)
    shape = " x ".join(map(str, coarse.domain.shape))
    return Law("coarser", True, f"at({size}) has {shape} points")


def _shift(system: AbstractSystem, dim: str, state: Any) -> Law:
    error = law.shift_error(system, dim, system.tendency, state)
    said = law.shift_words(error, error <= law.tolerance(state))
    return Law(f"shift along {dim}", None, said)


def _time_step(system: AbstractSystem) -> Law:
    limit = largest_safe_dt(system)
    words = "not known: the system has no largest_dt(state)" if limit is None else str(limit)
    return Law("largest safe dt", None, words)
