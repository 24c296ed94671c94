"""The dataset made of the sums over a run, and the same of the truth's data."""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from subgrid.evaluation.components import followed_quantities
from subgrid.evaluation.observers import (
    AbstractObserver,
    ModelObserver,
    in_order,
    require_quantities,
    state_of,
)
from subgrid.evaluation.plan import RunPlan
from subgrid.evaluation.run_sums import RunSums, alive_frames
from subgrid.systems import AbstractSystem, Quantity, state_shapes


def run_dataset(
    sums: RunSums,
    observer: AbstractObserver,
    dt: float,
    blew_up_at: NDArray,
    average_from: int,
    definition: str = "pyqg",
) -> xr.Dataset:
    """Return the statistics of a run as an xarray.Dataset with CF attributes.

    Variables: the `quantities` of the observer ([member, time, ...] series and fields; [member,
    ..., wavenumber] isotropic spectra averaged over the frames of `averaged_frames`), `snapshots`
    [member, snapshot, ...] of its field, `blew_up_at` [member] (step, or -1). Values of a member
    are NaN from its blow-up on, and its spectra if no frame of it was averaged. Wavenumbers in
    rad/m, times in s since the initial state, or both without a unit.
    """
    counts = np.asarray(sums.averaged_frames)
    table = {quantity.name: quantity for quantity in observer.quantities}
    if observer.drawn is not None:
        table |= followed_quantities(observer.drawn)
    variables: dict[str, Any] = {}
    for name, value in sums.series().items():
        variables[name] = _described(table[name], np.moveaxis(value, 0, 1))
    wavenumber = None
    for name, value in sums.power.items():
        divisor = np.where(counts > 0, counts, np.nan).reshape(-1, *[1] * (value.ndim - 1))
        wavenumber, spectrum = observer.domain.isotropic_spectrum(
            value / divisor, definition=definition
        )
        variables[name] = _described(table[name], spectrum)
    variables |= _snapshots(sums, observer, blew_up_at)
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
    return xr.Dataset(variables, coords=_coordinates(sums, observer, dt, wavenumber)).assign_attrs(
        dt=dt, steps=sums.steps_done, average_from=average_from, spectrum_definition=definition
    )


def _snapshots(sums: RunSums, observer: AbstractObserver, blew_up_at: NDArray) -> dict[str, Any]:
    """Return the snapshots [member, snapshot, ...] with their dims, if there are any."""
    (steps, fields), drawn = sums.snapshots(), observer.drawn
    if drawn is None or not fields:
        return {}
    kept = np.stack(fields, axis=1)
    kept[~alive_frames(steps, blew_up_at).T] = np.nan
    dims = ("member", "snapshot", *drawn.components, *observer.domain.dims)
    notes = {"units": drawn.units, "long_name": f"{drawn.long_name} at the last snapshots"}
    return {"snapshots": (dims, kept, notes)}


def reference_statistics(
    system: AbstractSystem,
    states: Any,
    forcings: Any,
    *,
    save_every: int,
    dt: float,
    average_from: int = -1,
    snapshots: int = 10,
    chunk: int = 32,
) -> xr.Dataset:
    """Return the statistics of the truth from a data set's coarse states, like `free_runs`.

    `states`, `forcings`: the variables of `system` on its domain, and the true subgrid forcing (per
    time; None leaves the closure's part out of what depends on it). What slices like an array
    [member, time] and gives arrays by variable, such as `subgrid.data.Following`, or one array
    [member, time, channel, ...] of all variables, those of several levels level by level: `chunk`
    frames are in memory at a time. Frame i counts as step (i + 1) · `save_every` of `dt`.
    `average_from` and `snapshots`: see `RunPlan`. A member is masked from the first frame that is
    not finite.
    """
    import equinox as eqx
    import jax

    observer = ModelObserver(system)
    require_quantities(system)
    like = state_shapes(system)

    @eqx.filter_jit
    def observe(observer, x, s):
        def one(x, s):
            state = state_of(x, like)
            increment = None if s is None else state_of(s, like)
            return observer.system.observe(state, increment), observer.field(state)

        axes = (0, None if s is None else 0)
        return eqx.filter_vmap(eqx.filter_vmap(one, in_axes=axes), in_axes=axes, out_axes=1)(x, s)

    members, frames = states.shape[:2]
    plan = RunPlan(frames * save_every, save_every, average_from, snapshots)
    kept = plan.snapshot_frames()
    blew_up_at = np.full(members, -1, np.int64)
    sums = RunSums()
    for begin in range(0, frames, chunk):
        part = slice(begin, min(begin + chunk, frames))
        x = jax.tree.map(np.asarray, in_order(states[:, part]))
        s = None if forcings is None else forcings[:, part]
        s = jax.tree.map(np.asarray, in_order(s))
        steps = save_every * np.arange(part.start + 1, part.stop + 1)
        blew_up_at = _first_bad((x, s), steps, blew_up_at)
        seen, fields = observe(observer, x, s)
        drawn = {
            save_every * (i + 1): fields[i - begin]
            for i in kept
            if fields is not None and part.start <= i < part.stop
        }
        sums = sums.with_frames(
            system.quantities, seen, steps, blew_up_at, plan.average_from, drawn
        )
    return run_dataset(sums, observer, dt, blew_up_at, plan.average_from)


def _first_bad(values: Any, steps: NDArray, blew_up_at: NDArray) -> NDArray[np.int64]:
    """Return `blew_up_at` with members dated whose frames [member, time, ...] are not finite."""
    import jax

    leaves = jax.tree.leaves(values)
    bad = np.zeros(leaves[0].shape[:2], bool)
    for leaf in leaves:
        bad |= ~np.isfinite(leaf).all(axis=tuple(range(2, leaf.ndim)))
    found = np.where(np.any(bad, axis=1), steps[np.argmax(bad, axis=1)], -1)
    return np.where(blew_up_at >= 0, blew_up_at, found)


def _described(
    quantity: Quantity, values: NDArray
) -> tuple[tuple[str, ...], NDArray, dict[str, str]]:
    kind = {"kind": quantity.kind} if quantity.kind == "field" else {}
    return ("member", *quantity.dims), values, {**quantity.attributes, **kind}


def _coordinates(
    sums: RunSums, observer: AbstractObserver, dt: float, wavenumber: NDArray | None
) -> dict[str, Any]:
    of = observer.of
    named = {
        name: (name, values, attributes) for name, (values, attributes) in of.coordinates().items()
    }
    since = {"units": of.time_units, "long_name": "time since the initial state"}
    named["time"] = ("time", sums.steps * dt, since)
    if observer.drawn is not None:
        named["snapshot_time"] = ("snapshot", sums.snapshots()[0] * dt, since)
    if wavenumber is None:
        return named
    named["wavenumber"] = (
        "wavenumber",
        wavenumber,
        {
            "units": "rad m-1" if of.time_units == "s" else "1",
            "long_name": "isotropic wavenumber, centre of the ring",
        },
    )
    return named
