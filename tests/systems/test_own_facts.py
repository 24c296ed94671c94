"""Nothing asks which system it is: systems state their facts themselves."""

import ast
from pathlib import Path

import subgrid
import subgrid.systems as systems

SOURCES = sorted(Path(subgrid.__file__).parent.rglob("*.py"))
CONCRETE = {
    name
    for name, one in vars(systems).items()
    if isinstance(one, type)
    and issubclass(one, systems.AbstractSystem)
    and not name.startswith("Abstract")
}


def asked(source: str) -> list[str]:
    """Return the classes that a module asks for by isinstance or issubclass."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in (
            "isinstance",
            "issubclass",
        ):
            found += [n.id for n in ast.walk(node.args[1]) if isinstance(n, ast.Name)]
            found += [n.attr for n in ast.walk(node.args[1]) if isinstance(n, ast.Attribute)]
    return found


def test_the_scan_finds_what_it_is_for():
    assert {"TwoLayerQG", "KolmogorovFlow", "BarotropicVorticity", "Lorenz96"} <= CONCRETE
    assert "TwoLayerQG" in asked("if isinstance(x, (systems.TwoLayerQG, int)): pass")


def test_no_module_asks_which_system_it_is():
    asking = {path.name: CONCRETE & set(asked(path.read_text())) for path in SOURCES}
    assert len(asking) > 100
    assert not {name: found for name, found in asking.items() if found}
