"""Peak memory of a process that simulates truth of the published size.

    python benchmarks/generation_memory.py

Two-layer QG at 256², coarse states and forcings at 128², 96² and 64², segments of 100 frames, as in
the `paper` profiles; four segments, a frame after every step so that it takes a minute. What is in
memory does not grow with the number of frames.
"""

import resource
import tempfile
from pathlib import Path

from truth_settings import truth_settings

from subgrid.data import generate

with tempfile.TemporaryDirectory() as folder:
    settings = truth_settings(256, (128, 96, 64), frames=400, segment_frames=100)
    generate(Path(folder) / "train.zarr", **settings)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # from KiB
print(f"peak resident memory: {peak:.2f} GiB")
