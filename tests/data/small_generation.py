"""A generation small enough for a test: truth on 16², coarse on 8²."""

from subgrid.coarsening import Operator1
from subgrid.systems import TwoLayerQG


def settings(system=None, sizes=(8,), **changes):
    """Return arguments of `generate` that share their compiled programs between tests."""
    system = TwoLayerQG(16) if system is None else system
    coarse = {size: system.at(size) for size in sizes}
    values = {
        "system": system,
        "coarse_systems": coarse,
        "coarseners": {n: Operator1(system.grid, s.grid) for n, s in coarse.items()},
        "dt": 7200.0,
        "trajectories": 2,
        "spinup_steps": 6,
        "frames": 6,
        "save_every": 3,
        "seed": 4,
        "segment_frames": 2,
    }
    return values | changes


def main(path: str, where: str) -> None:
    """Generate one longer trajectory, here or in a worker: a process for the tests to kill."""
    from subgrid.data import generate, process_map

    if where == "here":
        generate(path, **settings(frames=60, trajectories=1))
        return
    with process_map(1) as over_processes:
        generate(path, **settings(frames=60, trajectories=1), map=over_processes)


if __name__ == "__main__":
    import sys

    main(*sys.argv[1:])
