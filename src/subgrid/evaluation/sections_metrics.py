"""What every metric brings by itself: a table, a figure against lead time, ranks."""

from typing import TYPE_CHECKING

import numpy as np

from subgrid.evaluation import table as scores
from subgrid.evaluation.components import (
    component_words,
    domain_dims,
    in_words,
    of_component,
    score_name,
    with_units,
)
from subgrid.evaluation.draw import Curve, histogram, lines
from subgrid.evaluation.findings import Findings
from subgrid.evaluation.formats import capital, number
from subgrid.evaluation.intervals import percent
from subgrid.evaluation.metric_ensembles import RankHistogram
from subgrid.evaluation.metrics import METRICS
from subgrid.evaluation.report import Section, Table, section
from subgrid.evaluation.style import Panel, Styles
from subgrid.evaluation.survival import ensembles, paired_truth, unit_of

if TYPE_CHECKING:
    import xarray as xr

# these have sections of their own, with more than this
_ELSEWHERE = ("spectral_error", "decorrelation_time", "lasting", "series_error")


def metric_sections(found: Findings, styles: Styles) -> list[Section]:
    """Return a table of every further metric, and of those that have them curves and ranks."""
    table = found.table
    names = [str(name).removesuffix("_mean") for name in table if str(name).endswith("_mean")]
    wanted = [name for name in names if name not in _ELSEWHERE]
    tables = [metric_table(table, name, styles) for name in wanted]
    panels = [panel for name in wanted for panel in _curves(name, found, styles)]
    return [
        section(
            "Further scores of free runs",
            "Against lead time: mean over members and networks that are still alive."
            if panels
            else "",
            [*panels, *_ranks(found, styles)],
            tables,
        )
    ]


def metric_table(table: "xr.Dataset", metric: str, styles: Styles) -> Table:
    """Return a row per model and a column per quantity and component, with intervals."""
    about, places = table[metric].attrs, scores.places(table, metric)
    missing = table.attrs["undefined"].get(metric, {})
    better = {"low": "; 0 is perfect", "high": "; larger is better"}.get(about["best"], "")
    said = "".join(f" {in_words(name)}: not defined here, {why}." for name, why in missing.items())
    rows = [
        (
            styles[model].label,
            *(_cell(table, metric, model, quantity, part) for quantity, part in places),
        )
        for model in scores.models(table)
    ]
    heads = (
        with_units(of_component(in_words(quantity), part), about["units_of"][quantity])
        for quantity, part in places
    )
    return Table(
        capital(in_words(metric)),
        f"{about['long_name']}{better}; with {percent(table.attrs['level'])} intervals.{said}",
        ("model", *heads),
        tuple(rows),
    )


def _cell(table: "xr.Dataset", metric: str, model: str, quantity: str, part: str) -> str:
    place = {"model": model, "quantity": quantity, "component": part}
    value = scores.interval(table, f"{metric}_mean", **place)
    if not np.isfinite([value.low, value.high]).all():
        return number(value.estimate)
    return f"{number(value.estimate)} [{number(value.low)}, {number(value.high)}]"


def _curves(name: str, found: Findings, styles: Styles) -> list[Panel]:
    """Return a metric's score of fields against lead time, if it has one."""
    metric = METRICS.get(name)() if name in METRICS.names() else None
    if metric is None or not hasattr(metric, "curve"):
        return []
    panels = []
    for quantity, part in scores.places(found.table, name):
        values, domain = found.truth.get(quantity), found.system.domain
        if values is None or not set(domain_dims(domain)) & set(values.dims):
            continue
        index = list(component_words(values, domain)).index(part)
        curves = []
        for model, sets in found.runs.items():
            beside = paired_truth(sets[0], found.truth)
            every = [metric.curve(quantity, data, beside, domain)[:, index] for data in sets]
            score = np.concatenate(every)
            alive = np.isfinite(score).any(axis=0)
            time = sets[0]["time"].values[alive] / unit_of(sets[0]).length
            curves.append(Curve(styles[model], time, np.nanmean(score[:, alive], axis=0)))
        label = with_units(in_words(name), values.attrs.get("units", "1"))
        clock = f"lead time [{found.table.attrs['time_units']}]"
        names = (
            f"{name}_{score_name(quantity, part)}",
            f"{in_words(name)} of {quantity} over lead time",
        )
        panels.append(lines(*names, curves, clock, label, title=of_component(quantity, part)))
    return panels


def _ranks(found: Findings, styles: Styles) -> list[Panel]:
    """Return the rank histograms of ensembles, quantity by quantity."""
    metric, panels = RankHistogram(), []
    if "spread_skill_mean" not in found.table:
        return panels
    for quantity, part in scores.places(found.table, metric.name):
        shares = {}
        for model, sets in found.runs.items():
            beside = paired_truth(sets[0], found.truth)
            if max(map(len, ensembles(beside))) > 1:
                index = list(component_words(sets[0][quantity], found.system.domain)).index(part)
                every = [
                    metric.features(quantity, data, beside, found.system.domain)[:, index]
                    for data in sets
                ]
                shares[model] = np.nanmean(np.concatenate(every), axis=0)
        if shares:
            names = f"ranks_{score_name(quantity, part)}", f"rank histogram of {quantity}"
            title = of_component(in_words(quantity), part)
            rank = "rank of the truth among the members"
            panels.append(histogram(*names, shares, styles, rank, "share", title=title))
    return panels
