"""What the benchmarks that write truth have in common."""

from collections.abc import Sequence
from typing import Any

from subgrid.coarsening import Operator1
from subgrid.systems import TwoLayerQG


def truth_settings(nx: int, sizes: Sequence[int], frames: int, **changes: Any) -> dict[str, Any]:
    """Return the arguments of `generate` for QG at `nx`², coarsened by operator 1 to `sizes`.

    One trajectory from its first moment on, a frame after every step of an hour; `changes` win.
    """
    system = TwoLayerQG(nx)
    coarse = {size: system.at(size) for size in sizes}
    return {
        "system": system,
        "coarse_systems": coarse,
        "coarseners": {n: Operator1(system.grid, one.grid) for n, one in coarse.items()},
        "dt": 3600.0,
        "trajectories": 1,
        "spinup_steps": 0,
        "frames": frames,
        "save_every": 1,
        "seed": 0,
        **changes,
    }
