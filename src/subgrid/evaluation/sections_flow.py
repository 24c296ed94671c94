"""Sections on the runs themselves: fields, forcings, spectra, series over time, correlation."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from subgrid.evaluation import table as scores
from subgrid.evaluation.captions import caption
from subgrid.evaluation.components import (
    CORRELATION,
    all_components,
    by_component,
    component_words,
    components_of_system,
    correlated_field,
    in_words,
    main_spectra,
    of_component,
    quantities_of,
    score_name,
    with_units,
)
from subgrid.evaluation.draw import Curve, boxes, field_limit, lines, maps
from subgrid.evaluation.findings import Findings, Runs
from subgrid.evaluation.formats import capital, interval_text
from subgrid.evaluation.intervals import percent
from subgrid.evaluation.metric_runs import THRESHOLD
from subgrid.evaluation.report import Section, Table, section
from subgrid.evaluation.style import TRUTH, Panel, Styles, lost_note
from subgrid.evaluation.survival import blow_up_steps, blow_ups, first_date, unit_of

if TYPE_CHECKING:
    import xarray as xr

_YEAR = 360.0  # days, as in the published experiments
_BROAD = (6.4, 4.2)


def flow_sections(found: Findings, styles: Styles) -> list[Section]:
    """Return the maps of a true state, of its forcing and of what closures make of it."""
    system, snapshot = found.system, found.snapshot
    if snapshot is None or system.drawn is None:
        return []
    drawn, words, metres = system.drawn, components_of_system(system), system.time_units == "s"
    symbol, meant = drawn.forcing_symbol, drawn.forcing_long_name
    states, forcings = [], []

    def parts_of(field: Any) -> NDArray:
        """Return a field [component, *dims], one component where it has none."""
        return np.reshape(field, (-1, *system.domain.shape))

    for index, (part, called) in enumerate(words.items()):
        truth = parts_of(snapshot.forcing)[index]
        fields = {"truth": truth}
        fields |= {styles[n].label: parts_of(s)[index] for n, s in snapshot.predictions.items()}
        alt = of_component(f"map of true {drawn.long_name}", called)
        label = of_component(f"true {drawn.symbol}", called)
        bar = with_units(drawn.symbol, drawn.units)
        state, names = {label: parts_of(snapshot.field)[index]}, (score_name("field", part), alt)
        states.append(maps(*names, state, system.domain, bar, metres=metres))
        alt = of_component("maps of true and modelled forcing", called)
        bar = with_units(of_component(symbol, called), drawn.forcing_units)
        look = {"metres": metres, "limit": field_limit(truth)}
        forcings.append(maps(score_name("forcing", part), alt, fields, system.domain, bar, **look))
    closures, where = bool(snapshot.predictions), all_components(words)
    scale = "an axis" if len(system.domain.dims) == 1 else "their colours"
    return [
        section(
            "A state of the truth", caption("state", field=f"{drawn.long_name}{where}"), states
        ),
        section(
            "Subgrid forcing: truth and closures" if closures else "Subgrid forcing",
            "The tendency that the coarse equations miss at that moment"
            + (", and what each closure makes of the coarse state" if closures else "")
            + f"{'' if symbol == 'S' else f': {meant}'}. Panels of a component share {scale}.",
            forcings,
        ),
    ]


def run_sections(found: Findings, styles: Styles) -> list[Section]:
    """Return the spectra of the runs and their series over time."""
    truth, unit = found.truth, unit_of(found.truth)
    last = float(truth["time"].values[-1]) / unit.length
    length = f"{last:.0f} days" if unit.name == "days" else f"{last:.3g} {unit.name}"
    start = truth.attrs.get("average_from", 0) / truth.attrs.get("steps", 1)
    parts = {"length": length, "members": truth.sizes["member"], "share": 100 - round(100 * start)}
    sections = []
    for name in main_spectra(truth):
        headed = name == scores.main_error(found.table)[1]
        cut = "spectrum_cut" if headed else ""
        panels = _spectra(name, found, styles)
        sections.append(
            section(
                f"{capital(in_words(name))}, mean",
                caption("runs", "averaged", cut, **parts),
                panels,
            )
        )
    series = [
        name
        for name in quantities_of(truth, found.system.domain, ["series"])
        if list(component_words(truth[name])) == [""]
    ]
    panels = [
        _series(name, truth, found.runs, styles)
        for name in series
        if all(name in data for sets in found.runs.values() for data in sets)
    ]
    title = f"{capital(' and '.join(map(in_words, series[:2])))} over time"
    return [*sections, section(title, caption("runs", "series", **parts), panels)]


def following_section(found: Findings, styles: Styles) -> list[Section]:
    """Return how long runs follow the truth, what their energy does, and compensated spectra."""
    table, name = found.table, scores.followed(found.table)
    if not name or name not in next(iter(found.runs.values()))[0]:
        return []
    some, units = next(iter(found.runs.values()))[0], table.attrs["time_units"]
    field = correlated_field(some)
    times = {
        model: scores.of_runs(table, "decorrelation_time", model, quantity=name, component="")
        for model in scores.models(table)
    }
    label, notes = f"decorrelation time [{units}]", _lost(found.runs, styles)
    clock = f"time since the initial state [{units}]"
    alt = "box plots of decorrelation times by model"
    panels = [boxes("decorrelation", alt, {"": times}, styles, label)]
    alt = f"correlation of the {field} with the truth over time"
    curves = _mean_curves(found.runs, CORRELATION, styles)
    y = f"correlation of the {field}"
    panels.append(lines("correlation", alt, curves, clock, y, across=THRESHOLD, notes=notes))
    return [
        section(
            "How long free runs follow the truth",
            caption("following", field=field),
            panels,
            [_following_table(found, styles, field), _gains_table(found, styles)],
        ),
        _kept_section(found, styles, clock),
        *_compensated(found, styles),
    ]


def _following_table(found: Findings, styles: Styles, field: str) -> Table:
    """Return a row per model: decorrelation time, gain, energy error, blow-ups."""
    table, units = found.table, found.table.attrs["time_units"]
    few = "" if scores.is_sure(table) else "following_few"

    def row(model: str) -> tuple[str, ...]:
        place = {"model": model, "quantity": scores.followed(table), "component": ""}
        lasting = scores.of_runs(table, "lasting", model, quantity=place["quantity"], component="")
        runs = scores.counted_runs(table, model)
        networks = len(scores.ran(table, model))
        return (
            styles[model].label,
            f"{networks} × {runs // networks}",
            interval_text(scores.interval(table, "decorrelation_time_mean", **place)),
            interval_text(scores.interval(table, "decorrelation_time_gain", **place)),
            interval_text(scores.kept_error(table, model), "{:.3f}"),
            f"{int(np.nansum(lasting))} of {runs}",
            f"{len(scores.counted_blow_ups(table, model))} of {runs}",
        )

    return Table(
        "Online: how long runs follow the truth",
        caption(
            "following_table",
            few,
            field=field,
            threshold=THRESHOLD,
            level=percent(table.attrs["level"]),
            trajectories=table.attrs["trajectories"],
        ),
        (
            "model",
            "runs",
            f"decorrelation time [{units}]",
            "gain",
            "energy error",
            "correlated to the end",
            "blown up",
        ),
        tuple(map(row, scores.models(table))),
    )


def _gains_table(found: Findings, styles: Styles) -> Table:
    """Return a row per pair of models: how much longer the first follows the truth."""
    table = found.table

    def row(one: str, other: str) -> tuple[str, ...]:
        errors = (scores.kept_error(table, model).estimate for model in (one, other))
        lost = (
            f"{len(scores.counted_blow_ups(table, m))} of {scores.counted_runs(table, m)}"
            for m in (one, other)
        )
        return (
            f"{styles[one].label} / {styles[other].label}",
            interval_text(scores.lasting_ratio(table, one, other)),
            " / ".join(f"{error:.3f}" for error in errors),
            " / ".join(lost),
        )

    return Table(
        "Online: models against each other",
        caption("gains_table"),
        ("model / other", "ratio of decorrelation times", "energy errors", "blown up"),
        tuple(row(one, other) for one, other in found.pairs),
    )


def _kept_section(found: Findings, styles: Styles, clock: str) -> Section:
    """Return the energy over time: mean and one standard deviation."""
    name, curves, top = scores.kept_series(found.table), [], 0.0
    for model, sets in {TRUTH: [found.truth], **found.runs}.items():
        time, values = _alive(sets, name)
        if not time.size:
            continue
        mean, deviation = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
        band = (mean - deviation, mean + deviation)
        curves.append(Curve(styles[model], time, mean, band))
        if not blow_ups(sets):  # a model on its way out does not set the scale
            top = max(top, float(band[1].max()))
    label = found.truth[name].attrs.get("long_name", in_words(name))
    alt, limits = (
        f"{in_words(name)} over time with its deviation",
        (0.0, 1.15 * top if top else None),
    )
    more = {"limits": limits, "notes": _lost(found.runs, styles), "inches": _BROAD}
    return section(
        f"{capital(in_words(name.removeprefix('total_')))} over time",
        caption("kept"),
        [lines("energy_deviation", alt, curves, clock, label, **more)],
    )


def _compensated(found: Findings, styles: Styles) -> list[Section]:
    """Return the main spectrum times the power of k that flattens it, if the system names one."""
    slope = getattr(found.system, "spectral_slope", None)
    if slope is None or not main_spectra(found.truth):
        return []
    name, curves, limits = main_spectra(found.truth)[0], [], None
    wavenumber = found.truth["wavenumber"].values
    for model, sets in {TRUTH: [found.truth], **found.runs}.items():
        spectra = _surviving(sets, name)[1][:, 0]
        if len(spectra):
            shown = wavenumber**slope * spectra.mean(axis=0)
            curves.append(Curve(styles[model], wavenumber, shown))
            limits = limits or (
                shown[shown > 0].min() / 3,
                5 * shown.max(),
            )  # the truth comes first
    power = str(slope).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
    alt, axis = f"spectra times k to the {slope}", "isotropic wavenumber k"
    more = {"log": "xy", "limits": limits, "notes": _lost(found.runs, styles), "inches": _BROAD}
    panel = lines("compensated_spectra", alt, curves, axis, f"k{power} E(k)", **more)
    return [
        section(
            f"Compensated {in_words(name)}",
            caption("compensated", spectrum=in_words(name), power=power),
            [panel],
        )
    ]


def _surviving(sets: "Sequence[xr.Dataset]", name: str) -> tuple[int, NDArray]:
    """Return the number of runs, and a spectrum [run, component, wavenumber] of those alive."""
    alive = np.concatenate([blow_up_steps(data) < 0 for data in sets])
    return len(alive), np.concatenate([by_component(data[name]) for data in sets])[alive]


def _spectra(name: str, found: Findings, styles: Styles) -> list[Panel]:
    """Return a panel per component of a mean spectrum, the cut of the error marked."""
    truth, panels = found.truth, []
    wavenumber, cut = truth["wavenumber"].values, found.cut or np.inf
    for index, (part, called) in enumerate(component_words(truth[name]).items()):
        curves, notes, seen = [], [], []
        for model, sets in {TRUTH: [truth], **found.runs}.items():
            runs, spectra = _surviving(sets, name)
            values, lost = spectra[:, index], runs - len(spectra)
            if lost:
                notes.append(lost_note(styles[model], lost, runs, len(spectra)))
            if len(values):
                band = (values.min(axis=0), values.max(axis=0))
                curves.append(Curve(styles[model], wavenumber, values.mean(axis=0), band))
                seen.append(curves[-1].y[wavenumber < 1.15 * cut])
        positive = np.concatenate(seen)[np.concatenate(seen) > 0] if seen else np.ones(1)
        units = with_units(in_words(name), truth[name].attrs["units"])
        across = with_units("isotropic wavenumber", truth["wavenumber"].attrs["units"])
        more = {
            "limits": (positive.min() / 3, positive.max() * 2),
            "down": found.cut and (found.cut, "cut of the error"),
            "title": called,
            "notes": notes,
        }
        alt = of_component(in_words(name), called)
        panels.append(lines(score_name(name, part), alt, curves, across, units, log="xy", **more))
    return panels


def _series(name: str, truth: "xr.Dataset", runs: Runs, styles: Styles) -> Panel:
    """Return a panel of a series over time: mean and range of the members."""
    unit = unit_of(truth)
    per, units = unit.length, unit.name
    last = max(float(d["time"].values[-1]) for d in (truth, *(d for s in runs.values() for d in s)))
    if units == "days" and last > 2 * _YEAR * per:
        per, units = per * _YEAR, "years"
    curves, notes, low, top = [], [], 0.0, 0.0
    for model, sets in {TRUTH: [truth], **runs}.items():
        if dead := blow_ups(sets):
            count = sum(data.sizes["member"] for data in sets)
            lost = f"{len(dead)} of {count} members blew up, first {first_date(dead)}"
            notes.append(f"{styles[model].label}: {lost}")
        time, values = _alive(sets, name)
        if not time.size:
            continue
        band = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
        shown = time * unit.length / per
        curves.append(Curve(styles[model], shown, np.nanmean(values, axis=0), band))
        if not dead:  # a model on its way out does not set the scale
            low, top = min(low, 1.08 * float(band[0].min())), max(top, float(band[1].max()))
    label = with_units(in_words(name), truth[name].attrs["units"])
    clock, alt = f"time since the initial state [{units}]", f"{in_words(name)} over time"
    limits = (low, 1.08 * top if top else None)
    return lines(name, alt, curves, clock, label, limits=limits, notes=notes)


def _mean_curves(runs: Runs, name: str, styles: Styles) -> list[Curve]:
    """Return the mean of a series over the runs that are alive, of every model."""
    alive = {model: _alive(sets, name) for model, sets in runs.items()}
    return [
        Curve(styles[model], time, np.nanmean(values, axis=0))
        for model, (time, values) in alive.items()
        if time.size
    ]


def _alive(
    sets: "Sequence[xr.Dataset]", name: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the times at which any run lives, and a series [run, time], NaN from a blow-up on."""
    values = np.concatenate([np.asarray(data[name].values, np.float64) for data in sets])
    values = np.where(np.isfinite(values), values, np.nan)
    shown = np.isfinite(values).any(axis=0)
    return sets[0]["time"].values[shown] / unit_of(sets[0]).length, values[:, shown]


def _lost(runs: Runs, styles: Styles) -> list[str]:
    """Return a note for each model with members that blew up."""
    counts = {m: (len(blow_ups(s)), sum(d.sizes["member"] for d in s)) for m, s in runs.items()}
    return [
        lost_note(styles[model], dead, total, total - dead)
        for model, (dead, total) in counts.items()
        if dead
    ]
