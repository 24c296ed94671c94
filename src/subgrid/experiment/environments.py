"""Which commits and versions took part in a run, and what to say where they differ."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_SHOWN = {"commit": "commit", "subgrid": "subgrid", "jax": "JAX", "jaxlib": "jaxlib"}
_SHOWN |= {"numpy": "NumPy"}  # name in a manifest → in messages
COPIED = "the copied data"  # stands where a stage would, for what other runs made


def parts(environment: Mapping[str, Any]) -> dict[str, str]:
    """Return what decides the bits of a result: commit and versions, by the names in messages.

    A commit with "-dirty", its source changed, is another than the one without.
    """
    found = {**environment["versions"], "commit": environment["commit"] or "unknown"}
    return {label: found.get(name, "unknown") for name, label in _SHOWN.items()}


def same_code(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether two environments have the same commit and versions."""
    return parts(one) == parts(other)


def told(
    stage: str, now: Mapping[str, Any], earlier: Sequence[tuple[str, Mapping[str, Any]]]
) -> list[str]:
    """Return a line per earlier stage, or per start of this one, that another code made.

    `earlier`: (stage, its environment); see `participants`.
    """
    lines = []
    for name, before in earlier:
        ours, theirs = parts(now), parts(before)
        differing = [label for label in ours if ours[label] != theirs[label]]
        if differing:
            here, there = (
                ", ".join(f"{label} {each[label]}" for label in differing)
                for each in (ours, theirs)
            )
            what = {stage: "it was begun", COPIED: f"{COPIED} were made"}.get(
                name, f"{name} was done"
            )
            lines.append(f"{stage}: goes on under {here}; {what} under {there}")
    return list(dict.fromkeys(lines))


def participants(
    manifest: Mapping[str, Any], stages: Iterable[str]
) -> list[tuple[str, Mapping[str, Any]]]:
    """Return (stage, environment) for all under which a stage was begun or done.

    Data that were copied come first, with the environments of the runs they were copied from.
    """
    found: list[tuple[str, Mapping[str, Any]]] = []
    record = manifest["stages"].get("simulate", {})
    while "data_from" in record:
        record = record["data_from"]
        found.insert(0, (COPIED, record["environment"]))
    for stage in stages:
        entries = [*manifest.get("begun", {}).get(stage, [])]
        if stage in manifest["stages"]:
            entries.append(manifest["stages"][stage]["environment"])
        found.extend((stage, entry) for entry in entries)
    return found


def code_facts(taking_part: Sequence[tuple[str, Mapping[str, Any]]]) -> dict[str, str]:
    """Return commit and versions of a run, with the stages behind each where there are several."""
    return {
        label: _with_stages([(stage, parts(each)[label]) for stage, each in taking_part])
        for label in _SHOWN.values()
    }


def code_warnings(taking_part: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """Return the warning of a run that several commits or versions made, if several did."""
    shown = code_facts(taking_part)
    several = [
        f"{label} {shown[label]}"
        for label in _SHOWN.values()
        if len({parts(each)[label] for _, each in taking_part}) > 1
    ]
    if not several:
        return []
    return [f"Not all of this run was made by the same code: {'; '.join(several)}."]


def _with_stages(values: Sequence[tuple[str, str]]) -> str:
    stages: dict[str, list[str]] = {}
    for stage, value in values:
        behind = stages.setdefault(value, [])
        if stage not in behind:
            behind.append(stage)
    if len(stages) == 1:
        return next(iter(stages))
    return ", ".join(f"{value} ({', '.join(behind)})" for value, behind in stages.items())
