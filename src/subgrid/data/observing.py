"""What is kept of each frame of the truth: coarse states and what the coarse equations miss."""

from collections.abc import Mapping
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, PyTree

from subgrid.coarsening import AbstractCoarsener, AbstractTarget, TendencyDefect, subgrid_flux
from subgrid.systems import AbstractSystem, state_shapes


class Observer(eqx.Module):
    """Maps a fine state to {size: {array name: float32 array}} for all coarse sizes at once.

    `system`: the fine one. `coarse_systems`, `coarseners`: per size. For every variable v of a
    coarse system there are `v` = C x and `v_forcing` = S, to be ADDED; `target` says what S is; and
    for everything that drives it, the array of that name. With `store_flux`, for systems
    that have `advective_flux`, also `v_flux_x` and `v_flux_y`, whose divergence is -S.
    """

    system: AbstractSystem
    coarse_systems: Mapping[int, AbstractSystem]
    coarseners: Mapping[int, AbstractCoarsener]
    store_flux: bool = eqx.field(static=True, default=False)
    target: AbstractTarget = TendencyDefect()

    def __call__(self, state: PyTree, time: ArrayLike = 0.0) -> dict[int, dict[str, Array]]:
        """Return the arrays of one frame."""
        return {size: self._one(size, state, time) for size in sorted(self.coarse_systems)}

    def _one(self, size: int, state: PyTree, time: ArrayLike) -> dict[str, Array]:
        coarse, coarsener = self.coarse_systems[size], self.coarseners[size]
        seen, missing = self.target(self.system, coarse, coarsener, state, time)
        names = [variable.name for variable in coarse.variables]
        arrays = dict(zip(names, jax.tree.leaves(seen), strict=True))
        targets = zip(names, jax.tree.leaves(missing), strict=True)
        arrays |= {f"{name}_forcing": leaf for name, leaf in targets}
        drivers = jax.tree.leaves(coarse.forcing_at(jnp.asarray(time)))
        driving = zip(coarse.forcing_variables, drivers, strict=True)
        arrays |= {variable.name: leaf for variable, leaf in driving}
        if self.store_flux:
            flux = subgrid_flux(self.system, coarse, coarsener, state)  # type: ignore[arg-type]
            name = coarse.advected  # type: ignore[attr-defined]
            arrays |= {f"{name}_flux_x": flux.x, f"{name}_flux_y": flux.y}
        return {name: array.astype(jnp.float32) for name, array in arrays.items()}


@dataclass(frozen=True)
class ArrayLayout:
    """One array of a dataset: name, axes and shape of a frame, CF attributes."""

    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    attributes: dict[str, str]


@dataclass(frozen=True)
class ScaleLayout:
    """The arrays of one coarse size, the coordinates of their axes, and which are the domain's."""

    arrays: tuple[ArrayLayout, ...]
    coordinates: dict[str, tuple[np.ndarray, dict[str, str]]]
    domain_dims: tuple[str, ...]
    time_units: str = "s"


def layouts(observer: Observer) -> dict[int, ScaleLayout]:
    """Return what a dataset made with `observer` holds per coarse size."""
    shapes = eqx.filter_eval_shape(observer, state_shapes(observer.system))
    found = {}
    for size, arrays in shapes.items():
        coarse = observer.coarse_systems[size]
        meaning = _meaning(coarse, observer.target)
        if observer.store_flux:
            meaning |= _meaning_of_flux(coarse)
        found[size] = ScaleLayout(
            tuple(
                ArrayLayout(name, meaning[name][0], array.shape, meaning[name][1])
                for name, array in arrays.items()
            ),
            coarse.coordinates(),
            coarse.domain.dims,
            coarse.time_units,
        )
    return found


Meaning = dict[str, tuple[tuple[str, ...], dict[str, str]]]  # array → axes, CF attributes


def _meaning(coarse: AbstractSystem, target: AbstractTarget) -> Meaning:
    """Return axes and CF attributes of states, targets and what drives a coarse system."""
    found = {}
    per_time = "1" if coarse.time_units == "1" else f"{coarse.time_units}-1"
    for variable in coarse.variables:
        attributes = variable.attributes()
        found[variable.name] = variable.dims, attributes
        found[f"{variable.name}_forcing"] = (
            variable.dims,
            {
                **{name: text for name, text in attributes.items() if name != "standard_name"},
                "units": _times(variable.units, per_time),
                "long_name": f"subgrid forcing of {variable.long_name}, {target.use}",
            },
        )
    return found | {v.name: (v.dims, v.attributes()) for v in coarse.forcing_variables}


def _meaning_of_flux(coarse: AbstractSystem) -> Meaning:
    """Return axes and CF attributes of the flux form of the target."""
    name = coarse.advected  # type: ignore[attr-defined]
    carried = next(variable for variable in coarse.variables if variable.name == name)
    return {
        f"{name}_flux_{axis}": (
            carried.dims,
            {
                "units": _times(carried.units, "m s-1"),
                "long_name": f"{direction} subgrid flux of {carried.long_name}",
            },
        )
        for axis, direction in (("x", "eastward"), ("y", "northward"))
    }


def _times(units: str, factor: str) -> str:
    """Return the product of two units in the notation of UDUNITS, powers of a unit joined."""
    powers: dict[str, int] = {}
    for part in f"{units} {factor}".split():
        name = part.rstrip("-0123456789")
        if not name.isalpha():  # "1", or "m/s": leave such notation to UDUNITS
            if part == "1":
                continue
            return f"({units}) {factor}"
        powers[name] = powers.get(name, 0) + int(part[len(name) :] or 1)
    return " ".join(n if p == 1 else f"{n}{p}" for n, p in powers.items() if p) or "1"
