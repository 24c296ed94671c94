"""The choice of the training noise: every level tried on the validation trajectories.

After figures 9, 10, 12 and 13 of Otness, Zanna & Bruna 2025, who chose by hand and on the test set.
Here a run chooses by itself: the level with the fewest runs that blew up, then the smallest energy
error (see `predictability`), both on validation trajectories.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from subgrid.evaluation.intervals import Interval, bootstrap_interval, weighted_mean
from subgrid.evaluation.predictability import Predictability, predictability_record
from subgrid.evaluation.report import ReportFigure, ReportTable, ReportVerdict, report_figure
from subgrid.evaluation.style import BASELINE, Panel, add_legend, log_axis, looks, new_panel, styled
from subgrid.evaluation.tables import interval_text


@dataclass(frozen=True)
class Level:
    """A model trained with one level of noise: `noise` in standard deviations of the inputs.

    `group`: what the figures show together, its networks; `losses` [network]: offline errors on the
    validation split without noise, in variances of the forcing; `online`: its free runs from
    validation states.
    """

    model: str
    group: str
    noise: float
    losses: NDArray[np.float64] = field(repr=False)
    online: Predictability

    @property
    def loss(self) -> Interval:
        """The mean offline error with its interval over networks."""

        def mean(networks: NDArray, members: NDArray) -> NDArray[np.float64]:
            return weighted_mean(self.losses, networks)

        return bootstrap_interval(mean, len(self.losses), 1, level=self.online.energy_error.level)


@dataclass(frozen=True)
class Calibration:
    """Every level of every model, in their order, and the runs `alone`, without a closure."""

    levels: tuple[Level, ...]
    alone: Predictability

    def of(self, model: str) -> list[Level]:
        """Return the levels of a model."""
        return [level for level in self.levels if level.model == model]

    @property
    def models(self) -> list[str]:
        """The names of the models."""
        return list(dict.fromkeys(level.model for level in self.levels))

    @property
    def chosen(self) -> dict[str, Level]:
        """The level chosen for each model: fewest blow-ups, then the smallest energy error."""
        return {
            model: min(self.of(model), key=lambda level: level.online.rank_key())
            for model in self.models
        }

    @property
    def summary(self) -> str:
        """The sentence at the head of the report."""
        words = ", ".join(f"{level.noise:g} for {model}" for model, level in self.chosen.items())
        return f"Noise chosen on the validation trajectories, in standard deviations: {words}."

    def verdicts(self) -> tuple[ReportVerdict, ...]:
        """Return what is to be said of the choice for each model."""
        found = []
        for model, level in self.chosen.items():
            online = level.online
            steady = not online.blow_ups
            ends = level.noise in (self.of(model)[0].noise, self.of(model)[-1].noise)
            sentence = (
                f"noise {level.noise:g}: energy error {online.energy_error.estimate:.3f} "
                f"(without a closure {self.alone.energy_error.estimate:.3f}), follows the truth "
                f"for {online.decorrelation.estimate:.2f} {online.units} (without: "
                f"{self.alone.decorrelation.estimate:.2f}); {len(online.blow_ups)} of "
                f"{online.runs} runs blew up"
                + ("; the choice is at an end of the levels tried" if ends else "")
            )
            found.append(ReportVerdict(model, f"{sentence}.", "better" if steady else "unstable"))
        return tuple(found)

    def record(self) -> dict[str, Any]:
        """Return what scores.json keeps."""
        return {
            "chosen": {model: level.noise for model, level in self.chosen.items()},
            "chosen_by": "fewest blow-ups, then smallest energy error, on validation trajectories",
            "none": predictability_record(self.alone),
            "levels": [
                {
                    "model": level.model,
                    "noise": level.noise,
                    "validation_error": [float(x) for x in level.losses],
                    "online": predictability_record(level.online),
                }
                for level in self.levels
            ],
        }


def calibration_tables(calibration: Calibration) -> list[ReportTable]:
    """Return a row per model and level, the chosen ones marked."""
    chosen = calibration.chosen
    rows = [
        (
            level.model,
            f"{level.noise:g}" + (" (chosen)" if chosen[level.model] is level else ""),
            interval_text(level.loss, 1.0, "{:.3f}"),
            interval_text(level.online.energy_error, 1.0, "{:.3f}"),
            interval_text(level.online.decorrelation, 1.0, "{:.2f}"),
            f"{len(level.online.blow_ups)} of {level.online.runs}",
        )
        for level in calibration.levels
    ]
    alone = calibration.alone
    rows.append(
        (
            BASELINE,
            "-",
            "-",
            interval_text(alone.energy_error, 1.0, "{:.3f}"),
            interval_text(alone.decorrelation, 1.0, "{:.2f}"),
            f"{len(alone.blow_ups)} of {alone.runs}",
        )
    )
    columns = ("model", "noise", "offline error", "energy error", "decorrelation time", "blown up")
    return [
        ReportTable(
            "Noise: every level on the validation trajectories",
            "Noise: standard deviation of what is added to the standardised inputs in training. "
            "Offline error: mean squared error of the forcing without noise, in its variance. "
            "Energy error: mean over a run of |E - E_truth| over the mean of E_truth, until it "
            "blew up. Intervals over networks, and of free runs over members as well. Chosen: the "
            "fewest runs that blew up, then the smallest energy error.",
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


def calibration_of(
    tried: Mapping[tuple[str, float], tuple[str, Sequence[float], Predictability]],
    alone: Predictability,
) -> Calibration:
    """Return the calibration of (model, noise) → (group, offline errors, free runs)."""
    return Calibration(
        tuple(
            Level(model, group, noise, np.asarray(losses, np.float64), online)
            for (model, noise), (group, losses, online) in tried.items()
        ),
        alone,
    )
