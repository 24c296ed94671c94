"""Numbers of papers, to stand beside measured ones; `published_numbers` holds them with sources."""

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from subgrid.evaluation import table as scores
from subgrid.evaluation.captions import caption
from subgrid.evaluation.components import in_words, score_name
from subgrid.evaluation.formats import fixed
from subgrid.evaluation.report import Table
from subgrid.evaluation.style import Styles

_FOLDER = Path(__file__).with_name("published_numbers")


@cache
def published(paper: str) -> dict[str, Any]:
    """Return the numbers of a paper, by the name of its file: "ross2023", "otness2025"."""
    return tomllib.loads((_FOLDER / f"{paper}.toml").read_text(encoding="utf-8"))


def scorecard_setting() -> tuple[str, int, int, str]:
    """Return what the published similarities are of: system, cells of truth and model, operator."""
    setting = published("ross2023")["setting"]
    return setting["system"], setting["truth"], setting["model"], setting["operator"]


def similarities() -> tuple[str, ...]:
    """Return the names of the published similarities of two-layer QG, in their order."""
    return tuple(published("ross2023")["quantities"])


def scorecard(configuration: str) -> dict[str, dict[str, float]]:
    """Return the published similarities of two-layer QG, closure → quantity → score.

    Empty for a configuration without any; those of another one do not compare.
    """
    return {
        closure: dict(zip(similarities(), values, strict=True))
        for closure, values in published("ross2023")["scorecards"].get(configuration, {}).items()
    }


def scorecard_table(table: xr.Dataset, styles: Styles, configuration: str) -> Table:
    """Return a row per quantity: every model of the run, then every published closure.

    `configuration`: of two-layer QG. The last row is the median over the quantities. Without rows
    for a configuration that was not published, or a run without closures.
    """
    closures = [name for name in scores.models(table) if name != table.attrs["baseline"]]
    ours = {
        styles[name].label: {
            score_name(*at): v for at, v in scores.similarities(table, name).items()
        }
        for name in closures
    }
    theirs = scorecard(configuration)
    rows: list[tuple[str, ...]] = []
    if ours and theirs:
        columns = [
            [known.get(key, np.nan) for key in similarities()]
            for known in (*ours.values(), *theirs.values())
        ]
        for name, *values in zip(similarities(), *columns, strict=True):
            rows.append((in_words(name), *map(fixed, values)))
        rows.append(("median", *(fixed(np.median(column)) for column in columns)))
    return Table(
        f"Scorecard beside Ross et al. 2023, configuration {configuration}",
        caption(
            "scorecard_table",
            published=len(theirs),
            ours=", ".join(
                f"{styles[name].label} {' × '.join(map(str, scores.ran(table, name).shape))}, "
                f"{int(scores.scored(table, name).sum())}"
                for name in closures
            ),
        ),
        ("quantity", *ours, *(f"{closure} (published)" for closure in theirs)),
        tuple(rows),
    )


def separated_row(
    network: str, metric: str, high: int, low: int, sizes: tuple[int, ...]
) -> tuple[tuple[int, int], dict[str, float]] | None:
    """Return the published sizes and means that `high` and `low` of `sizes` stand for.

    Sizes with the ratios of 128 : 96 : 64 stand for these; None where there is no counterpart.
    """
    numbers = published("otness2025")
    known = numbers["sizes"]
    if [size * known[0] for size in sizes] != [size * sizes[0] for size in known]:
        return None
    theirs = (known[sizes.index(high)], known[sizes.index(low)])
    table = numbers["separated"].get(network, {}).get(metric, {})
    found = table.get(f"{theirs[0]}-{theirs[1]}")
    return None if found is None else (theirs, found)
