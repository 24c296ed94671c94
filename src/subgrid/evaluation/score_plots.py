"""Figures of scores: errors of members, similarity, learning curves."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from subgrid.evaluation.layers import keyed, layer_words, of_layer, with_units
from subgrid.evaluation.scores import KE_SPECTRUM, OnlineScore
from subgrid.evaluation.style import (
    BASELINE,
    Look,
    Panel,
    add_legend,
    log_axis,
    lost_note,
    new_panel,
    panel_inches,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TALL = (4.8, 6.0)
_FAR_APART = 10  # ratio of errors from which their axis is logarithmic


@styled
def plot_error_boxes(
    scores: Mapping[str, OnlineScore],
    styles: Mapping[str, Look],
    quantity: str = KE_SPECTRUM,
) -> list[Panel]:
    """Return a panel per layer: box plots of the spectral error of single members, by model.

    Boxes: quartiles and median; whiskers: all members; points: each member of each network.
    """
    panels, first = [], next(iter(scores.values()))
    for layer in first.layers:
        figure, (axes,) = new_panel(inches=panel_inches(len(scores), 0.4))
        drawn = [np.zeros(0)]
        for place, (name, score) in enumerate(scores.items()):
            values, look = member_values(score, layer, quantity), styles[name]
            if values.size:
                draw_box(axes, place, values, look)
                drawn.append(values)
            else:
                axes.text(
                    place,
                    0.05,
                    "no member\nto compare",
                    rotation=90,
                    ha="center",
                    va="bottom",
                    color=look.colour,
                    fontsize=8.5,
                    transform=axes.get_xaxis_transform(),
                )
        name_models(axes, [styles[name].label for name in scores])
        error_axis(axes, first, layer, np.concatenate(drawn))
        add_legend(figure, axes, lost_notes(scores, styles))
        alt = of_layer("box plots of spectral error", layer_words(layer))
        panels.append(Panel(keyed("error", layer), figure, alt))
    return panels


@styled
def plot_learning_curves(
    curves: Mapping[str, Sequence[Mapping[str, Any]]],
    styles: Mapping[str, Look],
    slug: str = "learning_curves",
    learned: str = "forcing",
) -> list[Panel]:
    """Return a panel of validation (lines, marked) and training loss (dots) against updates.

    `curves`: model → records of its metrics.jsonl (`subgrid.training.read_records`): dicts with
    `update`, `loss` and `validation`, itself a dict with `loss`. Losses are in units of the
    variance of what is `learned`; where training divides them by another, `mse` has them in this.
    """
    figure, (axes,) = new_panel()
    for name, records in curves.items():
        look = styles[name]
        validation = [(r["update"], r["validation"]["loss"]) for r in records]
        training = [(r["update"], r.get("mse", r.get("loss"))) for r in records]
        for pairs, dash, marker in ((validation, "-", look.marker), (training, ":", "")):
            known = [pair for pair in pairs if pair[1] is not None]
            if known:
                x, y = np.array(known, np.float64).T
                axes.plot(
                    x,
                    y,
                    color=look.colour,
                    ls=dash,
                    marker=marker,
                    ms=4,
                    markevery=max(1, len(x) // 8),
                    label=look.label if marker else None,
                    lw=1.6 if marker else 1.0,
                )
    low, high = axes.dataLim.intervaly
    if 0 < 2 * low < high:
        log_axis(axes.yaxis, (low, high))
    axes.set_xlabel("updates")
    axes.set_ylabel(f"loss [variance of the {learned}]")
    add_legend(figure, axes)
    return [Panel(slug, figure, slug.replace("_", " "))]


@styled
def plot_similarity(scores: Mapping[str, OnlineScore], styles: Mapping[str, Look]) -> list[Panel]:
    """Return panels of similarity bars: distances between distributions, and between spectra.

    Bars end at -1; an arrow marks those that would go on.
    """
    shown = [s for name, s in scores.items() if name != BASELINE]
    if not shown:
        return []
    names = list(shown[0].similarity)
    notes = lost_notes(scores, styles)
    spectra = {keyed(name, of) for name in shown[0].units for of in ("", *shown[0].layers)}
    spectral = [name for name in names if name in spectra]
    groups = {"distributions": [n for n in names if n not in spectral], "spectra": spectral}
    panels = []
    for title, keys in groups.items():
        figure, (axes,) = new_panel(inches=(_TALL[0], _TALL[1] * max(1.0, len(shown) / 8)))
        height = 0.8 / len(shown)
        for row, score in enumerate(shown):
            look = styles[score.name]
            values = np.array([score.similarity[key] for key in keys])
            places = np.arange(len(keys)) + (row - (len(shown) - 1) / 2) * height
            axes.barh(
                places,
                np.clip(np.nan_to_num(values), -1, 1),
                height * 0.92,
                color=look.colour,
                label=look.label,
            )
            for place in places[np.nan_to_num(values) < -1]:
                axes.plot(-1.035, place, marker="<", ms=4, color=look.colour, clip_on=False)
        axes.axvline(0, color="#444444", lw=0.9)
        axes.set_yticks(range(len(keys)), [_readable(key) for key in keys], fontsize=9)
        axes.invert_yaxis()
        axes.set_xlim(-1.0, 1.0)
        axes.set_xticks([-1.0, -0.5, 0.0, 0.5, 1.0])
        axes.set_xlabel("similarity: 1 truth, 0 no closure")
        axes.set_title(title)
        add_legend(figure, axes, notes)
        panels.append(Panel(f"similarity_{title}", figure, f"bars of similarity of {title}"))
    return panels


def lost_notes(scores: Mapping[str, OnlineScore], styles: Mapping[str, Look]) -> list[str]:
    """Return a note for each model with members that are not scored."""
    return [
        lost_note(styles[name], len(score.blow_ups), score.runs, score.scored_runs)
        for name, score in scores.items()
        if score.scored_runs < score.runs
    ]


def name_models(axes: "Axes", labels: Sequence[str]) -> None:
    """Write the names of the models under their places, slanted where there are many."""
    axes.set_xticks(range(len(labels)), labels)
    axes.set_xlim(-0.6, len(labels) - 0.4)
    if len(labels) > 3:
        for text in axes.get_xticklabels():
            text.set(rotation=35, ha="right", rotation_mode="anchor")


def member_values(
    score: OnlineScore, layer: str, quantity: str = KE_SPECTRUM
) -> NDArray[np.float64]:
    """Return the spectral errors of the members that can be drawn, of all networks."""
    values = score.member_errors[keyed(quantity, layer)].ravel()
    return values[np.isfinite(values)]


def error_axis(axes: "Axes", score: OnlineScore, layer: str, values: NDArray) -> None:
    """Let the axis of the errors hold `values`: from zero, or logarithmic where they lie far apart.

    Far apart: by more than a factor 10, where one model would press the others onto the axis.
    `score`: one of those drawn, for the units.
    """
    if values.size and 0 < _FAR_APART * values.min() < values.max():
        log_axis(axes.yaxis, values)
    else:
        axes.set_ylim(0, 1.08 * values.max() if np.any(values > 0) else 1.0)
        axes.ticklabel_format(axis="y", scilimits=(-2, 3), useMathText=True)
    axes.set_ylabel(with_units("RMSE of KE spectrum", score.units.get(KE_SPECTRUM, "m3 s-2")))
    axes.set_title(layer_words(layer))


def draw_box(
    axes: "Axes", place: float | int, values: NDArray, look: Look, width: float = 0.55
) -> None:
    """Draw a box plot of `values`: quartiles, median, all values as points, at x = `place`."""
    axes.boxplot(
        values,
        positions=[place],
        widths=width,
        whis=(0, 100),
        showfliers=False,
        patch_artist=True,
        boxprops={"facecolor": look.colour, "alpha": 0.35, "edgecolor": look.colour},
        medianprops={"color": look.colour, "lw": 2},
        whiskerprops={"color": look.colour},
        capprops={"color": look.colour},
        manage_ticks=False,
    )
    spread = 0.29 * width * np.linspace(-1, 1, len(values)) if len(values) > 1 else np.zeros(1)
    axes.plot(
        place + spread,
        values,
        ls="none",
        marker=look.marker,
        ms=3.5 if width > 0.3 else 2.0,
        color=look.colour,
        alpha=0.8,
    )


def _readable(key: str) -> str:
    return key.replace("kinetic_energy", "KE").replace("potential_energy", "APE").replace("_", " ")
