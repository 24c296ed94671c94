"""Drawings that metrics and recipes share: lines with bands, boxes, bars, points, maps, matrices.

Each function takes names, numbers and looks, and returns a panel; none knows a quantity.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from subgrid.evaluation.style import (
    PANEL_INCHES,
    Look,
    Panel,
    Styles,
    add_legend,
    draw_line,
    log_axis,
    new_panel,
    panel_inches,
    scientific,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FAR_APART = 10  # ratio of values from which their axis is logarithmic
_GROUP = 0.84  # of the distance between groups of boxes, the rest is the gap
_DARK, _RED = "#444444", "#8a1c00"


class Curve(NamedTuple):
    """A line in its look, over a band between two others if given."""

    look: Look
    x: NDArray
    y: NDArray
    band: tuple[NDArray, NDArray] | None = None


class Point(NamedTuple):
    """A point with an interval; `hollow`: not to be trusted as the others."""

    look: Look
    x: float
    value: float
    low: float
    high: float
    hollow: bool = False


def _finished(name: str, alt: str, axes: "Axes", notes: Sequence[str] = (), **labels: str) -> Panel:
    """Return the panel of `axes` with its labels, its legend below and its notes."""
    figure: Any = axes.figure
    axes.set(**labels)
    add_legend(figure, axes, notes)
    return Panel(name, figure, alt)


@styled
def lines(
    name: str,
    alt: str,
    curves: Iterable[Curve],
    x_label: str,
    y_label: str,
    *,
    log: str = "",
    limits: tuple[float | None, float | None] | None = None,
    across: float | None = None,
    down: tuple[float, str] | None = None,
    title: str = "",
    notes: Sequence[str] = (),
    inches: tuple[float, float] = PANEL_INCHES,
) -> Panel:
    """Return a panel of curves.

    `log`: the axes that are logarithmic, "x", "y" or "xy"; `limits` of y; `across`: a dotted line
    at this y; `down`: one at this x, with its name. `notes` say what is not drawn.
    """
    _, (axes,) = new_panel(inches=inches)
    for curve in curves:
        if curve.band is not None:
            band = {"color": curve.look.colour, "alpha": 0.12, "lw": 0}
            axes.fill_between(curve.x, *curve.band, zorder=curve.look.order - 2, **band)
        draw_line(axes, curve.x, curve.y, curve.look)
    if across is not None:
        axes.axhline(across, color=_DARK, ls=":", lw=1.1)
    if down is not None:
        axes.axvline(down[0], color=_DARK, ls=":", lw=1.1, label=down[1])
    if log:
        axes.set(**{f"{axis}scale": "log" for axis in log})
        axes.tick_params(which="minor", labelbottom=False, labelleft=False)
    if "y" not in log:
        axes.ticklabel_format(axis="y", scilimits=(-2, 3), useMathText=True)
    if limits is not None:
        axes.set_ylim(*limits)
    return _finished(name, alt, axes, notes, xlabel=x_label, ylabel=y_label, title=title)


@styled
def boxes(
    name: str,
    alt: str,
    groups: Mapping[str, Mapping[str, NDArray]],
    styles: Styles,
    y_label: str,
    *,
    title: str = "",
    notes: Sequence[str] = (),
) -> Panel:
    """Return box plots of values, group → model → values; of one group, models are named below.

    Boxes: quartiles and median; whiskers: all values; points: each value. The axis begins at zero,
    or is logarithmic where values lie more than a factor 10 apart. A cross stands for a model
    without a value.
    """
    models = list(dict.fromkeys(model for values in groups.values() for model in values))
    alone = len(groups) == 1
    each = 0.4 if alone else 0.16 * len(models)
    _, (axes,) = new_panel(inches=panel_inches(len(models if alone else groups), each))
    width = 1.0 if alone else _GROUP / len(models)
    drawn = [np.zeros(0)]
    for group, values in enumerate(groups.values()):
        for column, model in enumerate(models):
            place = column if alone else group + (column + 0.5) * width - _GROUP / 2
            known = np.ravel(values.get(model, np.zeros(0)))
            known = known[np.isfinite(known)]
            if known.size:
                _box(axes, float(place), known, styles[model], 0.55 if alone else 0.8 * width)
                drawn.append(known)
            elif model in values:
                cross = {"marker": "x", "ms": 6, "mew": 2, "color": styles[model].colour}
                axes.plot(place, 0.03, ls="none", transform=axes.get_xaxis_transform(), **cross)
    if alone:
        _name_places(axes, [styles[model].label for model in models])
    else:
        _name_places(axes, list(groups), slanted=False)
        for look in (styles[model] for model in models):
            axes.plot([], [], ls="none", marker=look.marker, color=look.colour, label=look.label)
    scale_axis(axes, np.concatenate(drawn))
    return _finished(name, alt, axes, notes, ylabel=y_label, title=title)


def _box(axes: "Axes", place: float, values: NDArray, look: Look, width: float) -> None:
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
    points = {"marker": look.marker, "color": look.colour, "alpha": 0.8}
    axes.plot(place + spread, values, ls="none", ms=3.5 if width > 0.3 else 2.0, **points)


def _name_places(axes: "Axes", labels: Sequence[str], slanted: bool = True) -> None:
    """Write names under the places 0, 1, ...; slanted where there are many."""
    axes.set_xticks(range(len(labels)), labels)
    axes.set_xlim(-0.6, len(labels) - 0.4)
    if slanted and len(labels) > 3:
        for text in axes.get_xticklabels():
            text.set(rotation=35, ha="right", rotation_mode="anchor")


def scale_axis(axes: "Axes", values: NDArray) -> None:
    """Let the y axis hold `values`: from zero, or logarithmic where they lie far apart.

    Far apart: by more than a factor 10, where one model would press the others onto the axis.
    """
    values = values[np.isfinite(values)]
    if values.size and 0 < _FAR_APART * values.min() < values.max():
        log_axis(axes.yaxis, values)
    else:
        axes.set_ylim(0, 1.08 * values.max() if np.any(values > 0) else 1.0)
        axes.ticklabel_format(axis="y", scilimits=(-2, 3), useMathText=True)


@styled
def bars(
    name: str,
    alt: str,
    rows: Sequence[str],
    values: Mapping[str, Sequence[float]],
    styles: Styles,
    x_label: str,
    *,
    title: str = "",
    notes: Sequence[str] = (),
) -> Panel:
    """Return horizontal bars from -1 to 1, a group per row; an arrow marks those that go on."""
    _, (axes,) = new_panel(inches=(4.8, 6.0 * max(1.0, len(values) / 8)))
    height = 0.8 / max(len(values), 1)
    for row, (model, numbers) in enumerate(values.items()):
        look, known = styles[model], np.nan_to_num(np.asarray(numbers, np.float64))
        places = np.arange(len(rows)) + (row - (len(values) - 1) / 2) * height
        bar: dict[str, Any] = {"color": look.colour, "label": look.label}
        axes.barh(places, np.clip(known, -1, 1), height * 0.92, **bar)
        for place in places[known < -1]:
            axes.plot(-1.035, place, marker="<", ms=4, color=look.colour, clip_on=False)
    axes.axvline(0, color=_DARK, lw=0.9)
    axes.set_yticks(range(len(rows)), rows, fontsize=9)
    axes.invert_yaxis()
    axes.set(xlim=(-1.0, 1.0), xticks=[-1.0, -0.5, 0.0, 0.5, 1.0])
    return _finished(name, alt, axes, notes, xlabel=x_label, title=title)


@styled
def points(
    name: str,
    alt: str,
    found: Sequence[Point],
    x_label: str,
    y_label: str,
    *,
    low_is_best: bool = True,
    floor: float = np.nan,
    title: str = "",
    notes: Sequence[str] = (),
) -> Panel:
    """Return points of skill with intervals against cost, and the Pareto front of the solid ones.

    Shaded: values below the `floor`, which mean nothing.
    """
    _, (axes,) = new_panel()
    for point in found:
        _bar_of(axes, point, label=point.look.label)
    log_axis(axes.xaxis, [point.x for point in found])
    drawn = np.array([value for p in found for value in (p.value, p.high)], np.float64)
    if low_is_best:
        scale_axis(axes, drawn)
    else:
        axes.set_ylim(bottom=0)
    if floor > 0:
        low, high = axes.get_ylim()
        shade = {"color": "#999999", "alpha": 0.25, "lw": 0, "zorder": 0}
        axes.axhspan(low, floor, label="sampling floor", **shade)
        axes.set_ylim(low, max(high, 1.1 * floor))
    sign = 1 if low_is_best else -1
    solid = {str(i): (p.x, sign * p.value) for i, p in enumerate(found) if not p.hollow}
    front = [found[int(name)] for name in pareto_front(solid)]
    if front:  # steps from the worst edge over the best that each cost buys to the right edge
        axes.plot(
            [front[0].x, *(p.x for p in front), axes.get_xlim()[1]],
            [axes.get_ylim()[int(low_is_best)], *(p.value for p in front), front[-1].value],
            drawstyle="steps-post",
            color=_DARK,
            lw=1.0,
            label="Pareto front",
            zorder=2,
        )
    return _finished(name, alt, axes, notes, xlabel=x_label, ylabel=y_label, title=title)


def _bar_of(axes: "Axes", point: Point, **more: Any) -> None:
    ends = np.nan_to_num([[point.value - point.low], [point.high - point.value]], nan=0.0)
    face = "none" if point.hollow else point.look.colour
    drawn = {"color": point.look.colour, "marker": point.look.marker, "mfc": face, "ms": 8}
    drawn |= {"ls": "none", "capsize": 3, "zorder": 3}
    axes.errorbar(point.x, point.value, yerr=np.maximum(ends, 0), **(drawn | more))


def pareto_front(places: Mapping[str, tuple[float, float]]) -> list[str]:
    """Return the models of `places`, (cost, error), that no other beats, the cheapest first.

    A model is beaten by another that is nowhere worse and somewhere better.
    """
    front = [
        name
        for name, (cost, error) in places.items()
        if not any(c <= cost and e <= error and (c, e) != (cost, error) for c, e in places.values())
    ]
    return sorted(front, key=places.__getitem__)


@styled
def maps(
    name: str,
    alt: str,
    fields: Mapping[str, NDArray],
    domain: Any,
    bar: str,
    *,
    metres: bool = False,
    limit: float | None = None,
) -> Panel:
    """Return fields of a domain by label, sharing colours; a line each on a domain of one dim.

    `bar`: what the colours are, with units; `metres`: whether lengths are, and are shown in
    kilometres; `limit` of the colours, by default that of the first field.
    """
    columns = min(2, len(fields))
    rows = -(-len(fields) // columns)
    inches = (4.8, 5.1) if len(fields) == 1 else (4.8, 1.25 + 2.05 * rows)
    figure, axes = new_panel(rows, columns, inches)
    limit, image = limit or field_limit(next(iter(fields.values()))), None
    for place, (label, field) in zip(axes, fields.items(), strict=False):
        if not np.isfinite(field).all() and getattr(domain, "mask", None) is None:
            place.text(0.5, 0.5, "not finite", transform=place.transAxes, ha="center")
            field = np.full_like(field, np.nan)
        image = _map(place, np.asarray(field), domain, limit, label, metres)
    for place in axes[len(fields) :]:
        place.set_visible(False)
    if image is None:
        axes[0].set_ylabel(bar)
        return Panel(name, figure, alt)
    colours = {"orientation": "horizontal", "shrink": 0.8, "aspect": 30, "pad": 0.02}
    scientific(figure.colorbar(image, ax=axes[: len(fields)], label=bar, **colours))
    return Panel(name, figure, alt)


def _map(axes: "Axes", field: NDArray, domain: Any, limit: float, title: str, metres: bool) -> Any:
    """Draw a field [*dims]; return the image, or None for a line."""
    per, units = (1e3, " [km]") if metres else (1.0, "")
    places = [values / per for values, _ in domain.coordinates().values()]
    axes.set_title(title, fontsize=9.5)
    axes.set_xlabel(f"{domain.dims[-1]}{units}")
    if field.ndim == 1:
        axes.plot(places[-1], field, color="#0072B2")
        axes.set_ylim(-1.1 * limit, 1.1 * limit)
        axes.label_outer()
        return None
    # cells reach half a spacing beyond their centres
    spans = [(v[0] - (v[1] - v[0]) / 2, v[-1] + (v[-1] - v[-2]) / 2) for v in places]
    look = {"vmin": -limit, "vmax": limit, "interpolation": "nearest", "cmap": "RdBu_r"}
    image = axes.imshow(field, origin="lower", extent=(*spans[1], *spans[0]), **look)
    axes.grid(False)
    axes.set_ylabel(f"{domain.dims[0]}{units}")
    axes.label_outer()
    return image


def field_limit(field: NDArray) -> float:
    """Return symmetric colour limits that one extreme pixel does not set: the 99.5 % quantile."""
    finite = np.abs(field[np.isfinite(field)])
    return float(np.quantile(finite, 0.995)) or 1.0 if finite.size else 1.0


@styled
def matrix(
    name: str,
    alt: str,
    values: NDArray,
    rows: Sequence[str],
    columns: Sequence[str],
    row_label: str,
    column_label: str,
    bar: str,
    crossed: NDArray,
) -> Panel:
    """Return a map of numbers [row, column], each written in its cell; darker is smaller.

    A cross marks the cells of `crossed`.
    """
    figure, (axes,) = new_panel()
    image = axes.imshow(values, cmap="viridis", vmin=0.0, aspect="auto", origin="lower")
    middle = np.nanmax(values, initial=0.0) / 2
    for (row, column), value in np.ndenumerate(values):
        text: dict[str, Any] = {"ha": "center", "va": "center", "size": 7}
        text["color"] = "white" if value < middle else "black"
        axes.text(column, row, "" if np.isnan(value) else f"{value:.2f}", **text)
        if crossed[row, column]:
            axes.plot(column, row, marker="x", color="#D55E00", ms=9, mew=2)
    axes.set_xticks(range(len(columns)), columns, rotation=45)
    axes.set_yticks(range(len(rows)), rows)
    axes.set(xlabel=column_label, ylabel=row_label)
    axes.grid(False)
    figure.colorbar(image, ax=axes, label=bar)
    return Panel(name, figure, alt)


@styled
def histogram(
    name: str,
    alt: str,
    shares: Mapping[str, NDArray],
    styles: Styles,
    x_label: str,
    y_label: str,
    *,
    title: str = "",
) -> Panel:
    """Return steps of the share of each rank or bin [bin] of every model, the flat one dotted."""
    _, (axes,) = new_panel()
    for model, share in shares.items():
        look, edges = styles[model], np.arange(len(share) + 1) - 0.5
        axes.stairs(share, edges, color=look.colour, ls=look.dash, label=look.label, lw=1.6)
    axes.axhline(1 / len(next(iter(shares.values()))), color=_DARK, ls=":", lw=1.1)
    axes.set_ylim(0, None)
    return _finished(name, alt, axes, xlabel=x_label, ylabel=y_label, title=title)
