"""The figure of the variants: spectral errors of single members under each setting."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from subgrid.evaluation.layers import keyed, layer_words, of_layer
from subgrid.evaluation.report import ReportFigure, report_figure
from subgrid.evaluation.score_plots import draw_box, error_axis, lost_notes, member_values
from subgrid.evaluation.scores import OnlineScore
from subgrid.evaluation.style import (
    Look,
    Panel,
    add_legend,
    new_panel,
    panel_inches,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_GROUP = 0.84  # of the distance between groups, the rest is the gap


def variants_figure(
    settings: Mapping[str, Mapping[str, OnlineScore]], styles: Mapping[str, Look]
) -> ReportFigure:
    """Return the figure of `plot_variant_boxes`, with its caption."""
    return report_figure(
        "Spectral error under other settings of the coarse model",
        "As the spectral error of every member, for each setting in turn: one point per member and "
        "network that survived. Compare figure 7 of Otness, Zanna & Bruna 2025, whose spectra are "
        "twice as large (κ²|ψ̂|², not half of it) and of other rings.",
        plot_variant_boxes(settings, styles),
    )


@styled
def plot_variant_boxes(
    variants: Mapping[str, Mapping[str, OnlineScore]], styles: Mapping[str, Look]
) -> list[Panel]:
    """Return a panel per layer: box plots of single members' errors, a group of models per variant.

    Boxes as in `plot_error_boxes`; a cross at the bottom stands for a model without a member to
    draw, and the legend names the models that lost members. As figure 7 of Otness, Zanna & Bruna
    2025.
    """
    models = list(dict.fromkeys(name for scores in variants.values() for name in scores))
    layers = next(iter(next(iter(variants.values())).values())).layers
    return [_panel(variants, models, styles, layer) for layer in layers]


def _panel(
    variants: Mapping[str, Mapping[str, OnlineScore]],
    models: Sequence[str],
    styles: Mapping[str, Look],
    layer: str,
) -> Panel:
    figure, (axes,) = new_panel(inches=panel_inches(len(models) * len(variants), 0.16))
    width, drawn = _GROUP / len(models), []
    for group, scores in enumerate(variants.values()):
        for column, name in enumerate(models):
            if name not in scores:
                continue
            place = group + (column + 0.5) * width - _GROUP / 2
            values = member_values(scores[name], layer)
            if values.size:
                draw_box(axes, place, values, styles[name], 0.8 * width)
                drawn.append(values)
            else:
                _cross(axes, place, styles[name])
    axes.set_xticks(range(len(variants)), list(variants))
    axes.set_xlim(-0.6, len(variants) - 0.4)
    axes.grid(False, axis="x")
    some = next(iter(next(iter(variants.values())).values()))
    error_axis(axes, some, layer, np.concatenate(drawn) if drawn else np.zeros(0))
    for name in models:
        look = styles[name]
        axes.plot([], [], ls="none", marker=look.marker, color=look.colour, label=look.label)
    add_legend(figure, axes, _notes(variants, styles))
    alt = of_layer("box plots of spectral error under each variant", layer_words(layer))
    return Panel(keyed("variants", layer), figure, alt)


def _cross(axes: "Axes", place: float, look: Look) -> None:
    """Mark the place of a box that has nothing to show, just above the lower end of the axis."""
    axes.plot(
        place,
        0.03,
        ls="none",
        marker="x",
        ms=6,
        mew=2,
        color=look.colour,
        transform=axes.get_xaxis_transform(),
    )


def _notes(
    variants: Mapping[str, Mapping[str, OnlineScore]], styles: Mapping[str, Look]
) -> list[str]:
    """Return a note per variant that names its models with members that are not drawn."""
    lost = {variant: lost_notes(scores, styles) for variant, scores in variants.items()}
    notes = [f"{variant}: {'; '.join(found)}" for variant, found in lost.items() if found]
    crosses = any(not s.scored_runs for scores in variants.values() for s in scores.values())
    return [*notes, "x: no member to draw"] if crosses else notes
