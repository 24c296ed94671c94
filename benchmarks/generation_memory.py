"""Peak memory of a process that simulates truth of the published size.

    python benchmarks/generation_memory.py

Two-layer QG at 256², coarse states and forcings at 128², 96² and 64², segments of 100 frames, as in
the `paper` profiles; four segments, a frame after every step so that it takes a minute. What is in
memory does not grow with the number of frames.
"""

import resource
import tempfile
from pathlib import Path

from subgrid.coarsening import Operator1
from subgrid.data import generate
from subgrid.systems import TwoLayerQG

system = TwoLayerQG(256)
coarse = {size: system.with_grid(size) for size in (128, 96, 64)}
with tempfile.TemporaryDirectory() as folder:
    generate(
        Path(folder) / "train.zarr",
        system=system,
        coarse_systems=coarse,
        coarseners={size: Operator1(system.grid, one.grid) for size, one in coarse.items()},
        dt=3600.0,
        trajectories=1,
        spinup_steps=0,
        frames=400,
        save_every=1,
        seed=0,
        segment_frames=100,
    )
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # from KiB
print(f"peak resident memory: {peak:.2f} GiB")
