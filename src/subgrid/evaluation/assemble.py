"""From the results of a run to the data of its report: verdicts, figures with captions, tables."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from subgrid import __version__
from subgrid.evaluation.calibration import Calibration
from subgrid.evaluation.calibration_plots import calibration_figures, calibration_tables
from subgrid.evaluation.comparison import Comparison
from subgrid.evaluation.cost import Timing
from subgrid.evaluation.cost_plots import skill_cost_figure
from subgrid.evaluation.forcing_plots import forcing_figure
from subgrid.evaluation.intervals import fewest_members, percent
from subgrid.evaluation.observables import observables_of
from subgrid.evaluation.offline_online import foresight_table
from subgrid.evaluation.overview import overview_table
from subgrid.evaluation.plots import plot_energy, plot_fields, plot_forcings, plot_spectra
from subgrid.evaluation.predictability import (
    Predictability,
    predictability_verdict,
    summary_of_predictability,
)
from subgrid.evaluation.predictability_plots import (
    gains_table,
    predictability_figures,
    predictability_table,
)
from subgrid.evaluation.ranking import Ranked, plot_ranking, ranking_table
from subgrid.evaluation.report import (
    ReportData,
    ReportFigure,
    ReportTable,
    ReportVerdict,
    report_figure,
)
from subgrid.evaluation.score_plots import (
    plot_error_boxes,
    plot_learning_curves,
    plot_similarity,
)
from subgrid.evaluation.scorecard import scorecard_table
from subgrid.evaluation.scores import OnlineScore
from subgrid.evaluation.separated_plots import separated_figure
from subgrid.evaluation.separated_tables import (
    SeparatedScores,
    separated_summary,
    separated_tables,
    separated_verdicts,
)
from subgrid.evaluation.style import BASELINE, Look, looks
from subgrid.evaluation.survival import BlowUp, blow_ups, date, unit_of
from subgrid.evaluation.tables import (
    blow_up_table,
    comparison_table,
    cost_table,
    enstrophy_table,
    offline_table,
    online_table,
    relative_table,
    similarity_table,
    variants_table,
)
from subgrid.evaluation.variant_plots import variants_figure
from subgrid.evaluation.verdicts import outcome, verdict
from subgrid.provenance import commit

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import ArrayLike


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
    """One moment of the truth: a `field`, its `forcing` [level, y, x], each closure's output.

    All as the observables of the system draw them: of two-layer QG q (1/s) and S (1/s²).
    """

    field: "ArrayLike"
    forcing: "ArrayLike"
    predictions: Mapping[str, "ArrayLike"]


def assemble_report(
    info: RunInfo,
    system: Any,
    reference: "xr.Dataset",
    runs: Mapping[str, Sequence["xr.Dataset"]],
    scores: Mapping[str, OnlineScore],
    *,
    cut: float,
    offline: Mapping[str, Sequence["xr.Dataset"]] | None = None,
    curves: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    snapshot: Snapshot | None = None,
    separated: Sequence[SeparatedScores] = (),
    variants: Mapping[str, Mapping[str, OnlineScore]] | None = None,
    ranked: Sequence[Ranked] = (),
    comparisons: Sequence[Comparison] = (),
    timing: Timing | None = None,
    configuration: str = "",
    followed: Mapping[str, Predictability] | None = None,
    calibration: Calibration | None = None,
    pairs: Sequence[tuple[str, str]] = (),
) -> ReportData:
    """Return the data of the report from the results of a run.

    `system`: the coarse system; `reference`, `runs`: see `score_online`, which made `scores` with
    the same `cut`; `offline`: closure → one dataset of `evaluate_offline` per network; `curves`:
    model → records of metrics.jsonl; `separated`: of the separated experiments; `variants`: scores
    under other settings of the coarse model, by name; `ranked`: the models of a search;
    `comparisons`, `timing`: see there; `configuration`: of the flow, if its published scorecard
    compares; `followed`: how long runs follow the truth; `pairs`: models that are compared in that;
    `calibration`: of the noise. Parts that are not given are left out, and so are free runs where
    separated experiments or a calibration are given and nothing ran but the coarse model alone.
    """
    styles = looks([*runs, *(offline or {}), *(curves or {})], dict(info.labels))
    settings = {"as configured": scores, **variants} if variants else {}
    figures = [] if snapshot is None else _flow_figures(system, snapshot, styles)
    compared = not ((separated or calibration) and set(scores) == {BASELINE})
    followed = followed or {}
    if compared:
        if followed:
            figures += predictability_figures(followed, reference, runs, styles)
        figures += _run_figures(reference, runs, cut, styles) + _score_figures(scores, styles)
        figures = _with_costs(figures, scores, styles, timing)
    figures += calibration_figures(calibration) if calibration else []
    figures += [forcing_figure(offline, styles)] if offline else []
    figures += [variants_figure(settings, styles)] if settings else []
    figures += _training_figures(curves or {}, ranked, separated, styles)
    tables = calibration_tables(calibration) if calibration else []
    tables += [*(separated_tables(separated) if separated else []), ranking_table(ranked)]
    if followed and compared:
        tables += [predictability_table(followed, styles), gains_table(followed, pairs, styles)]
    tables += _score_tables(scores, styles, settings, comparisons) if compared else []
    tables += [offline_table(offline, styles), foresight_table(offline, scores)] if offline else []
    tables += _further_tables(scores, styles, configuration, timing) if compared else []
    tables.append(blow_up_table(scores, styles, lost := blow_ups([reference])))
    return ReportData(
        title=info.title,
        summary=_summaries(scores, separated, calibration, followed, compared),
        verdicts=_all_verdicts(scores, styles, separated, calibration, followed, compared),
        facts=tuple((heading, tuple(entries.items())) for heading, entries in info.facts.items()),
        figures=tuple(figure for figure in figures if figure.images),
        tables=tuple(table for table in tables if table.rows),
        commands=tuple(info.commands),
        warnings=(
            *info.warnings,
            *_lost_truth(lost, reference.sizes["member"]),
            *_masked_samples(offline or {}, styles),
            *(_own_warnings(scores, curves or {}, styles) if compared else ()),
        ),
        footer=f"{_written_by()} {info.footer}".strip(),
        overview=overview_table(scores, offline or {}, styles, followed) if compared else None,
    )


def _summaries(
    scores: Mapping[str, OnlineScore],
    separated: Sequence[SeparatedScores],
    calibration: Calibration | None,
    followed: Mapping[str, Predictability],
    compared: bool,
) -> str:
    """Return the sentence at the head of the report."""
    chosen = [] if calibration is None else [calibration.summary]
    if compared:
        said = summary_of_predictability(followed) if followed else _summary(scores)
        return " ".join([said, *chosen])
    return " ".join(chosen) or separated_summary(separated)


def _all_verdicts(
    scores: Mapping[str, OnlineScore],
    styles: Mapping[str, Look],
    separated: Sequence[SeparatedScores],
    calibration: Calibration | None,
    followed: Mapping[str, Predictability],
    compared: bool,
) -> tuple[ReportVerdict, ...]:
    """Return what the report says of each model, or of each choice."""
    if not compared:
        return separated_verdicts(separated) if calibration is None else calibration.verdicts()
    if followed:
        return tuple(
            ReportVerdict(styles[name].label, *predictability_verdict(one, scores[name]))
            for name, one in followed.items()
        )
    return tuple(
        ReportVerdict(styles[name].label, verdict(score), outcome(score))
        for name, score in scores.items()
    )


def _further_tables(
    scores: Mapping[str, OnlineScore],
    styles: Mapping[str, Look],
    configuration: str,
    timing: Timing | None,
) -> list[ReportTable]:
    made = [_similarities(scores, styles, configuration), relative_table(scores, styles)]
    return made if timing is None else [*made, cost_table(scores, styles, timing)]


def _similarities(
    scores: Mapping[str, OnlineScore], styles: Mapping[str, Look], configuration: str
) -> ReportTable:
    """Return the similarity scores, beside the published ones where there are any."""
    beside = scorecard_table(scores, styles, configuration)
    return beside if beside.rows else similarity_table(scores, styles)


def _score_tables(
    scores: Mapping[str, OnlineScore],
    styles: Mapping[str, Look],
    settings: Mapping[str, Mapping[str, OnlineScore]],
    comparisons: Sequence[Comparison],
) -> list[ReportTable]:
    made = [online_table(scores, styles), enstrophy_table(scores, styles)]
    made += [comparison_table(comparisons, styles)] if comparisons else []
    return [*made, variants_table(settings, styles)] if settings else made


def _written_by() -> str:
    """Return the sentence on the version that wrote the report, with its commit where known."""
    known = commit()
    return f"Written by subgrid {__version__}{f', commit {known}' if known else ''}."


def _summary(scores: Mapping[str, OnlineScore]) -> str:
    compared = [score for score in scores.values() if score.reductions]
    dead = sum(len(score.blow_ups) for score in scores.values())
    runs = sum(score.runs for score in scores.values())
    better = sum(outcome(score) == "better" for score in compared)
    members = _fewest_scored(scores)
    enough = members >= fewest_members(compared[0].level) if compared else False
    sure = "beyond chance" if enough else f"over all {members} members scored"
    return (
        f"{better} of {len(compared)} models reduced the error of the kinetic energy spectrum "
        f"{sure} in free runs from held-out states; {dead} of {runs} runs blew up."
    )


def _fewest_scored(scores: Mapping[str, OnlineScore]) -> int:
    """Return the members behind the scores of the stable model that has the fewest of them."""
    stable = [score.scored_members for score in scores.values() if not score.blow_ups]
    return min(stable or [score.scored_members for score in scores.values()])


def _own_warnings(
    scores: Mapping[str, OnlineScore], learned: Iterable[str], styles: Mapping[str, Look]
) -> list[str]:
    """Return what to know of the members and networks; `learned`: the models trained here."""
    members, level = _fewest_scored(scores), next(iter(scores.values())).level
    found = []
    alone = scores.get(BASELINE)
    if alone is not None and alone.blow_ups:
        found.append(
            f"{len(alone.blow_ups)} of {alone.runs} members without a closure blew up: no spectra "
            "are compared over them."
        )
    if members < fewest_members(level):
        found.append(
            f"Only {members} members are scored: their spread is given, but fewer than "
            f"{fewest_members(level)} cannot exclude chance at the {percent(level)} level."
        )
    if once := [styles[name].label for name in learned if scores[name].networks == 1]:
        found.append(
            f"Trained once: {', '.join(once)}. Their intervals do not cover training seeds."
        )
    return found


def _lost_truth(lost: Sequence[BlowUp], members: int) -> list[str]:
    """Return the warning of members whose truth holds values that are not finite."""
    if not lost:
        return []
    dates = ", ".join(f"member {b.member} from {b.date} on" for b in lost)
    return [
        f"The truth of {len(lost)} of {members} members is not finite ({dates}): these members are "
        "not scored."
    ]


def _masked_samples(
    offline: Mapping[str, Sequence["xr.Dataset"]], styles: Mapping[str, Look]
) -> list[str]:
    """Return a warning per closure and network with samples that are not finite, the first dated.

    The date is known where the caller has added `first_masked_trajectory` and `first_masked_time`.
    """
    found = []
    for name, sets in offline.items():
        for network, data in enumerate(sets):
            masked = int(data["masked_samples"])
            if not masked:
                continue
            first = f"sample {int(data['first_masked'])}"
            if "first_masked_days" in data:  # as stores called it before there were other units
                data = data.rename(first_masked_days="first_masked_time")
            if "first_masked_time" in data:
                when = date(float(data["first_masked_time"]), data["first_masked_time"].units)
                first = f"test trajectory {int(data['first_masked_trajectory'])}, {when}"
            which = f" (network {network})" if len(sets) > 1 else ""
            found.append(
                f"{styles[name].label}{which}: {masked} of {masked + data.sizes['sample']} offline "
                f"samples are not finite and left out, the first: {first}."
            )
    return found


def _with_costs(
    figures: list[ReportFigure],
    scores: Mapping[str, OnlineScore],
    styles: Mapping[str, Look],
    timing: Timing | None,
) -> list[ReportFigure]:
    """Return the figures with that of skill against cost, which is first beside finer grids."""
    if timing is None:
        return figures
    worth = [skill_cost_figure(scores, styles, timing)]
    return worth + figures if timing.finer_grids else figures + worth


def _training_figures(
    curves: Mapping[str, Sequence[Mapping[str, Any]]],
    ranked: Sequence[Ranked],
    separated: Sequence[SeparatedScores],
    styles: Mapping[str, Look],
) -> list[ReportFigure]:
    made = []
    if curves:
        panels = plot_learning_curves(curves, styles)
        caption = (
            "Loss during training: lines on the validation set, dots on the training batches. A "
            "model that learns a part of the scales begins with the variance of that part."
        )
        made.append(report_figure("Learning curves", caption, panels))
    if ranked:
        caption = (
            "Error of the kinetic energy spectrum of every pair of networks; crosses: blow-ups."
        )
        made.append(report_figure("Search: all pairs", caption, plot_ranking(ranked)))
    return [*made, separated_figure(separated)] if separated else made


def _flow_figures(
    system: Any, snapshot: Snapshot, styles: Mapping[str, Look]
) -> list[ReportFigure]:
    closures, observables = bool(snapshot.predictions), observables_of(system)
    drawn = observables.field_name[1] + (" of both layers" if len(observables.layers) > 1 else "")
    what = "" if observables.forcing_name[0] == "S" else f": {observables.forcing_name[1]}"
    return [
        report_figure(
            "The flow and what it does not resolve",
            f"A held-out state of the truth, coarsened to the grid of the closures: {drawn}.",
            plot_fields(snapshot.field, system),
        ),
        report_figure(
            "Subgrid forcing: truth and closures" if closures else "Subgrid forcing",
            "The tendency that the coarse equations miss at that moment"
            + (", and what each closure makes of the coarse state" if closures else "")
            + f"{what}. Maps of a layer share their colours.",
            plot_forcings(snapshot.forcing, snapshot.predictions, system, styles),
        ),
    ]


def _run_figures(
    reference: "xr.Dataset",
    runs: Mapping[str, Sequence["xr.Dataset"]],
    cut: float,
    styles: Mapping[str, Look],
) -> list[ReportFigure]:
    members, unit = reference.sizes["member"], unit_of(reference)
    last = float(reference["time"].values[-1]) / unit.length
    length = f"{last:.0f} days" if unit.name == "days" else f"{last:.3g} {unit.name}"
    start = round(100 * reference.attrs["average_from"] / reference.attrs["steps"])
    drawn = (
        f"Free runs of {length} from {members} held-out states. Lines: mean over members "
        "and networks; bands: their range."
    )
    averaged = f"{drawn} Averaged over the last {100 - start} % of the runs."
    spectra = plot_spectra(reference, runs, styles, cut)
    return [
        report_figure(
            "Kinetic energy spectra",
            f"{averaged} The error is measured left of the dotted line.",
            spectra[: len(spectra) // 2],
        ),
        report_figure("Enstrophy spectra", averaged, spectra[len(spectra) // 2 :]),
        report_figure(
            "Energy and enstrophy over time",
            f"{drawn} The range of models that blow up may leave the panel.",
            plot_energy(reference, runs, styles),
        ),
    ]


def _score_figures(
    scores: Mapping[str, OnlineScore], styles: Mapping[str, Look]
) -> list[ReportFigure]:
    return [
        report_figure(
            "Spectral error of every member",
            "Root-mean-square error of the kinetic energy spectrum below the cut, against the "
            "truth from the same state; one point per member and network that survived, also "
            "without a closure. Boxes: quartiles and median; whiskers: smallest and largest.",
            plot_error_boxes(scores, styles),
        ),
        report_figure(
            "Similarity to the truth",
            "1 - distance to the truth / distance without a closure (Ross et al. 2023): of the "
            "distributions of values, and of spectra. Bars in the order of the legend; an arrow: "
            "below -1, see the table.",
            plot_similarity(scores, styles),
        ),
    ]
