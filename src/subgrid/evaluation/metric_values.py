"""Distances between distributions of values: Wasserstein-1."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from subgrid.evaluation.components import by_component, component_names, quantities_of
from subgrid.evaluation.metrics import AbstractDistance, Names

if TYPE_CHECKING:
    import xarray as xr

Pool = Callable[[NDArray], Mapping[str, NDArray]]  # stacked snapshots → name → [component, value]


def wasserstein(first: ArrayLike, second: ArrayLike) -> float:
    """Wasserstein-1 distance ∫|F⁻¹ - G⁻¹| of two samples of values, in their units.

    F and G are the empirical distribution functions. Values that are not finite are left out; NaN
    if nothing is left.
    """
    a, b = (np.sort(np.ravel(values)[np.isfinite(np.ravel(values))]) for values in (first, second))
    if not a.size or not b.size:
        return float("nan")
    if a.size == b.size:
        return float(np.mean(np.abs(np.subtract(a, b, dtype=np.float64))))
    values = np.sort(np.concatenate([a, b]).astype(np.float64))
    gap = np.searchsorted(a, values[:-1], "right") / a.size
    gap = gap - np.searchsorted(b, values[:-1], "right") / b.size
    return float(np.sum(np.abs(gap) * np.diff(values)))


def pooled(values: Pool, snapshots: ArrayLike) -> Mapping[str, NDArray]:
    """Return the values whose distributions are compared, each [component, value].

    `snapshots` [..., component, *dims]: the last snapshots of all members; `values`: the method of
    the system that says which. Snapshots of members that blew up are NaN; without members there
    are no values.
    """
    fields = np.asarray(snapshots)
    fields = fields.reshape(-1, *fields.shape[2:])
    if len(fields):
        return values(fields)
    known = values(np.zeros((1, *fields.shape[1:]), fields.dtype))
    return {name: np.zeros((len(value), 0)) for name, value in known.items()}


class Wasserstein(AbstractDistance):
    """Wasserstein-1 distance of the values of a run from those of the truth.

    `values`: what a system makes of its snapshots, see `pooled`; None: the values of every series
    and field of the run, over members and times.
    """

    name, long_name = "wasserstein", "Wasserstein-1 distance of the values"

    def __init__(self, values: Pool | None = None):
        self.values = values

    @classmethod
    def of_system(cls, system: Any, cut: float | None) -> "Wasserstein":
        """Return the metric of the values that a system is compared by."""
        return cls(None if system is None else system.values)

    def of_all(self, run: "xr.Dataset", truth: "xr.Dataset", domain: Any) -> dict[Names, float]:
        """Return the distance of the distribution of each quantity."""
        if self.values is not None and "snapshots" in run:
            components = component_names(run["snapshots"], domain)
            sides = [pooled(self.values, data["snapshots"].values) for data in (run, truth)]
        else:
            return self._of_quantities(run, truth, domain)
        return {
            (name, component): wasserstein(sides[0][name][index], sides[1][name][index])
            for name in sides[0]
            for index, component in enumerate(components)
        }

    def _of_quantities(self, run: Any, truth: Any, domain: Any) -> dict[Names, float]:
        found = {}
        for name in quantities_of(run, domain, ["series", "field"]):
            if name in truth:
                ours, theirs = (by_component(data[name], domain) for data in (run, truth))
                for index, component in enumerate(component_names(run[name], domain)):
                    key = name, component
                    found[key] = wasserstein(ours[:, index], theirs[:, index])
        return found
