"""Figures of fields, energies and spectra; each function returns its panels and writes nothing."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from subgrid.evaluation.layers import (
    keyed,
    layer_words,
    layers_of,
    layers_of_system,
    of_layer,
    with_units,
)
from subgrid.evaluation.style import (
    TRUTH,
    Look,
    Panel,
    add_legend,
    draw_line,
    lost_note,
    new_panel,
    scientific,
    styled,
)
from subgrid.evaluation.survival import blow_up_steps, blow_ups, first_date, unit_of

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

Runs = Mapping[str, Sequence["xr.Dataset"]]
_YEAR = 360.0  # days, as in the published experiments


@styled
def plot_fields(fields: ArrayLike, system: Any) -> list[Panel]:
    """Return a panel per layer of the field of a true coarse state [level, y, x].

    Which that is says `drawn` of the system: potential vorticity of two-layer QG, 1/s.
    """
    panels, drawn = [], system.drawn
    symbol, text, units = drawn.symbol, drawn.long_name, drawn.units
    for field, layer in zip(np.asarray(fields), layers_of_system(system), strict=True):
        figure, (axes,) = new_panel(inches=(4.8, 5.1))
        words = layer_words(layer)
        image = _map(axes, field, system, _limit(field), of_layer(f"true {symbol}", words))
        _colour_bar(figure, image, axes, with_units(symbol, units))
        panels.append(Panel(keyed("field", layer), figure, of_layer(f"map of true {text}", words)))
    return panels


@styled
def plot_forcings(
    truth: ArrayLike,
    predictions: Mapping[str, ArrayLike],
    system: Any,
    styles: Mapping[str, Look],
) -> list[Panel]:
    """Return a panel per layer: the true subgrid forcing beside what each closure makes of it.

    `truth` and each prediction [level, y, x], of one snapshot: what `system.field` makes of a
    forcing, of two-layer QG the forcing itself, 1/s². The maps of a layer share the colour limits
    of its truth.
    """
    panels = []
    symbol, units = system.drawn.forcing_symbol, system.drawn.forcing_units
    for index, layer in enumerate(layers_of_system(system)):
        fields = {"truth": np.asarray(truth)[index]}
        fields |= {styles[name].label: np.asarray(s)[index] for name, s in predictions.items()}
        columns = min(2, len(fields))
        rows = -(-len(fields) // columns)
        figure, axes = new_panel(rows, columns, (4.8, 1.25 + 2.05 * rows))
        limit, image = _limit(fields["truth"]), None
        for place, (label, field) in zip(axes, fields.items(), strict=False):
            if not np.isfinite(field).all():
                place.text(0.5, 0.5, "not finite", transform=place.transAxes, ha="center")
                field = np.full_like(field, np.nan)
            image = _map(place, field, system, limit, label)
        for place in axes[len(fields) :]:
            place.set_visible(False)
        bar = with_units(of_layer(symbol, layer_words(layer)), units)
        _colour_bar(figure, image, axes[: len(fields)], bar)
        alt = of_layer("maps of true and modelled forcing", layer_words(layer))
        panels.append(Panel(keyed("forcing", layer), figure, alt))
    return panels


@styled
def plot_energy(reference: "xr.Dataset", runs: Runs, styles: Mapping[str, Look]) -> list[Panel]:
    """Return panels of kinetic energy and enstrophy over time: mean and range of the members."""
    return [
        _series_panel("total_kinetic_energy", "kinetic energy", reference, runs, styles),
        _series_panel("total_enstrophy", "enstrophy", reference, runs, styles),
    ]


@styled
def plot_spectra(
    reference: "xr.Dataset", runs: Runs, styles: Mapping[str, Look], cut: float
) -> list[Panel]:
    """Return panels of the mean kinetic energy and enstrophy spectra per layer, the cut marked."""
    names = {
        "kinetic_energy_spectrum": "KE spectrum",
        "enstrophy_spectrum": "enstrophy spectrum",
    }
    return [
        _spectrum_panel(name, text, index, reference, runs, styles, cut)
        for name, text in names.items()
        for index in range(len(layers_of(reference)))
    ]


def _series_panel(
    name: str, text: str, reference: "xr.Dataset", runs: Runs, styles: Mapping[str, Look]
) -> Panel:
    figure, (axes,) = new_panel()
    last = max(float(data["time"].values[-1]) for data in [reference, *_flat(runs)])
    per, unit = unit_of(reference)
    if unit == "days" and last > 2 * _YEAR * per:
        per, unit = per * _YEAR, "years"
    notes, top = [], 0.0
    for key, sets in {TRUTH: [reference], **runs}.items():
        look = styles[key]
        values = np.concatenate([data[name].values for data in sets])
        values = np.where(np.isfinite(values), values, np.nan)
        dead = blow_ups(sets)
        if dead:
            notes.append(
                f"{look.label}: {len(dead)} of {len(values)} members blew up, "
                f"first {first_date(dead)}"
            )
        alive = np.isfinite(values).any(axis=0)
        if not alive.any():
            continue
        time, shown = sets[0]["time"].values[alive] / per, values[:, alive]
        low, high = np.nanmin(shown, axis=0), np.nanmax(shown, axis=0)
        draw_curve(axes, time, np.nanmean(shown, axis=0), (low, high), look)
        if not dead:  # a model on its way out does not set the scale
            top = max(top, float(high.max()))
    axes.set_xlabel(f"time since the initial state [{unit}]")
    axes.set_ylabel(with_units(text, reference[name].attrs["units"]))
    axes.set_ylim(0, 1.08 * top if top else None)
    axes.ticklabel_format(axis="y", scilimits=(-2, 3), useMathText=True)
    add_legend(figure, axes, notes)
    return Panel(name, figure, f"{name.replace('_', ' ')} over time")


def _spectrum_panel(
    name: str,
    text: str,
    index: int,
    reference: "xr.Dataset",
    runs: Runs,
    styles: Mapping[str, Look],
    cut: float,
) -> Panel:
    figure, (axes,) = new_panel()
    wavenumber = reference["wavenumber"].values
    notes, seen = [], []
    for key, sets in {TRUTH: [reference], **runs}.items():
        look = styles[key]
        alive = np.concatenate([blow_up_steps(data) < 0 for data in sets])
        values = np.concatenate([data[name].values[:, index] for data in sets])[alive]
        if not alive.all():
            notes.append(lost_note(look, int(np.sum(~alive)), len(alive), len(values)))
        if not len(values):
            continue
        mean = values.mean(axis=0)
        draw_curve(axes, wavenumber, mean, (values.min(axis=0), values.max(axis=0)), look)
        seen.append(mean[wavenumber < 1.15 * cut])
    axes.axvline(cut, color="#444444", ls=":", lw=1.1, label="cut of the error")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.tick_params(which="minor", labelbottom=False, labelleft=False)
    if seen:
        everything = np.concatenate(seen)
        everything = everything[everything > 0]
        axes.set_ylim(everything.min() / 3, everything.max() * 2)
    units = reference["wavenumber"].attrs["units"]
    axes.set_xlabel(with_units("isotropic wavenumber", units))
    axes.set_ylabel(with_units(text, reference[name].attrs["units"]))
    layer = layers_of(reference)[index]
    axes.set_title(layer_words(layer))
    add_legend(figure, axes, notes)
    alt = of_layer(name.replace("_", " "), layer_words(layer))
    return Panel(keyed(name, layer), figure, alt)


def _map(axes: "Axes", field: NDArray, system: Any, limit: float, title: str) -> Any:
    grid, dimensional = system.grid, system.time_units == "s"
    per = 1e3 if dimensional else 1.0  # kilometres
    image = axes.imshow(
        field,
        origin="lower",
        extent=(0, grid.length_x / per, 0, grid.length_y / per),
        vmin=-limit,
        vmax=limit,
        interpolation="nearest",
        cmap="RdBu_r",
    )
    axes.grid(False)
    axes.set_title(title, fontsize=9.5)
    axes.set_xlabel("x [km]" if dimensional else "x")
    axes.set_ylabel("y [km]" if dimensional else "y")
    axes.label_outer()
    return image


def _colour_bar(figure: Any, image: Any, axes: Any, text: str) -> None:
    bar = figure.colorbar(image, ax=axes, orientation="horizontal", shrink=0.8, aspect=30, pad=0.02)
    bar.set_label(text)
    scientific(bar)


def _limit(field: NDArray) -> float:
    """Return symmetric colour limits that one extreme pixel does not set: the 99.5 % quantile."""
    finite = np.abs(field[np.isfinite(field)])
    return float(np.quantile(finite, 0.995)) or 1.0 if finite.size else 1.0


def _flat(runs: Runs) -> list["xr.Dataset"]:
    return [data for sets in runs.values() for data in sets]


def draw_curve(axes: Any, x: NDArray, mean: NDArray, span: tuple[Any, Any], look: Look) -> None:
    """Draw a model's mean as its line, over the band between the ends of its members' range."""
    axes.fill_between(x, *span, color=look.colour, alpha=0.12, lw=0, zorder=look.order - 2)
    draw_line(axes, x, mean, look)
