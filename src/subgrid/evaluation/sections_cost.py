"""Sections on cost: skill against it, and times of every model."""

import numpy as np

from subgrid.evaluation import table as scores
from subgrid.evaluation.captions import caption
from subgrid.evaluation.components import of_component, score_name, with_article, with_units
from subgrid.evaluation.cost import NetworkSize, StepCost
from subgrid.evaluation.draw import Point, points
from subgrid.evaluation.findings import Findings, lost_notes
from subgrid.evaluation.formats import number
from subgrid.evaluation.intervals import percent
from subgrid.evaluation.report import Section, Table, section
from subgrid.evaluation.style import Panel, Styles


def cost_section(found: Findings, styles: Styles) -> list[Section]:
    """Return the error, and how long runs follow the truth, against the time they take."""
    table, timing = found.table, found.timing
    timed = [name for name in scores.models(table) if np.isfinite(scores.cost(table, name))]
    if timing is None or not timed:
        return []
    metric, quantity = scores.main_error(table)
    lasting, words = scores.followed(table), scores.words(table, quantity)
    label = with_units(
        f"error of {with_article(quantity)}", table[metric].attrs["units_of"][quantity]
    )
    panels = []
    if lasting:
        y, alt = (
            f"decorrelation time [{table.attrs['time_units']}]",
            "decorrelation time against cost",
        )
        shown = _panel(found, styles, ("lasting_cost", alt), y, ("decorrelation_time", lasting, ""))
        panels.append(shown)
    for part, called in words.items():
        names = score_name("skill_cost", part), of_component("error against cost", called)
        panels.append(_panel(found, styles, names, label, (metric, quantity, part), called))
    what, whose = (
        ("How long runs follow the truth, and error", "their") if lasting else ("Error", "its")
    )
    return [
        section(
            f"{'Is it worth its cost? ' if timing.finer_grids else ''}Skill against cost",
            caption(
                "cost",
                what=what,
                whose=whose,
                quantity=with_article(quantity),
                level=percent(table.attrs["level"]),
                length=timing.length,
                device=timing.device,
            ),
            panels,
            [cost_table(found, styles)],
        )
    ]


def _panel(
    found: Findings,
    styles: Styles,
    names: tuple[str, str],
    label: str,
    score: tuple[str, str, str],
    title: str = "",
) -> Panel:
    """Return a panel of one score, its metric, quantity and component, against cost."""
    table, timing, (metric, quantity, part) = found.table, found.timing, score
    drawn = []
    for model in scores.models(table):
        seconds = scores.value(table, "seconds", model=model)
        value = scores.interval(
            table, f"{metric}_mean", model=model, quantity=quantity, component=part
        )
        if timing is None or not np.isfinite([seconds, value.estimate]).all():
            continue
        time = 1e3 * StepCost(seconds, np.nan).per_unit(timing.dt, timing.unit)
        hollow = bool(scores.blow_ups(table, model))
        drawn.append(Point(styles[model], time, *value[:3], hollow=hollow))
    length = "" if timing is None else timing.length
    return points(
        *names,
        drawn,
        f"time per {length} [ms], one member",
        label,
        low_is_best=table[metric].attrs["best"] == "low",
        floor=scores.common_floor(table, metric, quantity, part),
        title=title,
        notes=lost_notes(table, styles),
    )


def cost_table(found: Findings, styles: Styles) -> Table:
    """Return the times of every model and the size of its network; no rows if none was timed."""
    table, timing = found.table, found.timing
    if timing is None:
        return Table("Cost", "", (), ())
    sizes, rows = timing.networks, []
    for model in scores.models(table):
        cost = StepCost(scores.value(table, "seconds", model=model), scores.cost(table, model))
        if np.isfinite(cost.ratio):
            rows.append(
                (
                    styles[model].label,
                    f"{1e3 * cost.seconds:.3g}",
                    f"{cost.ratio:.3g}",
                    number(1e3 * cost.per_unit(timing.dt, timing.unit)),
                    *(_size(sizes.get(model)) if sizes else ()),
                )
            )
    return Table(
        "Cost",
        caption(
            "cost_table", "cost_networks" if sizes else "", step=timing.step, device=timing.device
        ),
        (
            "model",
            "time per step [ms]",
            "relative to the coarse model",
            f"time per {timing.length} [ms]",
            *(("weights", "kFLOP per cell and step") if sizes else ()),
        ),
        tuple(rows),
    )


def _size(size: NetworkSize | None) -> tuple[str, str]:
    return ("-", "-") if size is None else (f"{size.weights:,}", number(size.operations / 1e3))
