"""The setting `output` of learned and adapted models: constraints by name, with arguments."""

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Strict

from subgrid.config.builders import build_coarse_systems, build_system
from subgrid.config.section import naming
from subgrid.config.values import FreeTable

if TYPE_CHECKING:
    from subgrid.closures import AbstractConstraint
    from subgrid.config.settings import Config
    from subgrid.systems import AbstractSystem

Entries = tuple[str | dict[str, Any], ...]


def _named(entries: Entries) -> Entries:
    for entry in entries:
        if isinstance(entry, dict) and not isinstance(entry.get("name"), str):
            raise ValueError(f"a table of arguments needs the constraint's `name`, got {entry}")
    return entries


# by name, or as a table of the name and arguments: { name = "cut", share = 0.65 }
Constraints = Annotated[tuple[str | FreeTable, ...], Strict(False), AfterValidator(_named)]


def constraint_names(output: Entries) -> list[str]:
    """Return the names of the constraints."""
    return [entry if isinstance(entry, str) else entry["name"] for entry in output]


def build_constraints(
    output: Entries, coarse: "AbstractSystem", key: str
) -> "tuple[AbstractConstraint, ...]":
    """Return the constraints for increments of a system; `key`: of the model, for messages.

    Raises ConfigError for an argument that one does not take, and where one does not apply.
    """
    from subgrid.closures import CONSTRAINTS

    made = []
    for name, entry in zip(constraint_names(output), output, strict=True):
        arguments = (
            {} if isinstance(entry, str) else {k: v for k, v in entry.items() if k != "name"}
        )
        with naming(f"{key}.output: {name}"):
            made.append(CONSTRAINTS.get(name).for_system(coarse, **arguments))
    return tuple(made)


def output_in_words(output: Entries, config: "Config") -> list[str]:
    """Return what the constraints do, a clause each."""
    if not output:
        return []
    coarse = build_coarse_systems(config, build_system(config))[0]
    return [one.in_words for one in build_constraints(output, coarse, "output")]
