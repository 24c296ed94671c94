"""Which scales the subgrid forcing of a run has, and which its closures get right.

Run: python benchmarks/forcing_scales.py RUN [--samples 96]
Of test samples of a finished QG run: the share of the forcing's variance in bands of wavenumber,
√((k Δx)² + (l Δy)²)/π of the Nyquist wavenumber, and R² in each band, upper / lower layer, of every
trained closure and of (f - 1) F(x): the resolved tendency through the coarse model's small-scale
filter f, less itself, which has no weights. Prints a Markdown table.
"""

import argparse
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from subgrid.closures import load_closure
from subgrid.config import build_coarse_systems, build_system
from subgrid.experiment import RunFolder
from subgrid.grids import exponential_filter, scaled_wavenumber
from subgrid.recipes.making import samples_of

BANDS = ((0.0, 2.0), (0.0, 1 / 3), (1 / 3, 0.65), (0.65, 0.8), (0.8, 2.0))


def only(fields: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Return fields [sample, level, y, x] with their spectra times a factor."""
    return np.fft.irfft2(np.fft.rfft2(fields) * factor, s=fields.shape[-2:])


def squares(fields: np.ndarray) -> np.ndarray:
    """Return the sum of squares of each level."""
    return np.square(fields).sum(axis=(0, 2, 3))


def row(name: str, values: list[np.ndarray]) -> str:
    shown = (f"{upper:.2f} / {lower:.2f}" for upper, lower in values)
    return f"| {name} | {' | '.join(shown)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--samples", type=int, default=96)
    options = parser.parse_args()
    folder = RunFolder.open(options.run)
    system = build_coarse_systems(folder.config, build_system(folder.config))[0]
    samples = samples_of(folder, "test", system)
    batch = samples.batch(samples.spread(options.samples))
    states, forcing = jnp.asarray(batch["q"]), batch["q_forcing"].astype(np.float64)
    tendency = jax.lax.map(lambda q: system.tendency(system.State(q)).q, states)
    predicted = {"(f - 1) F": only(np.asarray(tendency), exponential_filter(system.grid) - 1)}
    for path in sorted(options.run.glob("models/*/seed_*")):
        closure = load_closure(path)
        increments = eqx.filter_jit(
            lambda closure, states: jax.lax.map(lambda q: closure(system.State(q))[0].q, states)
        )(closure, states)
        predicted[f"{path.parent.name}, {path.name}"] = np.asarray(increments, np.float64)
    w = scaled_wavenumber(system.grid) / np.pi
    inside = [(w >= low) & (w < high) for low, high in BANDS]
    print("| | " + " | ".join(f"{low:.2f} - {min(high, 1.41):.2f}" for low, high in BANDS) + " |")
    print("|---" * (len(BANDS) + 1) + "|")
    shares = [squares(only(forcing, band)) / squares(forcing) for band in inside]
    print(row("share of the variance", shares))
    for name, increments in predicted.items():
        skills = [
            1 - squares(only(increments - forcing, band)) / squares(only(forcing, band))
            for band in inside
        ]
        print(row(f"R² of {name}", skills))


if __name__ == "__main__":
    main()
