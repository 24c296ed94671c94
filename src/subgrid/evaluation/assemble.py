"""From the results of a run to the data of its report: sections laid out, verdicts, warnings."""

from collections.abc import Callable, Sequence

from subgrid import __version__
from subgrid.evaluation import table as scores
from subgrid.evaluation.findings import Findings, Part, RunInfo, Runs
from subgrid.evaluation.intervals import fewest_members, percent
from subgrid.evaluation.overview import overview_table
from subgrid.evaluation.report import ReportData, Section, Verdict
from subgrid.evaluation.sections_cost import cost_section
from subgrid.evaluation.sections_flow import flow_sections, following_section, run_sections
from subgrid.evaluation.sections_metrics import metric_sections
from subgrid.evaluation.sections_offline import offline_sections, training_sections
from subgrid.evaluation.sections_scores import (
    blow_up_section,
    error_sections,
    similarity_sections,
    variant_sections,
)
from subgrid.evaluation.style import Styles, looks
from subgrid.evaluation.survival import BlowUp, blow_ups, date
from subgrid.evaluation.verdicts import REMARKED, fewest_scored, outcome, summary, verdict
from subgrid.provenance import commit

# what is shown of free runs, in order
_OF_RUNS: tuple[Callable[[Findings, Styles], list[Section]], ...] = (
    following_section,
    error_sections,
    run_sections,
    similarity_sections,
    metric_sections,
)


def assemble_report(info: RunInfo, found: Findings, parts: Sequence[Part] = ()) -> ReportData:
    """Return the data of a report of what a run found; `parts`: what its recipes add."""
    styles = looks([*found.runs, *found.offline, *found.curves, *found.tuning], dict(info.labels))
    alone = set(scores.models(found.table)) == {found.table.attrs["baseline"]}
    # not where a recipe's own question is the matter and nothing ran but the coarse model alone
    compared = not (alone and any(part.summary for part in parts))
    costs = cost_section(found, styles) if compared else []
    # where finer grids are rivals it is the question
    first = found.timing is not None and found.timing.finer_grids
    shown = [section for part in _OF_RUNS if compared for section in part(found, styles)]
    sections = [
        *(costs if first else []),
        *flow_sections(found, styles),
        *shown,
        *([] if first else costs),
        *(section for part in parts for section in part.sections),
        *offline_sections(found, styles),
        *(variant_sections(found, styles) if compared else []),
        *training_sections(found, styles),
        blow_up_section(found, styles),
    ]
    return ReportData(
        title=info.title,
        summary=_summary(found, compared, parts),
        verdicts=_verdicts(found, styles, compared, parts),
        facts=tuple((heading, tuple(entries.items())) for heading, entries in info.facts.items()),
        sections=tuple(section for section in sections if not section.empty),
        commands=tuple(info.commands),
        warnings=(
            *info.warnings,
            *_lost_truth(blow_ups([found.truth]), found.truth.sizes["member"]),
            *_masked_samples(found.offline, styles),
            *(_own_warnings(found, styles) if compared else ()),
            *_undefined(found),
        ),
        footer=f"{_written_by()} {info.footer}".strip(),
        overview=overview_table(found, styles) if compared else None,
    )


def _summary(found: Findings, compared: bool, parts: Sequence[Part]) -> str:
    """Return the sentences at the head of the report."""
    said = [summary(found.table)] if compared else []
    if remarked := sum(bool(scores.remark(found.table, n)) for n in scores.models(found.table)):
        words = f"Something is to be said of the training of {remarked} models ({REMARKED})."
        said += [words] if compared else []
    return " ".join([*said, *(part.summary for part in parts if part.summary)])


def _verdicts(
    found: Findings, styles: Styles, compared: bool, parts: Sequence[Part]
) -> tuple[Verdict, ...]:
    """Return what the report says of each model, or of each choice."""
    if not compared:
        return tuple(one for part in parts for one in part.verdicts)
    table = found.table
    return tuple(
        Verdict(styles[name].label, verdict(table, name), outcome(table, name))
        for name in scores.models(table)
    )


def _written_by() -> str:
    """Return the sentence on the version that wrote the report, with its commit where known."""
    known = commit()
    return f"Written by subgrid {__version__}{f', commit {known}' if known else ''}."


def _own_warnings(found: Findings, styles: Styles) -> list[str]:
    """Return what to know of the members and networks."""
    table, level = found.table, found.table.attrs["level"]
    members, said, alone = fewest_scored(table), [], table.attrs["baseline"]
    if alone and (lost := scores.blow_ups(table, alone)):
        said.append(
            f"{len(lost)} of {scores.ran(table, alone).size} members without a closure blew up: "
            "they are not compared."
        )
    if members < fewest_members(level):
        said.append(
            f"Only {members} members are scored: their spread is given, but fewer than "
            f"{fewest_members(level)} cannot exclude chance at the {percent(level)} level."
        )
    once = [styles[n].label for n in found.curves if len(scores.ran(table, n)) == 1]
    if once:
        said.append(
            f"Trained once: {', '.join(once)}. Their intervals do not cover training seeds."
        )
    return said


def _undefined(found: Findings) -> list[str]:
    """Return which headline score is not defined here, and why."""
    missing = found.table.attrs["undefined"].get(scores.headline(found.table)[0], {})
    return [f"{name} is not defined here: {why}." for name, why in missing.items()]


def _lost_truth(lost: Sequence[BlowUp], members: int) -> list[str]:
    """Return the warning of members whose truth holds values that are not finite."""
    if not lost:
        return []
    dates = ", ".join(f"member {b.member} from {b.date} on" for b in lost)
    return [
        f"The truth of {len(lost)} of {members} members is not finite ({dates}): these members are "
        "not scored."
    ]


def _masked_samples(offline: Runs, styles: Styles) -> list[str]:
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
            if "first_masked_time" in data:
                when = date(float(data["first_masked_time"]), data["first_masked_time"].units)
                first = f"test trajectory {int(data['first_masked_trajectory'])}, {when}"
            which = f" (network {network})" if len(sets) > 1 else ""
            found.append(
                f"{styles[name].label}{which}: {masked} of {masked + data.sizes['sample']} offline "
                f"samples are not finite and left out, the first: {first}."
            )
    return found
