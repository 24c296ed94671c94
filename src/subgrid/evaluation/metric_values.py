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
    return _between(_in_order(first), _in_order(second))


def _in_order(values: ArrayLike) -> NDArray:
    """Return the finite values in order."""
    flat = np.ravel(values)
    return np.sort(flat[np.isfinite(flat)])


def _between(a: NDArray, b: NDArray) -> float:
    """Return the distance of two samples in order."""
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


class Pooled:
    """Distances of values from one truth after another, which is kept: all runs have the same."""

    def __init__(self, values: Pool):
        self.values = values
        self._kept: tuple[Any, Any, Any] = (None, None, None)

    def distances(self, run: "xr.Dataset", truth: "xr.Dataset") -> dict[str, list[float]]:
        """Return the distance of each quantity [component]."""
        ours, theirs = pooled(self.values, run["snapshots"].values), self._of(truth)[1]
        return {
            name: [
                _between(_in_order(part), other)
                for part, other in zip(parts, theirs[name], strict=True)
            ]
            for name, parts in ours.items()
        }

    def sizes(self, truth: "xr.Dataset") -> dict[str, list[float]]:
        """Return the root-mean-square of each quantity of the truth [component]."""
        return self._of(truth)[2]

    def _of(self, truth: "xr.Dataset") -> tuple[Any, Any, Any]:
        if self._kept[0] is not truth:
            found = pooled(self.values, truth["snapshots"].values)
            ordered = {name: [_in_order(part) for part in parts] for name, parts in found.items()}
            sizes = {name: [_size(part) for part in parts] for name, parts in found.items()}
            self._kept = truth, ordered, sizes
        return self._kept


def _size(values: NDArray) -> float:
    """Return the root-mean-square of values; 0 without any."""
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64)))) if np.any(values) else 0.0


class Wasserstein(AbstractDistance):
    """Wasserstein-1 distance of the values of a run from those of the truth.

    `values`: what a system makes of its snapshots, see `pooled`; None: the values of every series
    and field of the run, over members and times.
    """

    name, long_name = "wasserstein", "Wasserstein-1 distance of the values"

    def __init__(self, values: Pool | None = None):
        self.pooled = None if values is None else Pooled(values)

    @classmethod
    def of_system(cls, system: Any, cut: float | None) -> "Wasserstein":
        """Return the metric of the values that a system is compared by."""
        return cls(None if system is None else system.values)

    def of_all(self, run: "xr.Dataset", truth: "xr.Dataset", domain: Any) -> dict[Names, float]:
        """Return the distance of the distribution of each quantity."""
        if self.pooled is None or "snapshots" not in run:
            return self._of_quantities(run, truth, domain)
        components = component_names(run["snapshots"], domain)
        return {
            (name, component): distance
            for name, distances in self.pooled.distances(run, truth).items()
            for component, distance in zip(components, distances, strict=True)
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
