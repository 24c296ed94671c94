"""Turns pydantic's list of problems into lines with the key, the value got and what is allowed."""

from collections.abc import Iterable, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from subgrid.config.names import RECIPES
from subgrid.numbers import shown
from subgrid.registry import known_names

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
    error: ValidationError,
    root: type[BaseModel],
    tables: Mapping[str, Any],
    label: str,
    further: Iterable[str] = (),
) -> str:
    """Return the message for a config that does not fit: one line per problem.

    `further`: what is wrong between the sections that could be read.
    """
    found = (line for problem in error.errors() for line in _lines(problem, root, tables))
    lines = list(dict.fromkeys([*found, *further]))
    count = "1 problem" if len(lines) == 1 else f"{len(lines)} problems"
    return "\n".join([f"{count} in {label}:", *(f"  {line}" for line in lines)])


def _lines(problem: Any, root: type[BaseModel], tables: Mapping[str, Any]) -> list[str]:
    location = tuple(problem["loc"])
    key = _key(location, tables)
    kind = problem["type"]
    if kind == "extra_forbidden":
        recipe = tables.get("recipe", root.model_fields["recipe"].default)
        if len(location) == 1 and (bringing := _recipes_with(key)):
            return [
                f"{key}: this section is for recipe = {bringing[0]!r}, and the config says "
                f"recipe = {recipe!r}. Change that, or leave the section out."
            ]
        return [f"{key}: unknown key. {_known_keys(location, root)}"]
    if kind == "missing":
        return [f"{key}: missing; it has no default and must be given"]
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        got = f"got {problem['ctx']['tag']!r}" if kind == "union_tag_invalid" else "missing"
        known = _sections(root.model_fields[str(location[0])].annotation)
        return [f"{key}.kind: {got}; must be one of {', '.join(map(repr, known))}"]
    if kind in ("model_type", "dict_type"):
        return [f"{key}: got {shown(problem['input'])}; must be a table of settings"]
    return lines_of(key, problem)


def lines_of(key: str, problem: Any) -> list[str]:
    """Return the lines for a problem that pydantic found with the value of a key."""
    if problem["type"] == "value_error":  # raised by our own checks, which name values themselves
        text = str(problem["ctx"]["error"])
        # a line that begins with a dot goes on with the key, into a table of any keys
        joints = ["" if line.startswith(".") or not key else ": " for line in text.split("\n")]
        return [f"{key}{j}{line}" for j, line in zip(joints, text.split("\n"), strict=True)]
    return [f"{key}: got {shown(problem['input'])}; {_allowed(problem)}"]


def _recipes_with(section: str) -> list[str]:
    """Return the recipes, of those by name, that bring a section."""
    return [name for name in RECIPES.names() if section in RECIPES.get(name).sections]


def _allowed(problem: Any) -> str:
    context = problem.get("ctx", {})
    kind = problem["type"]
    if kind == "literal_error":
        return f"must be one of {context['expected']}"
    if kind == "string_pattern_mismatch":
        return "must be letters, digits, '_', '-' or '.', and start with a letter or digit"
    if kind == "too_short":
        return f"must have at least {context['min_length']} entry"
    message = problem["msg"]
    for theirs, ours in _WORDS.items():
        message = message.replace(theirs, ours)
    return message[0].lower() + message[1:]


def _key(location: tuple, tables: Mapping[str, Any]) -> str:
    """Return the path as the user wrote it: entries by name, without pydantic's union tags."""
    parts, place, before = [], tables, None
    for part in location:
        in_models = location[0] == "models" and isinstance(before, int)
        if in_models and isinstance(place, Mapping) and place.get("kind") == part:
            continue  # the tag by which pydantic chose the class of an entry
        if isinstance(place, Mapping | list | tuple):
            place = _entry(place, part)
        name = place.get("name") if isinstance(place, Mapping) else None
        parts.append(name if isinstance(part, int) and isinstance(name, str) else str(part))
        before = part
    return ".".join(parts)


def _entry(place: Any, part: Any) -> Any:
    """Return what is at a key or a number, None where there is nothing."""
    try:
        return place[part]
    except (KeyError, IndexError, TypeError):
        return None


def _known_keys(location: tuple, root: type[BaseModel]) -> str:
    section = root
    for place, part in enumerate(location[:-1]):
        if part in section.model_fields:
            inner = _sections(section.model_fields[part].annotation)
            # of several kinds, the tag behind the number of the entry says which
            tag = next((tag for tag in location[place + 1 :] if tag in inner), "")
            section = inner.get(tag) or next(iter(inner.values()), section)
    return known_names(str(location[-1]), (n for n in section.model_fields if n != "profile"))


def _sections(annotation: Any) -> dict[str, type[BaseModel]]:
    """Return the sections that a value of this type may hold, by their kind, if they have one."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        kind = annotation.model_fields.get("kind")
        return {get_args(kind.annotation)[0] if kind else "": annotation}
    return {k: v for part in get_args(annotation) for k, v in _sections(part).items()}
