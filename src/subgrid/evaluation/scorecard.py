"""The similarity scores of a run beside those that Ross et al. (2023) published."""

from collections.abc import Mapping

import numpy as np

from subgrid.evaluation.published import scorecard, similarities
from subgrid.evaluation.report import ReportTable
from subgrid.evaluation.scores import OnlineScore
from subgrid.evaluation.style import Look
from subgrid.evaluation.tables import fixed, head


def scorecard_table(
    scores: Mapping[str, OnlineScore], styles: Mapping[str, Look], configuration: str
) -> ReportTable:
    """Return a row per quantity: every model of the run, then every published closure.

    `configuration`: of two-layer QG. The last row is the median over the quantities. Without rows
    for a configuration that was not published, or a run without closures.
    """
    closures = {name: score for name, score in scores.items() if score.reductions}
    ours = {head(score, styles[name]): score.similarity for name, score in closures.items()}
    published = scorecard(configuration)
    rows: list[tuple[str, ...]] = []
    if ours and published:
        tables = [*ours.values(), *published.values()]
        columns = [[table.get(key, np.nan) for key in similarities()] for table in tables]
        for name, *values in zip(similarities(), *columns, strict=True):
            rows.append((name.replace("_", " "), *map(fixed, values)))
        rows.append(("median", *(fixed(np.median(column)) for column in columns)))
    return ReportTable(
        f"Scorecard beside Ross et al. 2023, configuration {configuration}",
        "Similarity: 1 is the truth, 0 as without a closure, negative worse. Wasserstein distances "
        "of values, then root-mean-square errors of spectra; means over networks. Published (last "
        f"{len(published)} columns): one run of ten years each, averaged from year five on; their "
        "FCNN has a network per layer. Here: runs (networks × members) of "
        + ", ".join(
            f"{styles[name].label} {score.networks} × {score.members}"
            for name, score in closures.items()
        )
        + ", as long as the facts above say.",
        ("quantity", *ours, *(f"{closure} (published)" for closure in published)),
        tuple(rows),
    )
