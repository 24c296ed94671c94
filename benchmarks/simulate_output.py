"""Cost of writing a dataset, and what a second worker brings.

Run: python benchmarks/simulate_output.py [fine size] [frames]     (default 128 512)

(a) `generate` (coarse states and forcings at two scales every 24 steps, Zarr on disk) against the
bare compiled scan of the same steps, in one process, interleaved; on a machine that others use the
processor time tells more. (b) Trajectories per hour with
two worker processes against one, both warm. Prints Markdown tables of the fastest of several
repeats and their ratios.
"""

import functools
import sys
import tempfile
import time
from pathlib import Path

import jax
from truth_settings import truth_settings

from subgrid.data import generate, process_map
from subgrid.stepping import advance_segment
from subgrid.systems import TwoLayerQG

REPEATS = 3
SAVE_EVERY = 24
SEGMENT = 16
SCALES = {64: (48, 32), 128: (64, 48), 256: (64, 48)}


def settings(nx: int, frames: int, trajectories: int = 1, seed: int = 0) -> dict:
    return truth_settings(
        nx,
        SCALES[nx],
        frames,
        trajectories=trajectories,
        save_every=SAVE_EVERY,
        seed=seed,
        segment_frames=SEGMENT,
    )


def nothing(state, time) -> None:
    """The bare scan sees nothing of the states."""


def bare(nx: int, frames: int):
    model = TwoLayerQG(nx).model(3600.0)
    start = model.init(model.system.initial_state(key=jax.random.key(0)))

    def run():
        carry = start
        for _ in range(frames // SEGMENT):
            carry, _ = advance_segment(model, carry, SEGMENT, SAVE_EVERY, nothing)
        jax.block_until_ready(carry)

    return run


def written(given: dict, **how):
    def run():
        with tempfile.TemporaryDirectory() as folder:
            generate(Path(folder) / "train.zarr", **given, **how)

    return run


def seconds(run) -> tuple[float, float]:
    """Return wall-clock and processor time of this process."""
    start, busy = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - start, time.process_time() - busy


def best(*runs) -> list[tuple[float, ...]]:
    """Return the least wall and processor time of interleaved repeats, after one that compiles."""
    for run in runs:
        run()
    times = [[seconds(run) for run in runs] for _ in range(REPEATS)]
    return [tuple(map(min, zip(*column, strict=True))) for column in zip(*times, strict=True)]


def timed(function, job) -> float:
    """Return the processor time that a job takes in its worker."""
    busy = time.process_time()
    function(job)
    return time.process_time() - busy


def timing(mapped, noted: list[float]):
    """Return a map like `mapped` that notes the least processor time of its jobs."""

    def over(function, jobs):
        found = list(mapped(functools.partial(timed, function), jobs))
        noted.append(min(found))
        return found

    return over


def main(nx: int = 128, frames: int = 512) -> None:
    steps = frames * SAVE_EVERY
    plain, output = best(bare(nx, frames), written(settings(nx, frames)))
    print(f"truth {nx}², {steps} steps, scales {SCALES[nx]}, a frame every {SAVE_EVERY} steps\n")
    print("| | wall s | ratio | processor s | ratio |\n|---|---|---|---|---|")
    print(f"| bare scan | {plain[0]:.2f} | 1 | {plain[1]:.2f} | 1 |")
    print(
        f"| with output | {output[0]:.2f} | {output[0] / plain[0]:.3f} | {output[1]:.2f} | "
        f"{output[1] / plain[1]:.3f} |\n",
        flush=True,
    )
    given = settings(nx, frames, trajectories=4)
    busy: tuple[list[float], ...] = ([], [], [])
    with process_map(1) as one, process_map(2) as two:
        maps = (map, one, two)
        times = best(*(written(given, map=timing(*each)) for each in zip(maps, busy, strict=True)))
    slowest = times[1][0]
    print("| 4 trajectories | s | speed | processor s per trajectory |\n|---|---|---|---|")
    for name, (wall, _), each in zip(
        ("this process, all threads", "1 worker", "2 workers"), times, busy, strict=True
    ):
        print(f"| {name} | {wall:.2f} | {slowest / wall:.2f} | {min(each):.2f} |", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
