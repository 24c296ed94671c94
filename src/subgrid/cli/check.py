"""`subgrid check`: the laws every closure or system must obey."""

from typing import Any

from subgrid.cli.options import WholeNumber
from subgrid.errors import ConfigError


def command(reference: str, /, *, system: str = "qg", nx: WholeNumber = 32) -> int:
    """Check the laws every closure or system must obey on a class of yours.

    Parameters
    ----------
    reference
        Your class as module:Class, or the name of a shipped closure or system.
    system
        The system that a closure is checked on (see `subgrid list systems`).
    nx
        Size of the test, a system's first argument: the number of cells along x, say.
    """
    from subgrid.closures.laws import closure_laws
    from subgrid.config import cells_of
    from subgrid.systems import SYSTEMS, AbstractSystem
    from subgrid.systems.laws import system_laws

    target = _find(reference)
    if isinstance(target, type) and issubclass(target, AbstractSystem):
        built = _build(reference, target, nx)
        print(f"system {reference}, {cells_of(built)} cells")
        laws = system_laws(built)
    else:
        built = SYSTEMS.get(system)(nx)
        print(f"closure {reference} on {type(built).__name__}, {cells_of(built)} cells")
        laws = closure_laws(_build(reference, target, built), built)
    for law in laws:
        mark = {True: "holds ", False: "BROKEN", None: "note  "}[law.holds]
        print(f"  {mark}  {law.name:<20} {law.detail}")
    if any(law.holds is None for law in laws):
        print("  a note is not judged: a closure fails on it where its class claims it (`claims`)")
    broken = sum(law.holds is False for law in laws)
    print("every law holds" if broken == 0 else f"{broken} of {len(laws)} laws broken")
    return 1 if broken else 0


def _find(reference: str) -> Any:
    from subgrid.closures import CLOSURES
    from subgrid.systems import SYSTEMS

    return (SYSTEMS if reference in SYSTEMS.names() else CLOSURES).get(reference)


def _build(reference: str, target: Any, argument: Any) -> Any:
    try:
        return target(argument)
    except TypeError as error:
        raise ConfigError(f"cannot build {reference} with one argument: {error}") from error
