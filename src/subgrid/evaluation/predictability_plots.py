"""Figures and the table of how long free runs follow the truth (see `predictability`)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from subgrid.evaluation.intervals import percent
from subgrid.evaluation.layers import CORRELATION, correlated_field
from subgrid.evaluation.plots import draw_curve
from subgrid.evaluation.predictability import THRESHOLD, Gain, Predictability
from subgrid.evaluation.report import ReportFigure, ReportTable, report_figure
from subgrid.evaluation.score_plots import draw_box, name_models
from subgrid.evaluation.style import (
    TRUTH,
    Look,
    Panel,
    add_legend,
    draw_line,
    lost_note,
    new_panel,
    panel_inches,
    styled,
)
from subgrid.evaluation.survival import blow_up_steps, blow_ups, unit_of
from subgrid.evaluation.tables import interval_text

if TYPE_CHECKING:
    import xarray as xr

Runs = Mapping[str, Sequence["xr.Dataset"]]
_STEEPNESS = 5  # of the compensated spectrum: k⁵ E(k)


def predictability_table(
    found: Mapping[str, Predictability], styles: Mapping[str, Look]
) -> ReportTable:
    """Return a row per model: decorrelation time, gain, energy error, blow-ups."""
    some = next(iter(found.values()))
    level = percent(some.decorrelation.level)
    return ReportTable(
        "Online: how long runs follow the truth",
        f"Decorrelation time: until the correlation of the {some.correlated} with that of the "
        f"truth from the same state is below {THRESHOLD:g}; a run that blows up before ends with "
        "it, one that "
        "never decorrelates counts with its length. Gain: mean decorrelation time over that "
        "without a closure, of the same members. Energy error: mean over the run of |E - E_truth|, "
        "over the mean of E_truth; of a run that blew up, until then. Means over networks and "
        f"members with {level} bootstrap intervals over networks and the {some.trajectories} "
        "trajectories of the truth that members start in."
        + ("" if some.sure else " So few cannot exclude chance at that level."),
        (
            "model",
            "runs",
            f"decorrelation time [{some.units}]",
            "gain",
            "energy error",
            "correlated to the end",
            "blown up",
        ),
        tuple(
            (
                styles[name].label,
                f"{one.times.shape[0]} × {one.times.shape[1]}",
                interval_text(one.decorrelation, 1.0, "{:.2f}"),
                interval_text(one.gain, 1.0, "{:.2f}"),
                interval_text(one.energy_error, 1.0, "{:.3f}"),
                f"{one.lasting} of {one.runs}",
                f"{len(one.blow_ups)} of {one.runs}",
            )
            for name, one in found.items()
        ),
    )


def gains_table(
    gains: Sequence[Gain],
    found: Mapping[str, Predictability],
    styles: Mapping[str, Look],
) -> ReportTable:
    """Return a row per pair of models: how much longer the first follows the truth."""
    rows = []
    for gain in gains:
        one, two = found[gain.model], found[gain.other]
        rows.append(
            (
                f"{styles[gain.model].label} / {styles[gain.other].label}",
                interval_text(gain.ratio, 1.0, "{:.2f}"),
                f"{one.energy_error.estimate:.3f} / {two.energy_error.estimate:.3f}",
                f"{len(one.blow_ups)} of {one.runs} / {len(two.blow_ups)} of {two.runs}",
            )
        )
    return ReportTable(
        "Online: models against each other",
        "Mean decorrelation time of the first over that of the second, of the same members; "
        "intervals draw the networks of each on their own, and trajectories.",
        ("model / other", "ratio of decorrelation times", "energy errors", "blown up"),
        tuple(rows),
    )


def predictability_figures(
    found: Mapping[str, Predictability],
    reference: "xr.Dataset",
    runs: Runs,
    styles: Mapping[str, Look],
) -> list[ReportFigure]:
    """Return the figures of decorrelation, energy over time and compensated spectra."""
    field = next(iter(found.values())).correlated
    return [
        report_figure(
            "How long free runs follow the truth",
            "Left: decorrelation time of every run; boxes: quartiles and median; whiskers: "
            f"smallest and largest. Right: correlation of the {field} with that of the truth from "
            "the same state, mean over the runs that are still alive; dotted: where a run counts "
            "as decorrelated. Compare figure 8 (a) of Otness, Zanna & Bruna 2025.",
            [*plot_decorrelation(found, styles), *plot_correlation(runs, styles)],
        ),
        report_figure(
            "Kinetic energy over time",
            "Mean over members and networks that are still alive; bands: one standard deviation. "
            "Compare figure 8 (b) of Otness, Zanna & Bruna 2025, which sums over cells.",
            plot_energy_deviation(reference, runs, styles),
        ),
        report_figure(
            "Compensated energy spectra",
            "Isotropic spectrum of the kinetic energy times k⁵, mean over the members that "
            "survived, from the time on that the report's spectra are averaged. The published "
            "figure interpolates the logarithm along angles; here rings are averaged.",
            plot_compensated(reference, runs, styles),
        ),
    ]


@styled
def plot_decorrelation(
    found: Mapping[str, Predictability], styles: Mapping[str, Look]
) -> list[Panel]:
    """Return a panel of box plots: the decorrelation time of every run, by model."""
    figure, (axes,) = new_panel(inches=panel_inches(len(found), 0.4))
    for place, (name, one) in enumerate(found.items()):
        draw_box(axes, place, one.times.ravel(), styles[name])
    name_models(axes, [styles[name].label for name in found])
    axes.set_ylim(0, None)
    axes.set_ylabel(f"decorrelation time [{next(iter(found.values())).units}]")
    return [Panel("decorrelation", figure, "box plots of decorrelation times by model")]


@styled
def plot_correlation(runs: Runs, styles: Mapping[str, Look]) -> list[Panel]:
    """Return a panel of the mean correlation with the truth over time."""
    figure, (axes,) = new_panel()
    for name, sets in runs.items():
        time, values = _alive(sets, CORRELATION)
        if time.size:
            draw_line(axes, time, np.nanmean(values, axis=0), styles[name])
    axes.axhline(THRESHOLD, color="#444444", ls=":", lw=1.1)
    axes.set_xlabel(_time_label(runs))
    field = correlated_field(next(iter(runs.values()))[0])
    axes.set_ylabel(f"correlation of the {field}")
    add_legend(figure, axes, _lost(runs, styles))
    return [Panel("correlation", figure, f"correlation of the {field} with the truth over time")]


@styled
def plot_energy_deviation(
    reference: "xr.Dataset", runs: Runs, styles: Mapping[str, Look]
) -> list[Panel]:
    """Return a panel of the kinetic energy over time: mean and one standard deviation."""
    figure, (axes,) = new_panel(inches=(6.4, 4.2))
    top = 0.0
    for name, sets in {TRUTH: [reference], **runs}.items():
        time, values = _alive(sets, "total_kinetic_energy")
        if not time.size:
            continue
        mean, deviation = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
        draw_curve(axes, time, mean, (mean - deviation, mean + deviation), styles[name])
        if not blow_ups(sets):  # a model on its way out does not set the scale
            top = max(top, float((mean + deviation).max()))
    axes.set_ylim(0, 1.15 * top if top else None)
    axes.set_xlabel(_time_label(runs))
    axes.set_ylabel("mean kinetic energy")
    add_legend(figure, axes, _lost(runs, styles))
    return [Panel("energy_deviation", figure, "kinetic energy over time with its deviation")]


@styled
def plot_compensated(
    reference: "xr.Dataset", runs: Runs, styles: Mapping[str, Look]
) -> list[Panel]:
    """Return a panel of the spectra of the kinetic energy times k⁵."""
    figure, (axes,) = new_panel(inches=(6.4, 4.2))
    wavenumber = reference["wavenumber"].values
    tops = []
    for name, sets in {TRUTH: [reference], **runs}.items():
        alive = np.concatenate([blow_up_steps(data) < 0 for data in sets])
        spectra = np.concatenate([data["kinetic_energy_spectrum"].values[:, 0] for data in sets])
        if alive.any():
            shown = wavenumber**_STEEPNESS * spectra[alive].mean(axis=0)
            draw_line(axes, wavenumber, shown, styles[name])
            tops.append((shown[shown > 0].min(), shown.max()))
    axes.set_xscale("log")
    axes.set_yscale("log")
    if tops:
        axes.set_ylim(tops[0][0] / 3, 5 * tops[0][1])  # those of the truth
    axes.set_xlabel("isotropic wavenumber k")
    axes.set_ylabel("k⁵ E(k)")
    add_legend(figure, axes, _lost(runs, styles))
    return [Panel("compensated_spectra", figure, "spectra of the kinetic energy times k to the 5")]


def _alive(
    sets: Sequence["xr.Dataset"], name: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the times at which any run lives, and a series [run, time], NaN from a blow-up on."""
    values = np.concatenate([data[name].values for data in sets])
    shown = np.isfinite(values).any(axis=0)
    return sets[0]["time"].values[shown] / unit_of(sets[0]).length, values[:, shown]


def _time_label(runs: Runs) -> str:
    some = next(iter(runs.values()))[0]
    return f"time since the initial state [{unit_of(some).name}]"


def _lost(runs: Runs, styles: Mapping[str, Look]) -> list[str]:
    """Return a note for each model with members that blew up."""
    found = {
        name: (blow_ups(sets), sum(d.sizes["member"] for d in sets)) for name, sets in runs.items()
    }
    return [
        lost_note(styles[name], len(dead), total, total - len(dead))
        for name, (dead, total) in found.items()
        if dead
    ]
