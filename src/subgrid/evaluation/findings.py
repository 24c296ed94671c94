"""What a run found, as the sections of its report take it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import xarray as xr
from numpy.typing import ArrayLike

from subgrid.evaluation import table as scores
from subgrid.evaluation.cost import Timing
from subgrid.evaluation.report import Section, Verdict
from subgrid.evaluation.style import Styles, lost_note

Records = Sequence[Mapping[str, Any]]  # of metrics.jsonl
Runs = Mapping[str, Sequence[xr.Dataset]]


@dataclass(frozen=True)
class RunInfo:
    """What a report says of the run besides its results.

    `facts`: groups of (label, value) under a heading each: preset, profile, seeds, commit, date,
    constants with units, sizes. `commands`: how to run it again. `labels`: model → name to show.
    `footer` follows the version and commit of subgrid at the end of the page.
    """

    title: str
    facts: Mapping[str, Mapping[str, str]]
    commands: Sequence[str]
    warnings: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    footer: str = ""


@dataclass(frozen=True)
class Snapshot:
    """One moment of the truth: a `field`, its `forcing` [component, *dims], each closure's output.

    All as `field` of the system gives them: of two-layer QG q (1/s) and S (1/s²).
    """

    field: ArrayLike
    forcing: ArrayLike
    predictions: Mapping[str, ArrayLike]


@dataclass(frozen=True)
class Findings:
    """The results of a run; what it did not look for is left at its default.

    `system`: the coarse system; `truth`, `runs`: see `compare`, which made `table` of them;
    `cut` of its spectral errors; `offline`: closure → one dataset of `evaluate_offline` per
    network; `curves`, `tuning`: model → records of metrics.jsonl, of trainings offline and through
    the solver; `variants`: tables under other settings of the coarse model, by name; `pairs` of
    models whose times are compared, `multiscale` those whose errors are, `budgets`: model → updates
    of its networks; `configuration`: of the flow, if its published scorecard compares.
    """

    system: Any
    truth: xr.Dataset
    runs: Runs
    table: xr.Dataset
    cut: float | None
    offline: Runs = field(default_factory=dict)
    curves: Mapping[str, Records] = field(default_factory=dict)
    tuning: Mapping[str, Records] = field(default_factory=dict)
    snapshot: Snapshot | None = None
    variants: Mapping[str, xr.Dataset] = field(default_factory=dict)
    pairs: Sequence[tuple[str, str]] = ()
    multiscale: Sequence[tuple[str, str]] = ()
    budgets: Mapping[str, tuple[int, ...]] | None = None
    timing: Timing | None = None
    configuration: str = ""


@dataclass(frozen=True)
class Part:
    """What a recipe adds to a report: sections, and a summary and verdicts where they are its own.

    A run of nothing but the baseline shows the parts' verdicts, if any has a summary.
    """

    sections: tuple[Section, ...] = ()
    summary: str = ""
    verdicts: tuple[Verdict, ...] = ()


def blown_up(table: xr.Dataset, model: str) -> str:
    """Return how many of a model's runs blew up: "1 of 6"."""
    return f"{len(scores.blow_ups(table, model))} of {scores.ran(table, model).size}"


def members_scored(table: xr.Dataset, model: str) -> str:
    """Return how many of a model's runs are compared: "5 of 6"."""
    return f"{int(scores.scored(table, model).sum())} of {scores.ran(table, model).size}"


def lost_notes(table: xr.Dataset, styles: Styles) -> list[str]:
    """Return a note for each model with runs that are not compared."""
    found = []
    for name in scores.models(table):
        kept, runs = int(scores.scored(table, name).sum()), scores.ran(table, name).size
        if kept < runs:
            found.append(lost_note(styles[name], len(scores.blow_ups(table, name)), runs, kept))
    return found
