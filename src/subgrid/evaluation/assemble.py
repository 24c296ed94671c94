"""From the results of a run to the data of its report: verdicts, figures with captions, tables."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from subgrid import __version__
from subgrid.evaluation.calibration_plots import calibration_figures, calibration_tables
from subgrid.evaluation.cost_plots import skill_cost_figure
from subgrid.evaluation.findings import Findings, RunInfo
from subgrid.evaluation.forcing_plots import forcing_figure
from subgrid.evaluation.intervals import fewest_members, percent
from subgrid.evaluation.layers import all_layers, layers_of_system
from subgrid.evaluation.offline_online import foresight_table
from subgrid.evaluation.overview import overview_table
from subgrid.evaluation.plots import plot_energy, plot_fields, plot_forcings, plot_spectra
from subgrid.evaluation.predictability import (
    predictability_verdict,
    summary_of_predictability,
)
from subgrid.evaluation.predictability_plots import (
    gains_table,
    predictability_figures,
    predictability_table,
)
from subgrid.evaluation.ranking import plot_ranking, ranking_table
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
    separated_summary,
    separated_tables,
    separated_verdicts,
)
from subgrid.evaluation.style import BASELINE, Look, looks
from subgrid.evaluation.survival import BlowUp, date, unit_of
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
from subgrid.evaluation.verdicts import REMARKED, outcome, verdict
from subgrid.provenance import commit

if TYPE_CHECKING:
    import xarray as xr

Styles = Mapping[str, Look]


def assemble_report(info: RunInfo, found: Findings) -> ReportData:
    """Return the data of the report: what `FIGURES` and `TABLES` make of what a run found."""
    styles = looks([*found.runs, *found.offline, *found.curves, *found.tuning], dict(info.labels))
    return ReportData(
        title=info.title,
        summary=_summaries(found),
        verdicts=_all_verdicts(found, styles),
        facts=tuple((heading, tuple(entries.items())) for heading, entries in info.facts.items()),
        figures=tuple(
            figure for part in FIGURES for figure in part(found, styles) if figure.images
        ),
        tables=tuple(table for part in TABLES for table in part(found, styles) if table.rows),
        commands=tuple(info.commands),
        warnings=(
            *info.warnings,
            *_lost_truth(found.lost, found.reference.sizes["member"]),
            *_masked_samples(found.offline, styles),
            *(_own_warnings(found, styles) if found.compared else ()),
        ),
        footer=f"{_written_by()} {info.footer}".strip(),
        overview=overview_table(found.scores, found.offline, styles, found.followed)
        if found.compared
        else None,
    )


def _summaries(found: Findings) -> str:
    """Return the sentence at the head of the report."""
    chosen = [] if found.calibration is None else [found.calibration.summary]
    if found.compared:
        followed = found.followed
        said = summary_of_predictability(followed) if followed else _summary(found.scores)
        remarked = sum(bool(score.remark) for score in found.scores.values())
        marked = [f"Something is to be said of the training of {remarked} models ({REMARKED})."]
        return " ".join([said, *(marked if remarked else []), *chosen])
    return " ".join(chosen) or separated_summary(found.separated)


def _all_verdicts(found: Findings, styles: Styles) -> tuple[ReportVerdict, ...]:
    """Return what the report says of each model, or of each choice."""
    if not found.compared:
        calibration = found.calibration
        return (
            separated_verdicts(found.separated) if calibration is None else calibration.verdicts()
        )
    if found.followed:
        return tuple(
            ReportVerdict(styles[name].label, *predictability_verdict(one, found.scores[name]))
            for name, one in found.followed.items()
        )
    return tuple(
        ReportVerdict(styles[name].label, verdict(score), outcome(score))
        for name, score in found.scores.items()
    )


def _calibration_tables(found: Findings, styles: Styles) -> list[ReportTable]:
    return calibration_tables(found.calibration) if found.calibration else []


def _separated_tables(found: Findings, styles: Styles) -> list[ReportTable]:
    return separated_tables(found.separated) if found.separated else []


def _ranking_tables(found: Findings, styles: Styles) -> list[ReportTable]:
    return [ranking_table(found.ranked)]


def _following_tables(found: Findings, styles: Styles) -> list[ReportTable]:
    if not (found.compared and found.followed):
        return []
    gains = gains_table(found.gains, found.followed, styles)
    return [predictability_table(found.followed, styles), gains]


def _score_tables(found: Findings, styles: Styles) -> list[ReportTable]:
    if not found.compared:
        return []
    made = [online_table(found.scores, styles), enstrophy_table(found.scores, styles)]
    made += [comparison_table(found.comparisons, styles)] if found.comparisons else []
    return [*made, variants_table(found.settings, styles)] if found.settings else made


def _offline_tables(found: Findings, styles: Styles) -> list[ReportTable]:
    if not found.offline:
        return []
    return [offline_table(found.offline, styles), foresight_table(found.offline, found.scores)]


def _further_tables(found: Findings, styles: Styles) -> list[ReportTable]:
    if not found.compared:
        return []
    beside = scorecard_table(found.scores, styles, found.configuration)
    similar = beside if beside.rows else similarity_table(found.scores, styles)
    made = [similar, relative_table(found.scores, styles)]
    return [*made, cost_table(found.scores, styles, found.timing)] if found.timing else made


def _blow_up_tables(found: Findings, styles: Styles) -> list[ReportTable]:
    return [blow_up_table(found.scores, styles, found.lost)]


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


def _own_warnings(found: Findings, styles: Styles) -> list[str]:
    """Return what to know of the members and networks."""
    scores = found.scores
    members, level = _fewest_scored(scores), next(iter(scores.values())).level
    told = []
    alone = scores.get(BASELINE)
    if alone is not None and alone.blow_ups:
        told.append(
            f"{len(alone.blow_ups)} of {alone.runs} members without a closure blew up: no spectra "
            "are compared over them."
        )
    if members < fewest_members(level):
        told.append(
            f"Only {members} members are scored: their spread is given, but fewer than "
            f"{fewest_members(level)} cannot exclude chance at the {percent(level)} level."
        )
    if once := [styles[name].label for name in found.curves if scores[name].networks == 1]:
        told.append(
            f"Trained once: {', '.join(once)}. Their intervals do not cover training seeds."
        )
    return told


def _lost_truth(lost: Sequence[BlowUp], members: int) -> list[str]:
    """Return the warning of members whose truth holds values that are not finite."""
    if not lost:
        return []
    dates = ", ".join(f"member {b.member} from {b.date} on" for b in lost)
    return [
        f"The truth of {len(lost)} of {members} members is not finite ({dates}): these members are "
        "not scored."
    ]


def _masked_samples(offline: Mapping[str, Sequence["xr.Dataset"]], styles: Styles) -> list[str]:
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


def _worth_figures(found: Findings, styles: Styles) -> list[ReportFigure]:
    """Return skill against cost where finer grids are rivals: there it is the question."""
    return _costs(found, styles) if found.timing and found.timing.finer_grids else []


def _cost_figures(found: Findings, styles: Styles) -> list[ReportFigure]:
    return [] if found.timing and found.timing.finer_grids else _costs(found, styles)


def _costs(found: Findings, styles: Styles) -> list[ReportFigure]:
    if not found.compared or found.timing is None:
        return []
    return [skill_cost_figure(found.scores, styles, found.timing, found.followed)]


def _following_figures(found: Findings, styles: Styles) -> list[ReportFigure]:
    if not (found.compared and found.followed):
        return []
    return predictability_figures(found.followed, found.reference, found.runs, styles)


def _calibration_figures(found: Findings, styles: Styles) -> list[ReportFigure]:
    return calibration_figures(found.calibration) if found.calibration else []


def _forcing_figures(found: Findings, styles: Styles) -> list[ReportFigure]:
    return [forcing_figure(found.offline, styles)] if found.offline else []


def _variant_figures(found: Findings, styles: Styles) -> list[ReportFigure]:
    return [variants_figure(found.settings, styles)] if found.settings else []


def _training_figures(found: Findings, styles: Styles) -> list[ReportFigure]:
    made = []
    if found.curves:
        panels = plot_learning_curves(found.curves, styles)
        caption = (
            "Loss during training: lines on the validation set, dots on the training batches. A "
            "model that learns a part of the scales begins with the variance of that part."
        )
        made.append(report_figure("Learning curves", caption, panels))
    if found.tuning:
        panels = plot_learning_curves(found.tuning, styles, "tuning_curves", "state")
        caption = (
            "Mean squared error of the states that follow in the windows, lines on the validation "
            "set, dots on the training batches. Update 0: the closure as it was trained offline."
        )
        made.append(report_figure("Learning curves through the solver", caption, panels))
    if found.ranked:
        caption = (
            "Error of the kinetic energy spectrum of every pair of networks; crosses: blow-ups."
        )
        made.append(report_figure("Search: all pairs", caption, plot_ranking(found.ranked)))
    return [*made, separated_figure(found.separated)] if found.separated else made


def _flow_figures(found: Findings, styles: Styles) -> list[ReportFigure]:
    system, snapshot = found.system, found.snapshot
    if snapshot is None:
        return []
    closures, field = bool(snapshot.predictions), system.drawn
    drawn = field.long_name + all_layers(layers_of_system(system))
    what = "" if field.forcing_symbol == "S" else f": {field.forcing_long_name}"
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


def _run_figures(found: Findings, styles: Styles) -> list[ReportFigure]:
    if not found.compared:
        return []
    reference, runs = found.reference, found.runs
    members, unit = reference.sizes["member"], unit_of(reference)
    last = float(reference["time"].values[-1]) / unit.length
    length = f"{last:.0f} days" if unit.name == "days" else f"{last:.3g} {unit.name}"
    start = round(100 * reference.attrs["average_from"] / reference.attrs["steps"])
    drawn = (
        f"Free runs of {length} from {members} held-out states. Lines: mean over members "
        "and networks; bands: their range."
    )
    averaged = f"{drawn} Averaged over the last {100 - start} % of the runs."
    spectra = plot_spectra(reference, runs, styles, found.cut)
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


def _score_figures(found: Findings, styles: Styles) -> list[ReportFigure]:
    if not found.compared:
        return []
    scores = found.scores
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


# What a report shows, in order; a part is empty where its run found nothing of it.
FIGURES: tuple[Callable[[Findings, Styles], list[ReportFigure]], ...] = (
    _worth_figures,
    _flow_figures,
    _following_figures,
    _run_figures,
    _score_figures,
    _cost_figures,
    _calibration_figures,
    _forcing_figures,
    _variant_figures,
    _training_figures,
)
TABLES: tuple[Callable[[Findings, Styles], list[ReportTable]], ...] = (
    _calibration_tables,
    _separated_tables,
    _ranking_tables,
    _following_tables,
    _score_tables,
    _offline_tables,
    _further_tables,
    _blow_up_tables,
)
