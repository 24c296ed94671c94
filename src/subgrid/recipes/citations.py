"""The papers behind the parts of a run, as BibTeX."""

import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from subgrid import __version__
from subgrid.config import Config


def citations(config: Config, copies: Mapping[str, Path] | None = None) -> list[str]:
    """Return the BibTeX entries of subgrid and of every part that a config uses.

    Parts state what to cite: keys of `references.bib`, or whole entries. `copies`: the bundles that
    a run took over, by the name of the model, read instead. Raises what `load_bundle` does for a
    bundle of the config. What a config names as "module:Class" is not imported, and not cited.
    """
    known = _references()
    parts = (key for _, part in config.sections() for key in part.citations(config, copies or {}))
    keys = dict.fromkeys(("subgrid", *parts, "jax", "equinox"))
    return [known.get(key, key) for key in keys]


def _references() -> dict[str, str]:
    text = (files("subgrid.recipes") / "references.bib").read_text(encoding="utf-8")
    entries = text.replace("VERSION", __version__).strip().split("\n\n")
    return {re.split("[{,]", entry, maxsplit=2)[1]: entry for entry in entries}
