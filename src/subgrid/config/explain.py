"""Turns pydantic's list of problems into lines with the key, the value got and what is allowed."""

import difflib
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from subgrid.config.sections import (
    ClosureConfig,
    GridConfig,
    LearnedConfig,
    NoClosureConfig,
    PretrainedConfig,
    SeparatedConfig,
)

_KINDS: dict[str, type[BaseModel]] = {
    "none": NoClosureConfig,
    "closure": ClosureConfig,
    "learned": LearnedConfig,
    "pretrained": PretrainedConfig,
    "grid": GridConfig,
}
_LISTS = ("models", "separated")
_WORDS = {
    "Input should be ": "must be ",
    "greater than or equal to": "at least",
    "less than or equal to": "at most",
    "a valid tuple": "a list",
    "a valid list": "a list",
    "a valid string": "text in quotes",
    "a valid dictionary": "a table",
    "a valid boolean": "true or false",
}


def explain(
    error: ValidationError, root: type[BaseModel], tables: Mapping[str, Any], label: str
) -> str:
    """Return the message for a config that does not fit: one line per problem."""
    lines = []
    for problem in error.errors():
        lines.extend(_lines(problem, root, tables))
    lines = list(dict.fromkeys(lines))
    count = "1 problem" if len(lines) == 1 else f"{len(lines)} problems"
    return "\n".join([f"{count} in {label}:", *(f"  {line}" for line in lines)])


def _lines(problem: Any, root: type[BaseModel], tables: Mapping[str, Any]) -> list[str]:
    location = tuple(problem["loc"])
    key = _key(location, tables)
    kind = problem["type"]
    if kind == "extra_forbidden":
        return [f"{key}: unknown key. {_known_keys(location, root)}"]
    if kind == "missing":
        return [f"{key}: missing; it has no default and must be given"]
    if kind == "union_tag_not_found":
        return [f"{key}.kind: missing; must be one of {', '.join(map(repr, _KINDS))}"]
    if kind == "union_tag_invalid":
        got = problem["ctx"]["tag"]
        return [f"{key}.kind: got {got!r}; must be one of {', '.join(map(repr, _KINDS))}"]
    if kind in ("model_type", "dict_type"):
        return [f"{key}: got {_shown(problem['input'])}; must be a table of settings"]
    if kind == "value_error":  # raised by our own checks, which name values themselves
        text = str(problem["ctx"]["error"])
        return [f"{key}: {line}" if key else line for line in text.split("\n")]
    return [f"{key}: got {_shown(problem['input'])}; {_allowed(problem)}"]


def _allowed(problem: Any) -> str:
    context = problem.get("ctx", {})
    kind = problem["type"]
    bounds = {
        "greater_than": ("gt", "greater than"),
        "greater_than_equal": ("ge", "at least"),
        "less_than": ("lt", "less than"),
        "less_than_equal": ("le", "at most"),
    }
    if kind in bounds:
        name, words = bounds[kind]
        limit = context[name]
        return f"must be {words} {limit if isinstance(limit, int) else format(limit, 'g')}"
    if kind == "literal_error":
        return f"must be one of {context['expected']}"
    if kind == "string_pattern_mismatch":
        return "must be letters, digits, '_', '-' or '.', and start with a letter or digit"
    if kind == "too_short":
        return f"must have at least {context['min_length']} entry"
    return plain_words(problem["msg"])


def plain_words(message: str) -> str:
    """Return pydantic's message in the words of a TOML file."""
    for theirs, ours in _WORDS.items():
        message = message.replace(theirs, ours)
    return message[0].lower() + message[1:]


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _key(location: tuple, tables: Mapping[str, Any]) -> str:
    """Return the path as the user wrote it: entries by name, without pydantic's union tags."""
    parts = [str(part) for part in location]
    if len(location) >= 2 and isinstance(location[1], int) and location[0] in _LISTS:
        entry = tables[str(location[0])][location[1]]
        name = entry.get("name") if isinstance(entry, Mapping) else None
        parts[1] = str(name if name is not None else location[1])
        if len(location) >= 3 and location[2] in _KINDS:
            del parts[2]
    return ".".join(parts)


def _known_keys(location: tuple, root: type[BaseModel]) -> str:
    section = root
    for part in location[:-1]:
        if part in _KINDS:
            section = _KINDS[str(part)]
        elif part == "separated":
            section = SeparatedConfig
        elif isinstance(part, str) and part in section.model_fields:
            annotation = section.model_fields[part].annotation
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                section = annotation
    known = [name for name in section.model_fields if name != "profile"]
    nearest = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
    hint = f"Did you mean {nearest[0]!r}? " if nearest else ""
    return f"{hint}Known: {', '.join(known)}"
