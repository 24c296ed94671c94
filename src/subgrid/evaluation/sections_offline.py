"""Sections on training and on what closures make of held-out states: curves, spectra, skill."""

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from subgrid.evaluation import table as scores
from subgrid.evaluation.captions import caption
from subgrid.evaluation.components import (
    components_of_system,
    in_words,
    of_component,
    score_name,
    with_article,
    with_units,
)
from subgrid.evaluation.draw import Curve, lines
from subgrid.evaluation.findings import Findings, Records, Runs
from subgrid.evaluation.formats import fixed, fixed_all, mean_work_error, number, with_spread
from subgrid.evaluation.offline import SOURCES, channel_names, work_error
from subgrid.evaluation.report import Section, Table, section
from subgrid.evaluation.style import TRUTH, Panel, Styles, add_legend, log_axis, new_panel, styled

if TYPE_CHECKING:
    import xarray as xr

_FEWEST = 6  # models; fewer have no ranks to speak of
_DRAWS = 10000
_POOLED = ("mse", "pooled_relative_l2", "pooled_relative_spectral_l2", "correlation")
_POOLED += ("r_squared", "r_squared_below_filter")
_STATISTICS = {"forcing_spectrum": "wavenumber", "work_spectrum": "wavenumber"}
_STATISTICS |= {"forcing_density": "value"}
# what is wrong offline, the smaller the better; the last three are of all components together
_ERRORS = {
    "1 - R²": lambda data, index: 1 - data["r_squared"].values[index],
    "1 - R² below the filter": lambda data, index: 1 - data["r_squared_below_filter"].values[index],
    "relative ℓ2": lambda data, index: data["pooled_relative_l2"].item(),
    "relative spectral ℓ2": lambda data, index: data["pooled_relative_spectral_l2"].item(),
    "error of the energy added": lambda data, index: work_error(data["work_spectrum"].values),
}


def offline_sections(found: Findings, styles: Styles) -> list[Section]:
    """Return what closures make of the forcing of held-out states, and what that foretells."""
    if not found.offline:
        return []
    return [
        section(
            "Predicted and true forcing, offline",
            caption("offline"),
            _forcing_panels(found, styles),
            [offline_table(found, styles), foresight_table(found.offline, found.table)],
        )
    ]


def offline_table(found: Findings, styles: Styles) -> Table:
    """Return the offline scores of every closure, means over its networks."""
    rows, some = [], next(iter(found.offline.values()))[0]
    channels, filtered = " / ".join(channel_names(some)), "r_squared_below_filter" in some
    pooled = [key for key in _POOLED if key in some]
    for name, sets in found.offline.items():
        samples = {
            key: np.concatenate([data[key].values for data in sets])
            for key in ("relative_l2", "relative_spectral_l2")
        }
        means = {key: np.mean([data[key].values for data in sets], axis=0) for key in pooled}
        masked = sum(int(data["masked_samples"]) for data in sets)
        total = masked + sum(data.sizes["sample"] for data in sets)
        rows.append(
            (
                styles[name].label,
                number(means["mse"]),
                with_spread(samples["relative_l2"]),
                number(means["pooled_relative_l2"]),
                with_spread(samples["relative_spectral_l2"]),
                number(means["pooled_relative_spectral_l2"]),
                fixed_all(means["r_squared"]),
                *([fixed_all(means["r_squared_below_filter"])] if filtered else []),
                fixed_all(means["correlation"]),
                *([mean_work_error(sets)] if filtered else []),
                f"{masked} of {total}" if masked else "0",
            )
        )
    return Table(
        "Offline: predicted against true forcing",
        caption(
            "offline_table",
            "offline_filtered" if filtered else "",
            begins=found.system.filter_begins if filtered else None,
        ),
        (
            "closure",
            "MSE",
            "relative ℓ2",
            "pooled",
            "relative spectral ℓ2",
            "pooled",
            f"R², {channels}",
            *(["R² below the filter"] if filtered else []),
            "correlation",
            *(["error of energy added"] if filtered else []),
            "masked",
        ),
        tuple(rows),
    )


def foresight_table(offline: Runs, table: "xr.Dataset") -> Table:
    """Return how well each offline error ranks the errors of free runs, component by component.

    Spearman's correlation over the models of both, of an offline error, mean over a model's
    networks, and the error of free runs; models with members that blew up come after all others, by
    how many did. Without rows for fewer than six models, or for closures without the energy added.
    """
    known = {n: sets for n, sets in offline.items() if n in scores.models(table)}
    names = [n for n, sets in known.items() if all("work_spectrum" in data for data in sets)]
    metric, quantity = scores.main_error(table)
    words = scores.words(table, quantity)
    title, columns = "Which offline error foretells the free runs?", ("offline", *words)
    if len(names) < _FEWEST:
        return Table(title, "", columns, ())
    rows = []
    for label, error in _ERRORS.items():
        cells = []
        for index, part in enumerate(words):
            means = [float(np.mean([error(d, index) for d in offline[name]])) for name in names]
            online = [scores.rank_key(table, metric, name, quantity, part) for name in names]
            cells.append(fixed(rank_correlation(means, online)))
        rows.append((label, *cells))
    return Table(
        title,
        caption(
            "foresight_table",
            models=len(names),
            quantity=with_article(quantity),
            chance=chance_level(len(names)),
        ),
        columns,
        tuple(rows),
    )


def rank_correlation(one: Sequence[Any], other: Sequence[Any]) -> float:
    """Return Spearman's rank correlation; NaN if a value is NaN or all are equal."""
    if any(value != value for value in (*one, *other)):
        return float("nan")
    ours, theirs = (ranks - ranks.mean() for ranks in (_ranks(one), _ranks(other)))
    scale = np.sqrt((ours @ ours) * (theirs @ theirs))
    return float(ours @ theirs / scale) if scale else float("nan")


def chance_level(count: int) -> float:
    """Return the size that the rank correlation of unrelated lists exceeds once in twenty times.

    Drawn at random, always the same; NaN for fewer than two values.
    """
    if count < 2:
        return float("nan")
    order = np.arange(count) - (count - 1) / 2
    generator = np.random.default_rng(0)
    drawn = [abs(order @ generator.permutation(order)) for _ in range(_DRAWS)]
    return float(np.quantile(drawn, 0.95) / (order @ order))


def _ranks(values: Sequence[Hashable]) -> NDArray[np.float64]:
    """Return the rank of each value; equal ones share the mean of theirs."""
    places: dict[Hashable, list[int]] = {}
    for place, value in enumerate(sorted(values)):  # type: ignore[type-var]
        places.setdefault(value, []).append(place)
    return np.array([np.mean(places[value]) for value in values], np.float64)


def _forcing_panels(found: Findings, styles: Styles) -> list[Panel]:
    """Return panels of power spectra and densities of each component, and of the work."""
    firsts = {
        name: sets[0]
        for name, sets in found.offline.items()
        if "forcing_spectrum" in sets[0] and np.isfinite(sets[0]["forcing_spectrum"]).any()
    }
    words, panels = components_of_system(found.system), []
    if not firsts:
        return panels
    for name, axis in _STATISTICS.items():
        by_part = "channel" in next(iter(firsts.values()))[name].dims
        for index, (part, called) in enumerate(words.items()) if by_part else [(None, ("", ""))]:
            panels.append(_forcing_panel(firsts, styles, (name, axis), index, part, called))
    return panels


def _forcing_panel(
    firsts: Mapping[str, "xr.Dataset"],
    styles: Styles,
    shown: tuple[str, str],
    index: int | None,
    part: str,
    called: str,
) -> Panel:
    """Return a statistic of the forcing against its axis: truth and closures."""
    (name, axis), some = shown, next(iter(firsts.values()))
    curves = []
    for key, data in {TRUTH: some, **firsts}.items():
        source = SOURCES.index("truth" if key == TRUTH else "prediction")
        values = data[name].sel(source=source)
        values = np.asarray(values if index is None else values.isel(channel=index), np.float64)
        drawn = values if index is None else np.where(values > 0, values, np.nan)
        curves.append(Curve(styles[key], data[axis].values, drawn))
    most = np.nanmax(curves[0].y, initial=0.0)
    # five decades below the largest value of the truth
    limits = (most * 1e-5, most * 10) if index is not None and most > 0 else None
    log = ("x" if axis == "wavenumber" else "") + ("" if index is None else "y")
    return lines(
        score_name(name, part),
        of_component(f"{in_words(name)} of truth and closures", called),
        curves,
        with_units(some[axis].attrs["long_name"].partition(",")[0], some[axis].attrs["units"]),
        with_units(some[name].attrs["long_name"], some[name].attrs["units"]),
        log=log,
        limits=limits,
        across=0.0 if index is None else None,
        title=called,
    )


def training_sections(found: Findings, styles: Styles) -> list[Section]:
    """Return the learning curves, offline and through the solver."""
    made = []
    if found.curves:
        panel = learning_curves(found.curves, styles, "learning_curves", "forcing")
        made.append(section("Learning curves", caption("learning"), [panel]))
    if found.tuning:
        panel = learning_curves(found.tuning, styles, "tuning_curves", "state")
        made.append(section("Learning curves through the solver", caption("tuning"), [panel]))
    return made


@styled
def learning_curves(
    curves: Mapping[str, Records], styles: Styles, slug: str, learned: str
) -> Panel:
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
            if not known:
                continue
            x, y = np.array(known, np.float64).T
            label = look.label if marker else None
            more = {"ls": dash, "marker": marker, "ms": 4, "lw": 1.6 if marker else 1.0}
            every = max(1, len(x) // 8)
            axes.plot(x, y, color=look.colour, markevery=every, label=label, **more)
    low, high = axes.dataLim.intervaly
    if 0 < 2 * low < high:
        log_axis(axes.yaxis, (low, high))
    axes.set(xlabel="updates", ylabel=f"loss [variance of the {learned}]")
    add_legend(figure, axes)
    return Panel(slug, figure, slug.replace("_", " "))
