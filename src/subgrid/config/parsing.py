"""Reads TOML text into plain tables, and says in one line what is wrong with it."""

import tomllib
from typing import Any

from subgrid.errors import ConfigError

DEEPEST = 20  # a config has five levels of tables; Python's own limit is met by some hundred

_TOO_DEEP = f"tables and lists lie more than {DEEPEST} levels deep within each other"


class NotTomlError(ConfigError):
    """Text is no TOML."""


def parsed(text: str, label: str) -> dict[str, Any]:
    """Return the tables of TOML text; `label` says in errors where it came from.

    Raises NotTomlError for text that is none, ConfigError for tables and lists within each other
    without end.
    """
    try:
        tables = tomllib.loads(text)
    except RecursionError:
        raise ConfigError(f"{label}: {_TOO_DEEP}") from None
    except ValueError as error:  # TOMLDecodeError is one, as is a number of thousands of digits
        raise NotTomlError(f"{label} is not valid TOML: {error}") from error
    level: list[Any] = [tables]
    for _ in range(DEEPEST):
        level = [inner for value in level for inner in _inside(value)]
        if not level:
            return tables
    raise ConfigError(f"{label}: {_TOO_DEEP}")


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
