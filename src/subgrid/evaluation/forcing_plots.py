"""Figure of what the closures make of the forcing: power spectra, work and distributions."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from subgrid.evaluation.forcing_statistics import SOURCES
from subgrid.evaluation.layers import keyed, layer_words, of_layer
from subgrid.evaluation.offline import channel_names
from subgrid.evaluation.report import ReportFigure, report_figure
from subgrid.evaluation.style import TRUTH, Look, Panel, add_legend, draw_line, new_panel, styled

if TYPE_CHECKING:
    import xarray as xr

_CAPTION = (
    "Over the held-out samples of the offline test, first network of each model, forcing in "
    "standard deviations of the truth. Power spectra and probability densities of both layers, and "
    "the energy that the forcing adds to the flow at each wavenumber. A mean prediction has less "
    "power and shorter tails than the truth wherever the coarse state does not decide the forcing."
)


def forcing_figure(
    offline: Mapping[str, Sequence["xr.Dataset"]], styles: Mapping[str, Look]
) -> ReportFigure:
    """Return the figure; without images where `evaluate_offline` left no finite spectra.

    `offline`: closure → one dataset of `evaluate_offline` per network.
    """
    firsts = {
        name: sets[0]
        for name, sets in offline.items()
        if "forcing_spectrum" in sets[0] and np.isfinite(sets[0]["forcing_spectrum"]).any()
    }
    panels = plot_forcing_statistics(firsts, styles) if firsts else []
    return report_figure("Predicted and true forcing, offline", _CAPTION, panels)


@styled
def plot_forcing_statistics(
    firsts: Mapping[str, "xr.Dataset"], styles: Mapping[str, Look]
) -> list[Panel]:
    """Return panels of power spectra and densities of each layer, and of the work.

    `firsts`: closure → a dataset with what `forcing_dataset` returns, all over the same samples.
    """
    layers = range(len(channel_names(next(iter(firsts.values())))))
    return [
        *(_panel(firsts, styles, "forcing_spectrum", "wavenumber", layer) for layer in layers),
        _panel(firsts, styles, "work_spectrum", "wavenumber"),
        *(_panel(firsts, styles, "forcing_density", "value", layer) for layer in layers),
    ]


_LABELS = {
    "forcing_spectrum": "power spectrum of the forcing [m]",
    "work_spectrum": "energy added [m³ s⁻³]",
    "forcing_density": "probability density",
    "wavenumber": "isotropic wavenumber [rad m⁻¹]",
    "value": "forcing [standard deviations of the truth]",
}


def _panel(
    firsts: Mapping[str, "xr.Dataset"],
    styles: Mapping[str, Look],
    name: str,
    axis: str,
    layer: int | None = None,
) -> Panel:
    figure, (axes,) = new_panel()
    called = "" if layer is None else channel_names(next(iter(firsts.values())))[layer]
    for key, data, source in _curves(firsts):
        values = data[name].sel(source=SOURCES.index(source))
        values = np.asarray(values if layer is None else values.isel(level=layer))
        drawn = np.where(values > 0, values, np.nan) if layer is not None else values
        draw_line(axes, data[axis].values, drawn, styles[key])
    if layer is not None:
        axes.set_yscale("log")
        axes.set_title(layer_words(called))
        _keep_in_sight(axes, np.asarray(axes.lines[0].get_ydata()))  # the truth
    else:
        axes.axhline(0.0, color="#444444", lw=0.8)
        axes.ticklabel_format(axis="y", scilimits=(-2, 3), useMathText=True)
    if axis == "wavenumber":
        axes.set_xscale("log")
    axes.tick_params(which="minor", labelbottom=False, labelleft=False)
    axes.set_xlabel(_LABELS[axis])
    axes.set_ylabel(_LABELS[name])
    add_legend(figure, axes)
    alt = of_layer(f"{name.replace('_', ' ')} of truth and closures", layer_words(called))
    return Panel(keyed(name, called), figure, alt)


def _curves(firsts: Mapping[str, "xr.Dataset"]) -> list[tuple[str, Any, str]]:
    """Return (look, dataset, source) of each curve, the truth first."""
    truth = next(iter(firsts.values()))
    return [(TRUTH, truth, "truth"), *((name, data, "prediction") for name, data in firsts.items())]


def _keep_in_sight(axes: Any, truth: Any) -> None:
    """End the logarithmic axis five decades below the largest value of the truth."""
    if np.isfinite(truth).any() and np.nanmax(truth) > 0:
        axes.set_ylim(np.nanmax(truth) * 1e-5, np.nanmax(truth) * 10)
