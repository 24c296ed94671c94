"""How fast networks are trained: operations per second, and what the loader costs.

    python benchmarks/training.py [--networks psm4 small md8] [--widths 1 0.25] [--updates 12]

Trains on 256 frames of 64² cells, 16 samples per update, as `subgrid train` does. Prints, per
network and width, milliseconds per update and GFLOP/s beside those of plain float32 matrix
multiplications of 2048 x 2048 in the same run (the best of the repeats of each); and the share of
the training that is spent waiting for the loader, with samples from memory and from disk. A
gradient is counted as three forward passes.
"""

import argparse
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
from truth_settings import truth_settings

from subgrid import nn
from subgrid.closures import Features, LearnedClosure, Output
from subgrid.data import Samples, generate
from subgrid.training import OPTIMISERS, SCHEDULES, Plan, train_offline

SIZE, BATCH = 64, 16


def matmul_rate(side: int = 2048, repeats: int = 5) -> float:
    """Return GFLOP/s of a plain float32 matrix multiplication, the best of the repeats."""
    a = jax.random.normal(jax.random.key(0), (side, side))
    multiply = jax.jit(jnp.matmul)
    multiply(a, a).block_until_ready()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        multiply(a, a).block_until_ready()
        times.append(time.perf_counter() - start)
    return 2 * side**3 / min(times) / 1e9


def store(folder: Path) -> Path:
    """Write 256 frames of a flow that has just begun: their values do not matter here."""
    path = folder / "train.zarr"
    settings = truth_settings(2 * SIZE, (SIZE,), frames=256, dt=7200.0, segment_frames=64)
    generate(path, **settings)
    return path


def trained(network, samples, validation, updates: int, chunk: int):
    """Return the result of a training of its own."""
    plan = Plan(
        optimiser=OPTIMISERS.get("adam")(SCHEDULES.get("constant")(peak=1e-4)),
        updates=updates,
        batch_size=BATCH,
        validation_samples=8,
        validate_every=updates,
        checkpoint_every=updates,
        chunk=chunk,
    )
    with tempfile.TemporaryDirectory() as folder:
        closure = LearnedClosure(Features(), network, Output())
        return train_offline(closure, samples, validation, plan, folder=folder, seed=0).fits[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--networks", nargs="+", default=["psm4", "small", "md8"])
    parser.add_argument("--widths", nargs="+", type=float, default=[1.0, 0.25])
    parser.add_argument("--updates", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--chunk", type=int, default=2)
    options = parser.parse_args()
    print("| network | width | update, ms | GFLOP/s | matmul, GFLOP/s | matmul / training "
          "| waiting for memory | for disk |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        path = store(Path(folder))
        sources = [Samples(path, SIZE, in_memory=held) for held in (True, False)]
        for name in options.networks:
            for width in options.widths:
                key = jax.random.key(0)
                network = nn.build(name, in_channels=2, out_channels=2, key=key, width=width)
                rates, fits = [], ([], [])
                for _ in range(options.repeats):
                    rates.append(matmul_rate())
                    for samples, kept in zip(sources, fits, strict=True):
                        kept.append(
                            trained(network, samples, sources[0], options.updates, options.chunk)
                        )
                best = min(fit.update_seconds for kept in fits for fit in kept)
                waits = [
                    min(fit.waited / (options.updates * fit.update_seconds) for fit in kept)
                    for kept in fits
                ]
                done = 3 * nn.flops(network, SIZE, SIZE) * BATCH / best / 1e9
                waiting = " | ".join(f"{100 * wait:.1f} %" for wait in waits)
                print(
                    f"| `{name}` | {width:g} | {1e3 * best:.0f} | {done:.0f} | {max(rates):.0f} "
                    f"| {max(rates) / done:.1f} | {waiting} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
