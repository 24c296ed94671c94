"""Sections on the scores of free runs: errors with intervals, similarity, ensembles, blow-ups."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from subgrid.evaluation import table as scores
from subgrid.evaluation.captions import caption
from subgrid.evaluation.components import (
    in_words,
    of_component,
    score_name,
    with_article,
    with_units,
)
from subgrid.evaluation.draw import bars, boxes
from subgrid.evaluation.findings import Findings, blown_up, lost_notes, members_scored
from subgrid.evaluation.formats import FLOOR, capital, fixed, interval_text, number, scaled_column
from subgrid.evaluation.intervals import percent
from subgrid.evaluation.published import scorecard_table
from subgrid.evaluation.report import Section, Table, section
from subgrid.evaluation.style import Look, Styles
from subgrid.evaluation.survival import BlowUp, blow_ups
from subgrid.evaluation.verdicts import finding_of_pair

if TYPE_CHECKING:
    import xarray as xr

_HEADS = {"low": "reduction", "high": "gain"}
_NO_TABLE = ("decorrelation_time", "lasting")  # the section on them has its own


def error_sections(found: Findings, styles: Styles) -> list[Section]:
    """Return the errors of every model and member, of pairs of models, and of further scores."""
    table, (metric, quantity) = found.table, scores.main_error(found.table)
    units = table[metric].attrs["units_of"]
    spectral = metric == "spectral_error"
    label = with_units(f"error of {with_article(quantity)}", units[quantity])
    panels = [
        boxes(
            score_name("error", part),
            of_component(f"box plots of the error of {with_article(quantity)}", called),
            {"": _of_members(table, metric, quantity, part)},
            styles,
            label,
            title=called,
            notes=lost_notes(table, styles),
        )
        for part, called in scores.words(table, quantity).items()
    ]
    further = [score_table(table, metric, name, styles) for name in units if name != quantity]
    return [
        section(
            f"{'Spectral error' if spectral else 'Error'} of every member",
            caption(
                "errors",
                metric=capital(table[metric].attrs["long_name"]),
                quantity=in_words(quantity),
            ),
            panels,
            [score_table(table, metric, quantity, styles, whole=True), *further],
        ),
        section("Multiscale against single scale", tables=[pair_table(found, styles)]),
    ]


def _of_members(
    table: "xr.Dataset", metric: str, quantity: str, part: str
) -> dict[str, np.ndarray]:
    return {
        model: scores.of_runs(table, metric, model, quantity=quantity, component=part)
        for model in scores.models(table)
    }


def score_table(
    table: "xr.Dataset", metric: str, quantity: str, styles: Styles, whole: bool = False
) -> Table:
    """Return a metric of a quantity of every model, by component, with intervals and the floor.

    `whole`: with the runs that blew up and the gains over the baseline.
    """
    names, level = scores.models(table), percent(table.attrs["level"])
    about = table[metric].attrs
    first = [("model", *(styles[name].label for name in names), FLOOR)]
    if whole:
        shapes = [" × ".join(map(str, scores.ran(table, name).shape)) for name in names]
        first.append(("runs", *shapes, "-"))
        first.append(("blown up", *(blown_up(table, name) for name in names), "-"))
    first.append(("members scored", *(members_scored(table, name) for name in names), "-"))
    gains, columns = [], []
    for part in scores.words(table, quantity):
        place = {"quantity": quantity, "component": part}
        if whole and about["best"]:
            values = [scores.interval(table, f"{metric}_gain", model=n, **place) for n in names]
            form = ("{:.0f}", 0.01, " %") if about["best"] == "low" else ("{:.2f}", 1.0, "")
            cells = (interval_text(value, *form) for value in values)
            gains.append((of_component(_HEADS[about["best"]], part), *cells, "-"))
        values = [scores.interval(table, f"{metric}_mean", model=n, **place) for n in names]
        floor = scores.common_floor(table, metric, quantity, part)
        units = about["units_of"][quantity]
        columns.append(scaled_column("error", part, units, values, floor))
    cells = list(zip(*first, *gains, *columns, strict=True))
    title = in_words(quantity).removesuffix(" spectrum")
    note = (
        f"{capital(about['long_name'])}: of {with_article(quantity)}, "
        + ("and its reduction relative to no closure, " if whole else "")
        + f"with {level} bootstrap intervals over networks × members (runs)."
    )
    if whole:
        note += f" {caption('scored')}"
    heading = "Online: free runs from held-out states" if whole else f"Online: {title}"
    return Table(heading, note, tuple(cells[0]), tuple(cells[1:]))


def pair_table(found: Findings, styles: Styles) -> Table:
    """Return a row per pair of a multiscale model and another: errors and costs as ratios."""
    table, labels = found.table, {name: look.label for name, look in styles.items()}
    quantity = scores.main_error(table)[1]

    def row(one: str, other: str) -> tuple[str, ...]:
        cost = scores.cost(table, one) / scores.cost(table, other)
        updates = [found.budgets[model] for model in (one, other)] if found.budgets else ()
        return (
            f"{labels[one]} / {labels[other]}",
            str(scores.compared_members(table, one, other)),
            " / ".join(str(len(scores.ran(table, model))) for model in (one, other)),
            " / ".join(", ".join(map(str, each)) for each in updates) or "-",
            *(interval_text(ratio) for ratio in scores.ratios(table, one, other).values()),
            f"{cost:.2g}" if np.isfinite(cost) else "-",
            finding_of_pair(table, one, other, found.budgets, labels),
        )

    return Table(
        "Multiscale against single scale",
        caption(
            "pairs_table", quantity=with_article(quantity), level=percent(table.attrs["level"])
        ),
        (
            "multiscale / other",
            "members",
            "networks",
            "updates per network",
            *(of_component("error ratio", part) for part in scores.words(table, quantity)),
            "cost ratio",
            "finding",
        ),
        tuple(row(one, other) for one, other in found.multiscale),
    )


def similarity_sections(found: Findings, styles: Styles) -> list[Section]:
    """Return the similarities to the truth, as bars and numbers, and errors in its units."""
    table, baseline = found.table, found.table.attrs["baseline"]
    every = {m: scores.similarities(table, m) for m in scores.models(table) if m != baseline}
    if not every or not any(every.values()):
        return []
    places, notes = list(next(iter(every.values()))), lost_notes(table, styles)
    spectral = set(found.truth.data_vars) & {quantity for quantity, _ in places}
    spectral = {q for q in spectral if "wavenumber" in found.truth[q].dims}
    groups = {
        "distributions": [place for place in places if place[0] not in spectral],
        "spectra": [place for place in places if place[0] in spectral],
    }
    panels = [
        bars(
            f"similarity_{title}",
            f"bars of similarity of {title}",
            [_readable(score_name(*place)) for place in wanted],
            {model: [known[place] for place in wanted] for model, known in every.items()},
            styles,
            "similarity: 1 truth, 0 no closure",
            title=title,
            notes=notes,
        )
        for title, wanted in groups.items()
        if wanted
    ]
    beside = scorecard_table(table, styles, found.configuration)
    return [
        section(
            "Similarity to the truth",
            caption("similarity"),
            panels,
            [
                beside if beside.rows else _similarity_table(table, every, styles),
                _relative_table(table, styles),
            ],
        )
    ]


def _similarity_table(
    table: "xr.Dataset", every: Mapping[str, Mapping[tuple[str, str], float]], styles: Styles
) -> Table:
    """Return the similarity scores, a row per quantity and a column per closure."""
    return Table(
        "Similarity to the truth",
        caption("similarity_table"),
        ("quantity", *(_head(table, name, styles[name]) for name in every)),
        tuple(
            (in_words(score_name(*place)), *(fixed(known[place]) for known in every.values()))
            for place in next(iter(every.values()))
        ),
    )


def _head(table: "xr.Dataset", model: str, look: Look) -> str:
    """Return the head of a model's column, with its members where some are not scored."""
    every = scores.scored(table, model).sum() == scores.ran(table, model).size
    return look.label if every else f"{look.label} ({members_scored(table, model)} members)"


def _relative_table(table: "xr.Dataset", styles: Styles) -> Table:
    """Return the errors of every model in units of the truth, see `RelativeErrors`."""
    every = {name: scores.relative_errors(table, name) for name in scores.models(table)}
    rows = [
        (
            styles[name].label,
            members_scored(table, name),
            number(known["values"]),
            number(known["spectra"]),
        )
        for name, known in every.items()
        if known
    ]
    return Table(
        "Online: errors in units of the truth",
        caption("relative_table"),
        ("model", "members scored", "values", "spectra"),
        tuple(rows),
    )


def blow_up_section(found: Findings, styles: Styles) -> Section:
    """Return one row per member that blew up, with its date, those of the truth first."""
    table = found.table
    lost: dict[str, Sequence[BlowUp]] = {"truth (not finite)": blow_ups([found.truth])}
    lost |= {styles[name].label: scores.blow_ups(table, name) for name in scores.models(table)}
    title = "Members that blew up"
    rows = [
        (label, str(b.network), str(b.member), str(b.step), f"{b.time:.1f}")
        for label, found_of in lost.items()
        for b in found_of
    ]
    when = "days" if table.attrs["time_units"] == "days" else "time"
    columns = ("model", "network", "member", "step", when)
    return section(title, tables=[Table(title, caption("blow_ups_table"), columns, tuple(rows))])


def variant_sections(found: Findings, styles: Styles) -> list[Section]:
    """Return the errors of every model and member under each setting of the coarse model."""
    if not found.variants:
        return []
    settings = {"as configured": found.table, **found.variants}
    metric, quantity = scores.main_error(found.table)
    words, units = scores.words(found.table, quantity), found.table[metric].attrs["units_of"]
    label = with_units(f"error of {with_article(quantity)}", units[quantity])
    lost = {name: lost_notes(table, styles) for name, table in settings.items()}
    notes = [f"{name}: {'; '.join(found_of)}" for name, found_of in lost.items() if found_of]
    panels = [
        boxes(
            score_name("variants", part),
            of_component("box plots of errors under each variant", called),
            {name: _of_members(table, metric, quantity, part) for name, table in settings.items()},
            styles,
            label,
            title=called,
            notes=[*notes, "x: no member to draw"] if notes else notes,
        )
        for part, called in words.items()
    ]
    what = f"{capital(found.table[metric].attrs['long_name'])}, {in_words(quantity)}"
    if len(words) > 1:
        what += f", {' / '.join(words)}"
    rows = [
        (
            styles[model].label,
            *(_errors(table, model, metric, quantity) for table in settings.values()),
        )
        for model in scores.models(found.table)
    ]
    return [
        section(
            "Spectral error under other settings of the coarse model",
            caption("variants"),
            panels,
            [
                Table(
                    "Online: under other settings of the coarse model",
                    f"{with_units(what, units[quantity])}.",
                    ("closure", *settings),
                    tuple(rows),
                )
            ],
        )
    ]


def _errors(table: "xr.Dataset", model: str, metric: str, quantity: str) -> str:
    """Return the errors of the components, and how many runs blew up."""
    if model not in scores.models(table):
        return "-"
    place = {"model": model, "quantity": quantity, "end": "estimate"}
    errors = " / ".join(
        number(scores.value(table, f"{metric}_mean", component=part, **place))
        for part in scores.words(table, quantity)
    )
    lost = scores.blow_ups(table, model)
    return f"{errors} ({blown_up(table, model)} blew up)" if lost else errors


def _readable(key: str) -> str:
    return key.replace("kinetic_energy", "KE").replace("potential_energy", "APE").replace("_", " ")
