"""Standard deviations of q and S of two-layer QG, next to the published scalers.

Runs a 256² truth (float32, AB3, dt 3600 s) for ten model years per seed, coarsens a snapshot every
1000 hours with Operator1, and prints Markdown tables for several averaging windows. The state of
each run is kept in FOLDER/CONFIGURATION-SEED.safetensors: run the same command again to go on.

    python benchmarks/scalers.py FOLDER [--configuration eddy] [--seeds 0 1] [--years 10]
"""

import argparse
import time
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from subgrid.coarsening import Operator1, subgrid_forcing
from subgrid.provenance import load_arrays, save_arrays
from subgrid.stepping import advance_segment
from subgrid.systems import TwoLayerQG

SIZES = (128, 96, 64, 48)
DT = 3600.0
EVERY = 1000
YEAR = 360 * 86400.0
WINDOWS = ((0.0, 10.0), (2.5, 4.6), (5.0, 10.0))

# Upper and lower layer, 1/s and 1/s²; facts and references in docs/coarsening.md.
PUBLISHED = {
    ("eddy", 64): ((7.871194e-6, 1.039401e-6), (7.015079e-12, 1.1079758e-13)),
    ("eddy", 48): ((7.784383e-6, 1.047194e-6), (7.606111e-12, 1.656513e-13)),
}


def make_observer(truth):
    """Return state → moments [size, (q, S), (mean, mean square), level] of one snapshot."""
    pairs = [(coarse, Operator1(truth.grid, coarse.grid)) for coarse in map(truth.at, SIZES)]

    @eqx.filter_jit
    def observe(state):
        rows = []
        for coarse, coarsener in pairs:
            fields = (coarsener(state).q, subgrid_forcing(truth, coarse, coarsener, state).q)
            # in units near their size, so that float32 squares stay far from underflow
            rows.append(
                jnp.stack(
                    [
                        jnp.stack(
                            [jnp.mean(f / unit, (-2, -1)), jnp.mean((f / unit) ** 2, (-2, -1))]
                        )
                        for f, unit in zip(fields, (1e-6, 1e-12), strict=True)
                    ]
                )
            )
        return jnp.stack(rows)

    return observe


def run(folder: Path, configuration: str, seed: int, years: float) -> np.ndarray:
    """Return the moments [snapshot, size, (q, S), 2, level]; goes on from an existing file."""
    truth = TwoLayerQG(256, configuration=configuration)
    model = truth.model(DT)
    carry = model.init(truth.initial_state(key=jax.random.key(seed)))
    observe = make_observer(truth)
    leaves, structure = jax.tree.flatten(carry)
    moments = np.zeros((0, len(SIZES), 2, 2, 2))
    path = folder / f"{configuration}-{seed}.safetensors"
    if path.exists():
        stored, _ = load_arrays(path)
        moments = stored["moments"]
        leaves = [jnp.asarray(stored[f"carry{i}"]) for i in range(len(leaves))]
        carry = jax.tree.unflatten(structure, leaves)
    total = int(years * YEAR / DT) // EVERY
    start = time.monotonic()
    first = len(moments)
    while len(moments) < total:
        carry, _ = advance_segment(model, carry, 1, EVERY)
        state = model.state(carry)
        moments = np.concatenate([moments, np.asarray(observe(state), np.float64)[None]])
        done = {f"carry{i}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(carry))}
        save_arrays(path, {"moments": moments, **done})
        energy = float(truth.diagnostics(state)["kinetic_energy"])
        left = (time.monotonic() - start) / (len(moments) - first) * (total - len(moments))
        print(
            f"{configuration} seed {seed}: {len(moments)}/{total} snapshots, "
            f"KE {energy:.3e} m²/s², {left:.0f} s left",
            flush=True,
        )
    return moments[:total]


def standard_deviations(moments: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    """Return std [size, (q, S), level] over all runs, the snapshots of a window (years), space."""
    years = np.arange(1, moments.shape[1] + 1) * EVERY * DT / YEAR
    chosen = moments[:, (years > window[0]) & (years <= window[1])]
    mean, square = np.moveaxis(chosen.mean(axis=(0, 1)), -2, 0)
    return np.sqrt(square - mean**2) * np.array([1e-6, 1e-12])[None, :, None]


def print_table(moments: np.ndarray, configuration: str, window: tuple[float, float]) -> None:
    """Print std of q and S per size and layer, with the difference from the published scalers."""
    deviations = standard_deviations(moments, window)
    print(f"\n{configuration}, years {window[0]:g} to {window[1]:g}, {len(moments)} run(s)\n")
    print("| grid | q upper | q lower | S upper | S lower |\n|---|---|---|---|---|")
    for size, values in zip(SIZES, deviations, strict=True):
        published = PUBLISHED.get((configuration, size))
        cells = [f"{value:.3e}" for value in values.ravel()]
        if published is not None:
            ratios = values.ravel() / np.ravel(published) - 1
            cells = [f"{cell} ({ratio:+.1%})" for cell, ratio in zip(cells, ratios, strict=True)]
        print(f"| {size}² | {' | '.join(cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--configuration", default="eddy", choices=("eddy", "jet"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--years", type=float, default=10.0)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    windows = [w for w in WINDOWS if w[1] <= options.years] or [(0.0, options.years)]
    runs = []
    for seed in options.seeds:
        runs.append(run(options.folder, options.configuration, seed, options.years))
        for window in windows:
            print_table(np.stack(runs[-1:]), options.configuration, window)
    print("\nAll seeds together")
    for window in windows:
        print_table(np.stack(runs), options.configuration, window)


if __name__ == "__main__":
    main()
