"""Captions and notes of the report, from captions.toml: prose apart from the code it speaks of."""

import tomllib
from functools import cache
from pathlib import Path
from typing import Any


@cache
def _texts() -> dict[str, str]:
    path = Path(__file__).with_name("captions.toml")
    texts = tomllib.loads(path.read_text(encoding="utf-8"))
    return {key: " ".join(text.split()) for key, text in texts.items()}


def caption(*keys: str, **parts: Any) -> str:
    """Return the texts of these keys one after the other, with `parts` in their braces."""
    return " ".join(_texts()[key] for key in keys if key).format(**parts)
