"""The similarity scores of a run beside those that Ross et al. (2023) published."""

from typing import TYPE_CHECKING

import numpy as np

from subgrid.evaluation import table as scores
from subgrid.evaluation.components import score_name
from subgrid.evaluation.formats import fixed
from subgrid.evaluation.published import scorecard, similarities
from subgrid.evaluation.report import Table
from subgrid.evaluation.style import Styles

if TYPE_CHECKING:
    import xarray as xr


def scorecard_table(table: "xr.Dataset", styles: Styles, configuration: str) -> Table:
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
    published = scorecard(configuration)
    rows: list[tuple[str, ...]] = []
    if ours and published:
        columns = [
            [known.get(key, np.nan) for key in similarities()]
            for known in (*ours.values(), *published.values())
        ]
        for name, *values in zip(similarities(), *columns, strict=True):
            rows.append((name.replace("_", " "), *map(fixed, values)))
        rows.append(("median", *(fixed(np.median(column)) for column in columns)))
    return Table(
        f"Scorecard beside Ross et al. 2023, configuration {configuration}",
        "Similarity: 1 is the truth, 0 as without a closure, negative worse. Wasserstein distances "
        "of values, then root-mean-square errors of spectra; means over networks. Published (last "
        f"{len(published)} columns): one run of ten years each, averaged from year five on; their "
        "FCNN has a network per layer. Here: runs (networks × members), and those scored, of "
        + ", ".join(
            f"{styles[name].label} {' × '.join(map(str, scores.ran(table, name).shape))}, "
            f"{int(scores.scored(table, name).sum())}"
            for name in closures
        )
        + ", as long as the facts above say.",
        ("quantity", *ours, *(f"{closure} (published)" for closure in published)),
        tuple(rows),
    )
