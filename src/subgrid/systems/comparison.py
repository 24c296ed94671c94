"""In what two systems differ: what a closure of one must not be silent about in the other."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.core import Tracer

from subgrid.grids import AbstractDomain
from subgrid.systems.base import AbstractSystem, plain_number

_SAME = 1e-6  # relative: constants are given to six digits and kept in single precision


def system_differences(one: AbstractSystem, other: AbstractSystem) -> dict[str, tuple[Any, Any]]:
    """Return what differs between two systems: name → (of the one, of the other).

    Class, grid, precision, choices and constants, but not the `limits`, which act on no state.
    Numbers that are known only when a compiled function runs count as the same.
    """
    if type(one) is not type(other):
        return {"system": (type(one).__name__, type(other).__name__)}
    return _differing(_facts(one), _facts(other))


def grid_differences(one: AbstractDomain, other: AbstractDomain) -> dict[str, tuple[Any, Any]]:
    """Return what differs between two domains, likewise."""
    return _differing(_facts_of_domain(one), _facts_of_domain(other))


def changes_the_flow(system: AbstractSystem, name: str) -> bool:
    """Return whether a difference called `name` makes a state of `system` that of another flow."""
    return name in ("system", *_facts_of_domain(system.domain), *system.diagnosing)


def as_text(differing: Mapping[str, tuple[Any, Any]], one: str, other: str) -> str:
    """Return differences in words: "beta = 1e-11 (closure), 2e-11 (model)"."""
    return "; ".join(
        f"{name} = {ours} ({one}), {theirs} ({other})" for name, (ours, theirs) in differing.items()
    )


def _facts(system: AbstractSystem) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in dataclasses.fields(system):
        value = getattr(system, field.name)
        if field.name.startswith("_") or field.name in system.limits:
            continue
        if isinstance(value, AbstractDomain):
            found |= _facts_of_domain(value)
        elif isinstance(value, Mapping):
            found |= value
        else:
            found[field.name] = value
    dtype = getattr(system, "dtype", None)
    return found if dtype is None else found | {"dtype": dtype}


def _facts_of_domain(domain: AbstractDomain) -> dict[str, Any]:
    if dataclasses.is_dataclass(domain):
        return dataclasses.asdict(domain)
    return {name.lstrip("_"): value for name, value in vars(domain).items()}


def _differing(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {
        name: (_shown(value), _shown(theirs.get(name)))
        for name, value in ours.items()
        if not _same(value, theirs.get(name))
    }


def _same(one: Any, other: Any) -> bool:
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((one, other))):
        return True
    if isinstance(one, float | jax.Array | np.ndarray):
        return np.shape(one) == np.shape(other) and np.allclose(one, other, rtol=_SAME, atol=0)
    return bool(one == other)


def _shown(value: Any) -> Any:
    if isinstance(value, jax.Array | np.ndarray):
        return plain_number(value) if value.ndim == 0 else np.ravel(value)[:4].tolist()
    return value
