"""Which code and machines took part in a run, and what to say or refuse where they differ."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from subgrid.errors import RunFolderError

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
    """Return whether two environments give the same bits: same code, settings and rounding."""
    return not _differing(one, other) and one.get("settings") == other.get("settings")


def refuse_other_settings(
    stage: str, now: Mapping[str, Any], earlier: Sequence[tuple[str, Mapping[str, Any]]]
) -> None:
    """Raise RunFolderError if a setting of JAX that decides what is computed was another before.

    `earlier`: (stage, its environment); see `participants`. Settings of a run of an earlier
    version, which did not record them, are not known and not compared.
    """
    ours = now["settings"]
    for name, before in earlier:
        theirs = before.get("settings", ours)
        if changed := [each for each in ours if ours[each] != theirs.get(each)]:
            here, there = (
                ", ".join(f"{each} = {values.get(each)!r}" for each in changed)
                for values in (ours, theirs)
            )
            raise RunFolderError(
                f"{stage} would run under {here}; {_what(stage, name)} under {there}. Other random "
                "numbers or another precision make another result, and a run is one result. Set "
                f"{', '.join(each.upper() for each in changed)} as before in the environment, make "
                "all again (`subgrid simulate RUN --force`), or choose another --out."
            )


def code_changes(
    stage: str, now: Mapping[str, Any], earlier: Sequence[tuple[str, Mapping[str, Any]]]
) -> list[str]:
    """Return a line per earlier stage, or per start of this one, whose bits may differ.

    Another code or another machine made it. `earlier`: (stage, its environment); see
    `participants`.
    """
    lines = []
    for name, before in earlier:
        if differing := _differing(now, before):
            here, there = (
                ", ".join(f"{label} {pair[which]}" for label, pair in differing.items())
                for which in (0, 1)
            )
            lines.append(f"{stage}: goes on under {here}; {_what(stage, name)} under {there}")
    return list(dict.fromkeys(lines))


def _what(stage: str, earlier: str) -> str:
    """Return what an earlier stage, or an earlier start of this one, had done."""
    known = {stage: "it was begun", COPIED: f"{COPIED} were made"}
    return known.get(earlier, f"{earlier} was done")


def _differing(now: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Return what may change bits and is not the same, as pairs of values."""
    pairs = {label: (value, parts(before)[label]) for label, value in parts(now).items()}
    if "rounding" in now and "rounding" in before:  # not in a run of an earlier version
        ours, theirs = now["rounding"], before["rounding"]
        for label in dict.fromkeys([*ours, *theirs]):
            pairs[label] = ours.get(label, "not set"), theirs.get(label, "not set")
    return {label: pair for label, pair in pairs.items() if pair[0] != pair[1]}


def participants(
    manifest: Mapping[str, Any], stages: Iterable[str]
) -> list[tuple[str, Mapping[str, Any]]]:
    """Return (stage, environment) for all under which tasks of these stages were begun or done.

    Data that were copied come first, with the environments of the runs they were copied from.
    """
    copied: list[tuple[str, Mapping[str, Any]]] = []
    found: list[tuple[str, Mapping[str, Any]]] = []
    for stage in stages:
        for name in dict.fromkeys([*manifest["begun"], *manifest["tasks"]]):
            begun, record = manifest["begun"].get(name), manifest["tasks"].get(name)
            if (record or begun)["stage"] != stage:
                continue
            found += [(stage, entry) for entry in (begun or {}).get("environments", ())]
            if record is not None:
                found.append((stage, record["environment"]))
                while "data_from" in record:
                    record = record["data_from"]
                    copied.insert(0, (COPIED, record["environment"]))
    every = [*copied, *found]
    return [pair for place, pair in enumerate(every) if pair not in every[:place]]


def code_facts(taking_part: Sequence[tuple[str, Mapping[str, Any]]]) -> dict[str, str]:
    """Return commit and versions of a run, with the stages behind each where there are several."""
    return {
        label: _with_stages([(stage, parts(each)[label]) for stage, each in taking_part])
        for label in _SHOWN.values()
    }


def code_warnings(taking_part: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """Return the warnings of a run that several versions made, or several kinds of machine."""
    warnings = []
    if several := _several([(stage, parts(each)) for stage, each in taking_part]):
        warnings.append(f"Not all of this run was made by the same code: {several}.")
    known = [(stage, each["rounding"]) for stage, each in taking_part if "rounding" in each]
    if several := _several(known):
        warnings.append(
            f"Not all of this run was computed alike, so its parts round differently: {several}."
        )
    return warnings


def _several(values: Sequence[tuple[str, Mapping[str, str]]]) -> str:
    """Return what has several values, with the stages behind each."""
    labels = dict.fromkeys(label for _, each in values for label in each)
    found = {
        label: [(stage, each.get(label, "not set")) for stage, each in values] for label in labels
    }
    return "; ".join(
        f"{label} {_with_stages(pairs)}"
        for label, pairs in found.items()
        if len({value for _, value in pairs}) > 1
    )


def _with_stages(values: Sequence[tuple[str, str]]) -> str:
    stages: dict[str, dict[str, None]] = {}  # dictionaries as sets that keep their order
    for stage, value in values:
        stages.setdefault(value, {})[stage] = None
    if len(stages) == 1:
        return next(iter(stages))
    return ", ".join(f"{value} ({', '.join(behind)})" for value, behind in stages.items())
