"""`subgrid list`: what can be named in a config."""

import tomllib
from typing import Literal

Kind = Literal[
    "presets",
    "bundles",
    "systems",
    "closures",
    "networks",
    "coarseners",
    "targets",
    "metrics",
    "recipes",
]


def command(kind: Kind | None = None, /) -> None:
    """List presets, bundles, systems, closures, networks, coarseners, targets, metrics, recipes.

    Parameters
    ----------
    kind
        What to list.
    """
    kinds = Kind.__args__ if kind is None else (kind,)
    for number, each in enumerate(kinds):
        if kind is None:
            print(f"{'' if number == 0 else chr(10)}{each}")
        rows = _rows(each)
        width = max((len(name) for name, _ in rows), default=0)
        for name, text in rows:
            print(f"  {name:<{width}}  {text}".rstrip())


def _rows(kind: str) -> list[tuple[str, str]]:
    if kind == "presets":
        return _presets()
    if kind == "bundles":
        return _bundles()
    from subgrid.config.names import registry

    return registry(kind.removesuffix("s")).describe()


def _presets() -> list[tuple[str, str]]:
    from subgrid.config import preset_names, preset_text

    rows = []
    for name in preset_names():
        tables = tomllib.loads(preset_text(name))
        profiles = ", ".join(tables.get("profiles", {}))
        rows.append((name, f"{tables.get('description', '')} Profiles: {profiles}."))
    return rows


def _bundles() -> list[tuple[str, str]]:
    from subgrid.deploy import bundles, load_bundle

    rows = []
    for bundle in map(load_bundle, bundles()):
        valid = bundle.metadata["valid_for"]
        grid = f"{valid['settings']['nx']} x {valid['settings']['ny']}"
        title = bundle.card.split("\n")[0].lstrip("# ")
        size = f"{bundle.size / 1000:.0f} kB"
        rows.append((bundle.name, f"{valid['system']}, {grid} cells, {size}. {title}"))
    return rows
