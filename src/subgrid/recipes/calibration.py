"""The choice of the training noise: every level tried on the validation trajectories.

After figures 9, 10, 12 and 13 of Otness, Zanna & Bruna 2025, who chose by hand, on the test set.
Here a run chooses by itself, on validation trajectories: the level with the fewest runs that blew
up; of those without, the one with the smallest energy error, of the others the one whose runs
follow the truth longest.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from subgrid.evaluation import table as scores
from subgrid.evaluation.draw import scale_axis
from subgrid.evaluation.findings import Part
from subgrid.evaluation.formats import interval_text
from subgrid.evaluation.intervals import Interval, bootstrap_interval, weighted_mean
from subgrid.evaluation.record import followed_record, json_number
from subgrid.evaluation.report import Table, Verdict, section
from subgrid.evaluation.style import Look, Panel, add_legend, looks, new_panel, styled
from subgrid.evaluation.survival import counted

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True)
class Level:
    """A model trained with one level of noise: `noise` in standard deviations of the inputs.

    `name`: what the table of scores calls it; `group`: what the figures show together, its
    networks; `losses` [network]: offline errors on the validation split without noise, in variances
    of the forcing.
    """

    model: str
    name: str
    group: str
    noise: float
    losses: NDArray[np.float64] = field(repr=False)

    def loss(self, level: float) -> Interval:
        """Return the mean offline error with its interval over networks."""

        def mean(networks: NDArray, members: NDArray) -> NDArray[np.float64]:
            return weighted_mean(self.losses, networks)

        return bootstrap_interval(mean, len(self.losses), 1, level=level)


def chosen_levels(levels: Sequence[Level], table: "xr.Dataset") -> dict[str, Level]:
    """Return the level chosen for each model; `table`: of the free runs of all of them."""
    models = dict.fromkeys(level.model for level in levels)

    def key(level: Level) -> tuple[int, float]:
        # an energy error that ends with the run would favour those that end first
        if lost := scores.counted_blow_ups(table, level.name):
            return len(lost), -_time(table, level.name).estimate
        error = scores.kept_error(table, level.name).estimate
        return 0, error if np.isfinite(error) else np.inf

    return {m: min((one for one in levels if one.model == m), key=key) for m in models}


def calibration_record(levels: Sequence[Level], table: "xr.Dataset") -> dict[str, Any]:
    """Return what scores.json keeps."""

    def online(name: str) -> dict[str, Any]:
        return {k: v for k, v in followed_record(table, name).items() if k != "verdict"}

    chosen = chosen_levels(levels, table)
    return {
        "chosen": {model: level.noise for model, level in chosen.items()},
        "chosen_by": "on validation trajectories: fewest blow-ups, then smallest energy error, "
        "or among levels with blow-ups the longest decorrelation time",
        "none": online(table.attrs["baseline"]),
        "levels": [
            {
                "model": level.model,
                "noise": level.noise,
                "validation_error": [json_number(x) for x in level.losses],
                "online": online(level.name),
            }
            for level in levels
        ],
    }


def calibration_part(levels: Sequence[Level], table: "xr.Dataset") -> Part:
    """Return what the report says of the choice: summary, verdicts, a figure and a table."""
    chosen = chosen_levels(levels, table)
    words = ", ".join(f"{level.noise:g} for {model}" for model, level in chosen.items())
    figures = [
        section(
            "Noise: offline error",
            "Mean squared error of the forcing on the validation trajectories, without noise, "
            "against the noise in training; bars: intervals over networks. A panel per kind of "
            "networks; compare figures 9 and 12 of Otness, Zanna & Bruna 2025.",
            _panels(levels, table, "offline"),
        ),
        section(
            "Noise: energy error of free runs",
            "From validation states; bars: intervals over networks and members. Grey: without a "
            "closure. Crosses: levels with runs that blew up, whose error is until then. Compare "
            "figures 10 and 13 of Otness, Zanna & Bruna 2025.",
            _panels(levels, table, "online"),
            [_table(levels, table)],
        ),
    ]
    return Part(
        tuple(figures),
        f"Noise chosen on the validation trajectories, in standard deviations: {words}.",
        tuple(_verdict(level, levels, table) for level in chosen.values()),
    )


def _time(table: "xr.Dataset", name: str) -> Interval:
    place = {"model": name, "quantity": scores.followed(table), "component": ""}
    return scores.interval(table, "decorrelation_time_mean", **place)


def _verdict(level: Level, levels: Sequence[Level], table: "xr.Dataset") -> Verdict:
    """Return what is to be said of the choice for a model."""
    alone, name = table.attrs["baseline"], level.name
    tried = [one.noise for one in levels if one.model == level.model]
    lost, runs = scores.counted_blow_ups(table, name), scores.counted_runs(table, name)
    error, without = (scores.kept_error(table, one).estimate for one in (name, alone))
    sentence = (
        f"noise {level.noise:g}: energy error {_known(error)} (without a closure "
        f"{_known(without)}), follows the truth for {_time(table, name).estimate:.2f} "
        f"{table.attrs['time_units']} (without: {_time(table, alone).estimate:.2f}); "
        f"{len(lost)} of {runs} runs blew up"
    )
    if level.noise in (tried[0], tried[-1]):
        sentence += "; the choice is at an end of the levels tried"
    said = scores.remark(table, name)
    sentence += f". Training: {said}." if said else "."
    better = "better" if error < without else "unclear"
    return Verdict(level.model, sentence, "unstable" if lost else better)


def _known(error: float) -> str:
    return f"{error:.3f}" if np.isfinite(error) else "unknown"


def _table(levels: Sequence[Level], table: "xr.Dataset") -> Table:
    """Return a row per model and level, the chosen ones marked."""
    chosen, alone = chosen_levels(levels, table), table.attrs["baseline"]

    def online(name: str) -> tuple[str, ...]:
        lost, runs = scores.counted_blow_ups(table, name), scores.counted_runs(table, name)
        error = interval_text(scores.kept_error(table, name), "{:.3f}")
        return error, interval_text(_time(table, name)), counted(lost, runs)

    rows = [
        (
            level.model,
            f"{level.noise:g}" + (" (chosen)" if chosen[level.model] is level else ""),
            interval_text(level.loss(table.attrs["level"]), "{:.3f}"),
            *online(level.name),
        )
        for level in levels
    ]
    return Table(
        "Noise: every level on the validation trajectories",
        "Noise: standard deviation of what is added to the standardised inputs in training. "
        "Offline error: mean squared error of the forcing without noise, in its variance. Energy "
        "error: mean over a run of |E - E_truth| over the mean of E_truth, until it blew up. "
        "Intervals over networks, and of free runs over the "
        f"{table.attrs['trajectories']} trajectories that members start in as well. Chosen: the "
        "fewest runs that blew up, then the smallest energy error; among levels with blow-ups the "
        "longest decorrelation time.",
        ("model", "noise", "offline error", "energy error", "decorrelation time", "blown up"),
        (*rows, (alone, "-", "-", *online(alone))),
    )


def _panels(levels: Sequence[Level], table: "xr.Dataset", kind: str) -> list[Panel]:
    """Return a panel per kind of networks: an error against the noise, a line per model."""
    groups = dict.fromkeys(level.group for level in levels)
    styles = looks(dict.fromkeys(level.model for level in levels))
    return [
        _panel([one for one in levels if one.group == group], table, kind, number, styles)
        for number, group in enumerate(groups)
    ]


@styled
def _panel(
    levels: Sequence[Level], table: "xr.Dataset", kind: str, number: int, styles: dict[str, Look]
) -> Panel:
    figure, (axes,) = new_panel()
    online, drawn = kind == "online", []
    for model in dict.fromkeys(level.model for level in levels):
        found, look = [one for one in levels if one.model == model], styles[model]
        values = [
            scores.kept_error(table, one.name) if online else one.loss(table.attrs["level"])
            for one in found
        ]
        noise = _places([level.noise for level in found])
        middle = np.array([value.estimate for value in values])
        ends = np.array([(v.estimate - v.low, v.high - v.estimate) for v in values]).T
        bar = {"color": look.colour, "ls": look.dash, "marker": look.marker, "capsize": 2}
        ends = np.maximum(np.nan_to_num(ends), 0)
        axes.errorbar(noise, middle, yerr=ends, label=look.label, **bar)
        drawn += list(middle)
        if online:
            _mark(axes, found, table, noise, middle, look.colour)
    if online:
        drawn.append(scores.kept_error(table, table.attrs["baseline"]).estimate)
        axes.axhline(drawn[-1], color="#767676", ls="--")
    known = np.array(drawn, np.float64)
    known = known[np.isfinite(known)]
    if known.size and 10 * known.min() < known.max():
        scale_axis(axes, known)
    every = sorted({level.noise for level in levels})
    axes.set_xscale("log")
    axes.set_xticks(_places(every), [f"{value:g}" for value in every], rotation=45)
    axes.tick_params(which="minor", bottom=False, labelbottom=False)
    label = "energy error" if online else "offline error [variance of the forcing]"
    group = levels[0].group
    axes.set(xlabel="noise [standard deviations of the inputs]", ylabel=label, title=group)
    add_legend(figure, axes)
    alt = f"{label} against the noise, networks {group}"
    return Panel(f"noise_{kind}_{number}", figure, alt)


def _mark(
    axes: Any,
    levels: Sequence[Level],
    table: "xr.Dataset",
    noise: Sequence[float],
    middle: NDArray[np.float64],
    colour: str,
) -> None:
    """Ring the chosen level of a model and cross those with runs that blew up."""
    (chosen,) = chosen_levels(levels, table).values()
    for place, value, level in zip(noise, middle, levels, strict=True):
        if level is chosen:
            axes.plot(place, value, "o", ms=13, mfc="none", mec=colour, mew=1.4)
        if scores.counted_blow_ups(table, level.name):
            axes.plot(place, value, "x", ms=10, color="#8a1c00", mew=1.6)


def _places(noise: Sequence[float]) -> list[float]:
    """Return where levels stand on a logarithmic axis: zero left of the smallest."""
    smallest = min((value for value in noise if value), default=1.0)
    return [value or smallest / 2 for value in noise]
