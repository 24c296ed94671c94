"""What is kept of each frame of the truth: coarse states and what the coarse equations miss."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from subgrid.coarsening import AbstractTarget, TendencyDefect, subgrid_flux
from subgrid.systems import state_shapes


class Observer(eqx.Module):
    """Maps a fine state to {size: {array name: float32 array}} for all coarse sizes at once.

    `system`: the fine one. `coarse_systems`, `coarseners`: per size. For every variable v there are
    `v` = C x and `v_forcing` = S, to be ADDED; `target` says what S is. With `store_flux`
    (two-layer QG) also `q_flux_x` and `q_flux_y`, whose divergence is -S.
    """

    system: Any
    coarse_systems: Mapping[int, Any]
    coarseners: Mapping[int, Any]
    store_flux: bool = eqx.field(static=True, default=False)
    target: AbstractTarget = TendencyDefect()

    def __call__(self, state: PyTree) -> dict[int, dict[str, Array]]:
        """Return the arrays of one frame."""
        return {size: self._one(size, state) for size in sorted(self.coarse_systems)}

    def _one(self, size: int, state: PyTree) -> dict[str, Array]:
        coarse, coarsener = self.coarse_systems[size], self.coarseners[size]
        seen, forcing = self.target(self.system, coarse, coarsener, state)
        names = [variable.name for variable in self.system.variables]
        arrays = {name: getattr(seen, name) for name in names}
        arrays |= {f"{name}_forcing": getattr(forcing, name) for name in names}
        if self.store_flux:
            flux = subgrid_flux(self.system, coarse, coarsener, state)
            arrays |= {"q_flux_x": flux.x, "q_flux_y": flux.y}
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
    """The arrays of one coarse size and the coordinates of their axes."""

    arrays: tuple[ArrayLayout, ...]
    coordinates: dict[str, tuple[np.ndarray, dict[str, str]]]
    time_units: str = "s"


def layouts(observer: Observer) -> dict[int, ScaleLayout]:
    """Return what a dataset made with `observer` holds per coarse size."""
    shapes = eqx.filter_eval_shape(observer, state_shapes(observer.system))
    found = {}
    for size, arrays in shapes.items():
        meaning = _meaning(observer)
        found[size] = ScaleLayout(
            tuple(
                ArrayLayout(name, meaning[name][0], array.shape, meaning[name][1])
                for name, array in arrays.items()
            ),
            observer.coarse_systems[size].coordinates(),
            observer.system.time_units,
        )
    return found


def _meaning(observer: Observer) -> dict[str, tuple[tuple[str, ...], dict[str, str]]]:
    """Return axes and CF attributes of every array that the observer makes."""
    found = {}
    per_time = "1" if observer.system.time_units == "1" else f"{observer.system.time_units}-1"
    for variable in observer.system.variables:
        attributes = variable.attributes()
        found[variable.name] = variable.dims, attributes
        found[f"{variable.name}_forcing"] = (
            variable.dims,
            {
                **{name: text for name, text in attributes.items() if name != "standard_name"},
                "units": _times(variable.units, per_time),
                "long_name": f"subgrid forcing of {variable.long_name}, {observer.target.use}",
            },
        )
    if observer.store_flux:
        pv = next(variable for variable in observer.system.variables if variable.name == "q")
        for axis, direction in (("x", "eastward"), ("y", "northward")):
            found[f"q_flux_{axis}"] = (
                pv.dims,
                {
                    "units": _times(pv.units, "m s-1"),
                    "long_name": f"{direction} subgrid flux of {pv.long_name}",
                },
            )
    return found


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
