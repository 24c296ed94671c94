"""Sums over a run on the host, the dataset made of them, and the same of the truth's data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from subgrid.closures import channels_to_state
from subgrid.evaluation.layers import CORRELATION, correlation_quantity
from subgrid.evaluation.observers import require_quantities
from subgrid.evaluation.plan import RunPlan
from subgrid.grids import isotropic_spectrum
from subgrid.systems import AbstractSystem, Quantity, state_shapes

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True)
class RunSums:
    """Holds what a run has shown so far, on the host, sums in float64.

    Units as in the `quantities` of the system, of a density those of its spectrum over a length.
    `series`: name →
    [frame, member, ...]; `power`: name → sum over averaged frames [member, ..., ny, nx//2+1];
    `averaged_frames` [member]: frames in those sums, none from a blow-up on; `steps` [frame];
    `snapshots`: the system's field [member, level, y, x] at each of `snapshot_steps`, apart, so
    that one more copies none.
    """

    series: dict[str, NDArray] = field(default_factory=dict)
    power: dict[str, NDArray] = field(default_factory=dict)
    averaged_frames: NDArray = field(default_factory=lambda: np.zeros(0, np.int64))
    steps: NDArray = field(default_factory=lambda: np.zeros(0, np.int64))
    snapshots: tuple[NDArray, ...] = ()
    snapshot_steps: NDArray = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def steps_done(self) -> int:
        """Steps of the last frame seen."""
        return int(self.steps[-1]) if len(self.steps) else 0

    def with_frames(
        self,
        system: AbstractSystem,
        seen: Mapping[str, Any],
        steps: NDArray,
        blew_up_at: NDArray,
        average_from: int,
    ) -> "RunSums":
        """Return the sums with the observations of a segment, [frame, member, ...], added.

        `seen`: values of the series and densities of the spectra of `system`, by quantity;
        `steps`: of its frames; `blew_up_at` [member]: -1 or the step from which a member is masked;
        frames after step `average_from` enter the power.
        """
        spectra = {quantity.name for quantity in system.quantities if quantity.is_spectrum}
        alive = alive_frames(steps, blew_up_at)
        averaged = alive & (steps > average_from)[:, None]
        series, power = {}, {}
        for name, value in seen.items():
            if name not in spectra:
                new = np.array(value, np.float64)
                new[~alive] = np.nan
                series[name] = np.concatenate([self.series[name], new]) if len(self.steps) else new
                continue
            density = np.asarray(value, np.float64)
            # where, not times zero: a masked frame may hold values that are not finite
            mask = averaged.reshape(*averaged.shape, *[1] * (density.ndim - 2))
            total = np.where(mask, density, 0.0).sum(axis=0)
            power[name] = self.power[name] + total if len(self.steps) else total
        counts = averaged.sum(axis=0)
        return replace(
            self,
            series=series,
            power=power,
            averaged_frames=self.averaged_frames + counts if len(self.steps) else counts,
            steps=np.concatenate([self.steps, np.asarray(steps, np.int64)]),
        )

    def with_snapshot(self, fields: NDArray) -> "RunSums":
        """Return the sums with the fields [member, level, y, x] of the last frame."""
        return replace(
            self,
            snapshots=(*self.snapshots, np.asarray(fields)),
            snapshot_steps=np.append(self.snapshot_steps, self.steps_done),
        )

    def totals(self) -> dict[str, NDArray]:
        """Return what does not grow as a run goes on, as named arrays for a file."""
        power = {f"power/{name}": value for name, value in self.power.items()}
        return {**power, "averaged_frames": self.averaged_frames}

    def segment(self, frames: int, with_snapshot: bool) -> dict[str, NDArray]:
        """Return what the last `frames` frames added, the last snapshot included or not."""
        arrays = {f"series/{name}": value[-frames:] for name, value in self.series.items()}
        arrays["steps"] = self.steps[-frames:]
        return arrays | ({"snapshot": self.snapshots[-1]} if with_snapshot else {})

    @classmethod
    def of_segments(
        cls, segments: Sequence[Mapping[str, NDArray]], totals: Mapping[str, NDArray]
    ) -> "RunSums":
        """Return the sums whose `segment` gave these in order, and `totals` the rest."""
        series = [name for name in segments[0] if name.startswith("series/")]
        drawn = [part for part in segments if "snapshot" in part]
        power = {name: value for name, value in totals.items() if name.startswith("power/")}
        return cls(
            {n.removeprefix("series/"): np.concatenate([p[n] for p in segments]) for n in series},
            {name.removeprefix("power/"): value for name, value in power.items()},
            totals["averaged_frames"],
            np.concatenate([part["steps"] for part in segments]),
            tuple(part["snapshot"] for part in drawn),
            np.array([part["steps"][-1] for part in drawn], np.int64),
        )


def alive_frames(steps: NDArray, blew_up_at: NDArray) -> NDArray[np.bool_]:
    """Return whether each member is alive at each frame, [frame, member]."""
    return (blew_up_at < 0) | (np.asarray(steps)[:, None] < blew_up_at)


def run_dataset(
    sums: RunSums,
    system: Any,
    dt: float,
    blew_up_at: NDArray,
    average_from: int,
    definition: str = "pyqg",
) -> "xr.Dataset":
    """Return the statistics of a run as an xarray.Dataset with CF attributes.

    Variables: the `quantities` of the system ([member, time, ...] series; [member, ...,
    wavenumber] isotropic spectra averaged over the frames of `averaged_frames`), `snapshots`
    [member, snapshot, level, y, x], `blew_up_at` [member] (step, or -1). Values of a member are NaN
    from its blow-up on, and its spectra if no frame of it was averaged. Wavenumbers in rad/m, times
    in s since the initial state, or both without a unit.
    """
    import xarray as xr

    grid, counts, drawn = system.grid, sums.averaged_frames, require_quantities(system)
    table = {quantity.name: quantity for quantity in system.quantities}
    table[CORRELATION] = correlation_quantity(drawn.long_name)
    variables: dict[str, Any] = {}
    for name, value in sums.series.items():
        variables[name] = _described(table[name], np.moveaxis(value, 0, 1))
    wavenumber = np.zeros(0)
    for name, value in sums.power.items():
        divisor = np.where(counts > 0, counts, np.nan).reshape(-1, *[1] * (value.ndim - 1))
        wavenumber, spectrum = isotropic_spectrum(value / divisor, grid, definition)
        variables[name] = _described(table[name], spectrum)
    if sums.snapshots:
        kept = np.stack(sums.snapshots, axis=1)
        kept[~alive_frames(sums.snapshot_steps, blew_up_at).T] = np.nan
        variables["snapshots"] = (
            ("member", "snapshot", "level", "y", "x"),
            kept,
            {
                "units": drawn.units,
                "long_name": f"{drawn.long_name} at the last snapshots",
            },
        )
    variables["blew_up_at"] = (
        "member",
        np.asarray(blew_up_at, np.int64),
        {"units": "1", "long_name": "step at which the member blew up, -1 if it did not"},
    )
    variables["averaged_frames"] = (
        "member",
        counts,
        {"units": "1", "long_name": "frames in the mean spectra"},
    )
    return xr.Dataset(variables, coords=_coordinates(sums, system, dt, wavenumber)).assign_attrs(
        dt=dt,
        steps=sums.steps_done,
        average_from=average_from,
        spectrum_definition=definition,
    )


def reference_statistics(
    system: Any,
    states: Any,
    forcings: Any,
    *,
    save_every: int,
    dt: float,
    average_from: int = -1,
    snapshots: int = 10,
    chunk: int = 32,
) -> "xr.Dataset":
    """Return the statistics of the truth from a data set's coarse states, like `free_runs`.

    `states`, `forcings` [member, time, channel, y, x]: the variables of `system` on its grid, those
    without levels one after another (of two-layer QG: q, level by level, 1/s), and the true
    subgrid forcing (per time; None leaves the closure's part out of the budget). Anything that
    slices like an array, for example a Zarr variable: `chunk` frames are in memory at a time. Frame
    i counts as step (i + 1) · `save_every` of `dt`. `average_from` and `snapshots`: see `RunPlan`.
    A member is masked from the first frame that is not finite.
    """
    import equinox as eqx
    import jax.numpy as jnp

    require_quantities(system)
    like = state_shapes(system)

    @eqx.filter_jit
    def observe(system, x, s):
        def one(x, s):
            state = channels_to_state(x, like)
            seen = system.observe(state, None if s is None else channels_to_state(s, like))
            return seen, system.field(state)

        axes = (0, None if s is None else 0)
        return eqx.filter_vmap(eqx.filter_vmap(one, in_axes=axes), in_axes=axes, out_axes=1)(x, s)

    shape = np.shape(states)
    frames = shape[1]
    plan = RunPlan(frames * save_every, save_every, average_from, snapshots)
    kept = np.array(plan.snapshot_frames())
    blew_up_at = np.full(shape[0], -1, np.int64)
    sums, fields = RunSums(), []
    for begin in range(0, frames, chunk):
        part = slice(begin, min(begin + chunk, frames))
        x = np.asarray(states[:, part])  # type: ignore[index]
        s = None if forcings is None else np.asarray(forcings[:, part])  # type: ignore[index]
        steps = save_every * np.arange(part.start + 1, part.stop + 1)
        blew_up_at = _first_bad(x, s, steps, blew_up_at)
        given = jnp.asarray(x), None if s is None else jnp.asarray(s)
        seen, drawn = observe(system, *given)
        sums = sums.with_frames(system, seen, steps, blew_up_at, plan.average_from)
        fields += [np.asarray(drawn[i - begin]) for i in kept if part.start <= i < part.stop]
    sums = replace(sums, snapshots=tuple(fields), snapshot_steps=save_every * (kept + 1))
    return run_dataset(sums, system, dt, blew_up_at, plan.average_from)


def _first_bad(
    x: NDArray, s: NDArray | None, steps: NDArray, blew_up_at: NDArray
) -> NDArray[np.int64]:
    """Return `blew_up_at` with members dated whose frames [member, time, ...] are not finite."""
    bad = ~np.isfinite(x).all(axis=(2, 3, 4))
    if s is not None:
        bad |= ~np.isfinite(s).all(axis=(2, 3, 4))
    found = np.where(np.any(bad, axis=1), steps[np.argmax(bad, axis=1)], -1)
    return np.where(blew_up_at >= 0, blew_up_at, found)


def _described(
    quantity: Quantity, values: NDArray
) -> tuple[tuple[str, ...], NDArray, dict[str, str]]:
    return ("member", *quantity.dims), values, quantity.attributes


def _coordinates(sums: RunSums, system: Any, dt: float, wavenumber: NDArray) -> dict[str, Any]:
    named = {
        name: (name, values, attributes)
        for name, (values, attributes) in system.coordinates().items()
    }
    since = {"units": system.time_units, "long_name": "time since the initial state"}
    named["time"] = ("time", sums.steps * dt, since)
    named["snapshot_time"] = ("snapshot", sums.snapshot_steps * dt, since)
    named["wavenumber"] = (
        "wavenumber",
        wavenumber,
        {
            "units": "rad m-1" if system.time_units == "s" else "1",
            "long_name": "isotropic wavenumber, centre of the ring",
        },
    )
    return named
