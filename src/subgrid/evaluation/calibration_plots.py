"""The table and the figures of the calibration of the noise (see `calibration`)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from subgrid.evaluation.calibration import Calibration, Level
from subgrid.evaluation.report import ReportFigure, ReportTable, report_figure
from subgrid.evaluation.style import BASELINE, Panel, add_legend, log_axis, looks, new_panel, styled
from subgrid.evaluation.survival import counted
from subgrid.evaluation.tables import interval_text


def calibration_tables(calibration: Calibration) -> list[ReportTable]:
    """Return a row per model and level, the chosen ones marked."""
    chosen, alone = calibration.chosen, calibration.alone
    rows = [
        (
            level.model,
            f"{level.noise:g}" + (" (chosen)" if chosen[level.model] is level else ""),
            interval_text(level.loss, 1.0, "{:.3f}"),
            interval_text(level.online.energy_error, 1.0, "{:.3f}"),
            interval_text(level.online.decorrelation, 1.0, "{:.2f}"),
            counted(level.online.blow_ups, level.online.runs),
        )
        for level in calibration.levels
    ]
    rows.append(
        (
            BASELINE,
            "-",
            "-",
            interval_text(alone.energy_error, 1.0, "{:.3f}"),
            interval_text(alone.decorrelation, 1.0, "{:.2f}"),
            counted(alone.blow_ups, alone.runs),
        )
    )
    columns = ("model", "noise", "offline error", "energy error", "decorrelation time", "blown up")
    return [
        ReportTable(
            "Noise: every level on the validation trajectories",
            "Noise: standard deviation of what is added to the standardised inputs in training. "
            "Offline error: mean squared error of the forcing without noise, in its variance. "
            "Energy error: mean over a run of |E - E_truth| over the mean of E_truth, until it "
            "blew up. Intervals over networks, and of free runs over the "
            f"{alone.trajectories} trajectories that members start in as well. Chosen: "
            "the fewest runs that blew up, then the smallest energy error; among levels with "
            "blow-ups the longest decorrelation time.",
            columns,
            tuple(rows),
        )
    ]


def calibration_figures(calibration: Calibration) -> list[ReportFigure]:
    """Return the counterparts of figures 9 and 10, and of 12 and 13 where networks are large."""
    return [
        report_figure(
            "Noise: offline error",
            "Mean squared error of the forcing on the validation trajectories, without noise, "
            "against the noise in training; bars: intervals over networks. A panel per kind of "
            "networks; compare figures 9 and 12 of Otness, Zanna & Bruna 2025.",
            plot_calibration(calibration, "offline error [variance of the forcing]", "offline"),
        ),
        report_figure(
            "Noise: energy error of free runs",
            "From validation states; bars: intervals over networks and members. Grey: without a "
            "closure. Crosses: levels with runs that blew up, whose error is until then. Compare "
            "figures 10 and 13 of Otness, Zanna & Bruna 2025.",
            plot_calibration(calibration, "energy error", "online"),
        ),
    ]


@styled
def plot_calibration(calibration: Calibration, label: str, kind: str) -> list[Panel]:
    """Return a panel per kind of networks: an error against the noise, a line per model.

    `kind`: "offline" or "online".
    """
    styles = looks(calibration.models)
    panels = []
    for number, group in enumerate(dict.fromkeys(level.group for level in calibration.levels)):
        figure, (axes,) = new_panel()
        levels = [level for level in calibration.levels if level.group == group]
        drawn: list[float] = []
        for model in dict.fromkeys(level.model for level in levels):
            found, look = calibration.of(model), styles[model]
            values = [v.loss if kind == "offline" else v.online.energy_error for v in found]
            noise = _places([level.noise for level in found])
            middle = np.array([value.estimate for value in values])
            ends = np.array([(v.estimate - v.low, v.high - v.estimate) for v in values]).T
            axes.errorbar(
                noise,
                middle,
                yerr=np.maximum(np.nan_to_num(ends), 0),
                color=look.colour,
                ls=look.dash,
                marker=look.marker,
                capsize=2,
                label=look.label,
            )
            drawn += [float(v) for v in middle if np.isfinite(v)]
            if kind == "online":
                _mark(axes, calibration, found, noise, middle, look.colour)
        if kind == "online":
            axes.axhline(calibration.alone.energy_error.estimate, color="#767676", ls="--")
            drawn.append(calibration.alone.energy_error.estimate)
        if drawn and 10 * min(drawn) < max(drawn):
            log_axis(axes.yaxis, drawn)
        every = sorted({level.noise for level in levels})
        axes.set_xscale("log")
        axes.set_xticks(_places(every), [f"{value:g}" for value in every], rotation=45)
        axes.tick_params(which="minor", bottom=False, labelbottom=False)
        axes.set_xlabel("noise [standard deviations of the inputs]")
        axes.set_ylabel(label)
        axes.set_title(group)
        add_legend(figure, axes)
        alt = f"{label} against the noise, networks {group}"
        panels.append(Panel(f"noise_{kind}_{number}", figure, alt))
    return panels


def _mark(
    axes: Any,
    calibration: Calibration,
    levels: Sequence[Level],
    noise: Sequence[float],
    middle: NDArray[np.float64],
    colour: str,
) -> None:
    """Ring the chosen level and cross those with runs that blew up."""
    chosen = calibration.chosen[levels[0].model]
    for place, value, level in zip(noise, middle, levels, strict=True):
        if level is chosen:
            axes.plot(place, value, "o", ms=13, mfc="none", mec=colour, mew=1.4)
        if level.online.blow_ups:
            axes.plot(place, value, "x", ms=10, color="#8a1c00", mew=1.6)


def _places(noise: Sequence[float]) -> list[float]:
    """Return where levels stand on a logarithmic axis: zero left of the smallest."""
    smallest = min((value for value in noise if value), default=1.0)
    return [value or smallest / 2 for value in noise]
