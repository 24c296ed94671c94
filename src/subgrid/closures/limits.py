"""Limits on increments in runs: on the energy that they give, and on where a step may lead."""

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from subgrid.closures.output import AbstractConstraint
from subgrid.errors import ConfigError, ShapeError
from subgrid.numbers import finite_number, positive_number

_AT_ONCE = 256  # samples in memory


def _limit(value: Any) -> float | None:
    return None if value is None else finite_number("energy limit", value)


class EnergyLimit(AbstractConstraint):
    """Bounds the power P that an increment S gives to velocities, <u S_u + v S_v>, in runs.

        S ← S - max(0, P - limit)/<u² + v²> (u, v)

    < > is the mean over the domain, so P ends at the limit, to rounding, and S below it keeps its
    bits. What is taken off has the mean momentum, divergence and scales of the flow, whatever other
    constraints there are. `limit`: energy per time; a negative one asks for damping, without bound
    towards rest; None takes the largest power of the true forcing in the training split (see
    `energy_limit_of`). `velocities`: the fields of a state, [y, x] each. The loss of a training has
    no limit. Raises ValueError for a limit that is not finite, ShapeError for states without these
    fields.
    """

    limit: float | None = eqx.field(converter=_limit, static=True, default=None)
    velocities: tuple[str, ...] = eqx.field(static=True, default=("u", "v"))

    @classmethod
    def for_system(cls, system: Any, **arguments: Any) -> "EnergyLimit":
        """Return the limit for a system's velocities; raises ConfigError for one without."""
        if not system.velocities:
            raise ConfigError(
                f"energy-limit bounds the power given to velocities, and {type(system).__name__} "
                f"has none among {[variable.name for variable in system.variables]}"
            )
        return cls(velocities=tuple(system.velocities), **arguments)

    @property
    def in_words(self) -> str:
        """What it does."""
        if self.limit is None:
            return "at most the largest power of the true forcing"
        return f"a power of at most {self.limit:.4g}"

    def fitted(self, samples: Any) -> "EnergyLimit":
        """Return the limit, measured if it has no number yet."""
        if self.limit is not None:
            return self
        return EnergyLimit(energy_limit_of(samples, velocities=self.velocities), self.velocities)

    def in_run(self, increment: PyTree, state: PyTree) -> PyTree:
        """Return the limited increment; one below the limit, or of a flow at rest, as it is."""
        if self.limit is None:
            raise ConfigError(
                "this EnergyLimit has no number yet: train the closure, or give `limit`"
            )
        flow, given = self._velocities(state), self._velocities(increment)
        excess = _mean_product(flow, given) - self.limit
        square = _mean_product(flow, flow)
        share = excess / jnp.where(square > 0, square, 1)
        # chosen, not multiplied by 0: the same bits, -0 and all
        held = jnp.where(excess > 0, given - share * flow, given)
        found = {**_by_name(increment), **dict(zip(self.velocities, held, strict=True))}
        return jax.tree.unflatten(jax.tree.structure(increment), list(found.values()))

    def _velocities(self, tree: PyTree) -> Float[Array, "component y x"]:
        found = _by_name(tree)
        if any(name not in found or found[name].ndim != 2 for name in self.velocities):
            shapes = {name: leaf.shape for name, leaf in found.items()}
            raise ShapeError(
                f"an energy limit bounds u·S of the velocities {list(self.velocities)}, [y, x] "
                f"each, got a {type(tree).__name__} of {shapes}; take it off with "
                "closure.changed(output=closure.output.without(EnergyLimit))"
            )
        return jnp.stack([found[name] for name in self.velocities])


class Bounds(AbstractConstraint):
    """Keeps a state x within the bounds of its variables over a step of the increment, in runs.

        low ≤ x + dt S ≤ high      by      S ← min(max(S, (low - x)/dt), (high - x)/dt)

    `bounds`: low and high of each array of a state (`Variable.bounds`: a concentration has 0 and
    1). `dt`: the step, in the system's unit of time. An increment within these limits keeps its
    bits; one of a state outside brings it back to the nearest bound. The system's own tendency is
    not looked at. The loss of a training has no limit. Raises ConfigError unless `dt` is positive.
    """

    bounds: tuple[tuple[float, float], ...] = eqx.field(static=True)
    dt: float = eqx.field(converter=partial(positive_number, "dt"), static=True)

    @classmethod
    def for_system(cls, system: Any, **arguments: Any) -> "Bounds":
        """Return the limit for a system; raises ConfigError if no variable of it has bounds."""
        bounds = tuple(variable.bounds for variable in system.variables)
        if not np.any(np.isfinite(bounds)):
            raise ConfigError(
                f"bounds keeps variables within Variable.bounds, and {type(system).__name__} has "
                f"none for {[variable.name for variable in system.variables]}"
            )
        return cls(bounds, **arguments)

    @property
    def in_words(self) -> str:
        """What it does."""
        return f"no step of {self.dt:g} beyond the bounds of the variables"

    def in_run(self, increment: PyTree, state: PyTree) -> PyTree:
        """Return the limited increment."""
        leaves, structure = jax.tree.flatten(increment)
        triples = zip(leaves, jax.tree.leaves(state), self.bounds, strict=True)
        return structure.unflatten([self._limited(*triple) for triple in triples])

    def _limited(self, added: Any, value: Any, bounds: tuple[float, float]) -> Any:
        low, high = ((bound - value) / self.dt for bound in bounds)
        return jnp.clip(added, low, high)


def energy_limit_of(
    samples: Any, quantile: float = 1.0, velocities: tuple[str, ...] = ("u", "v")
) -> float:
    """Return the largest power of the true forcing over a split, or a quantile of it.

        P = <u S_u + v S_v>     < > the mean over the domain, energy per time

    For `EnergyLimit`. Over all samples (see `subgrid.data.Samples`), summed in float64; `quantile`
    1 is the largest of these, 0.5 their median. It is negative where the forcing takes energy from
    every state. `velocities`: the fields of a state, [y, x] each.

    Raises ConfigError for samples without these and their forcings, for a power that is not finite,
    and for a quantile beyond 0 to 1.
    """
    if not 0 <= quantile <= 1:
        raise ConfigError(f"quantile is {quantile!r}; it must lie between 0 and 1.")
    wanted = {*velocities, *(f"{name}_forcing" for name in velocities)}
    if not wanted <= set(samples.variables):
        raise ConfigError(
            f"an energy limit needs samples of {sorted(wanted)}; {samples.path} gives "
            f"{list(samples.variables)}. Ask Samples for these."
        )
    count = len(samples)
    starts = range(0, count, _AT_ONCE)
    chosen = (np.arange(first, min(first + _AT_ONCE, count)) for first in starts)
    powers = np.concatenate([_powers(samples, some, velocities) for some in chosen])
    if not np.all(np.isfinite(powers)):
        raise ConfigError(
            f"{samples.path}: the power of the forcing is not finite in "
            f"{np.sum(~np.isfinite(powers))} of {count} samples; look at the data."
        )
    return float(np.quantile(powers, quantile))


def _powers(samples: Any, chosen: np.ndarray, velocities: tuple[str, ...]) -> np.ndarray:
    """Return <u S_u + v S_v> of the chosen samples."""
    batch = samples.batch(chosen)
    if any(batch[name].ndim != 3 for name in velocities):
        raise ConfigError(f"an energy limit needs velocities without levels; see {samples.path}.")
    products = (
        batch[name].astype(np.float64) * batch[f"{name}_forcing"].astype(np.float64)
        for name in velocities
    )
    return np.mean(sum(products), axis=(-2, -1))


def _by_name(tree: PyTree) -> dict[str, Array]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}


def _mean_product(a: Array, b: Array) -> Float[Array, ""]:
    return jnp.sum(jnp.mean(a * b, axis=(-2, -1)))
