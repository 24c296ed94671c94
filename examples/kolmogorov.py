"""Kolmogorov flow from its truth to a learned closure that is tested online, in Python.

Run: python examples/kolmogorov.py FOLDER [--fine 128] [--coarse 32] [--substeps 4] [--updates 1500]
     [--duration 20] [--members 8] [--noise 0.1]
A truth of fine² cells is averaged to coarse² cells; a small network learns what one coarse step of
`substeps` fine ones misses, once from the states as they are and once with noise on them. Then free
runs from held-out states, without and with closures: time until the correlation of their vorticity
with that of the truth falls below 0.5 (the first such frame, or the end; median over members), mean
kinetic energy over that of the truth, both over members that did not blow up, and how many did.
`duration`: of the spin-up and again of the data, of which free runs take half. About three minutes
on two cores. Run again, it goes on where it was stopped. Everything is dimensionless.
"""

import argparse
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from subgrid import nn
from subgrid.closures import Features, LearnedClosure, Output, StaggeredLeith, StaggeredSmagorinsky
from subgrid.coarsening import StaggeredMean, StepDefect
from subgrid.data import Samples, Split, generate_all
from subgrid.stepping import AddAfter, AddWithin, ProjectAfter, SplitModel, rollout
from subgrid.systems import KolmogorovFlow
from subgrid.training import OPTIMISERS, SCHEDULES, Noise, Plan, train_offline

NAMES = ("u", "v", "u_forcing", "v_forcing")
TRAJECTORIES = {"train": 3, "validation": 1, "test": 2}
FRAME_EVERY = 8  # coarse steps
FASTEST = 7.0  # speed for which the step is chosen, as published


def generate(options: argparse.Namespace, fine: KolmogorovFlow, coarse: KolmogorovFlow) -> float:
    """Write the datasets and return the step of the coarse model."""
    dt = 0.5 * fine.grid.dx / FASTEST
    every = FRAME_EVERY * options.substeps
    steps = int(options.duration / dt) // every * every
    if steps < 4 * every:
        raise SystemExit(f"--duration must be at least {4 * every * dt:.3g}, for four frames")
    splits = [
        Split(
            path=options.folder / f"{name}.zarr",
            trajectories=count,
            system=fine,
            coarse_systems={options.coarse: coarse},
            coarseners={options.coarse: StaggeredMean(fine.grid, coarse.grid)},
            target=StepDefect(options.substeps * dt, options.substeps),
            dt=dt,
            spinup_steps=steps,
            frames=steps // every,
            save_every=every,
            seed=0,
        )
        for name, count in TRAJECTORIES.items()
    ]
    generate_all(splits)
    return options.substeps * dt


def train(options: argparse.Namespace, train: Samples, validation: Samples, noise: float):
    """Return a closure with a small network, trained on single states with noise on them.

    `noise`: standard deviation, in units of that of the states; a quarter of them stays clean.
    """
    network = nn.build("small", in_channels=2, out_channels=2, key=jax.random.key(0), width=0.25)
    schedule = SCHEDULES.get("cosine")(peak=1e-3, updates=options.updates)
    plan = Plan(
        optimiser=OPTIMISERS.get("adam")(schedule),
        updates=options.updates,
        batch_size=8,
        validation_samples=min(64, len(validation)),
        validate_every=max(1, options.updates // 5),
        noise=Noise(noise, clean_fraction=0.25),
    )
    folder = options.folder / f"network-noise-{noise:g}"
    untrained = LearnedClosure(Features(), network, Output())
    result = train_offline(untrained, train, validation, plan, folder=folder, seed=0)
    return result.closure


@eqx.filter_jit
def score(model: SplitModel, start, truth) -> tuple[jax.Array, ...]:
    """Return correlation [member, frame], energies of both, and where members blew up [member].

    `truth`: the coarse states [member, frame, y, x] that follow `start` [member, y, x].
    """
    frames = truth.u.shape[1]
    run = jax.vmap(lambda state: rollout(model, state, frames * FRAME_EVERY, FRAME_EVERY))(start)
    vorticity = jax.vmap(jax.vmap(model.system.vorticity))
    ours, theirs = vorticity(run.states), vorticity(truth)

    def total(field):
        return jnp.sum(field, axis=(-2, -1))

    correlation = total(ours * theirs) / jnp.sqrt(total(ours**2) * total(theirs**2))
    energies = [total(states.u**2 + states.v**2) for states in (run.states, truth)]
    return correlation, *energies, run.blew_up_at


def held_out(options: argparse.Namespace, test: Samples, coarse: KolmogorovFlow):
    """Return the starts of the members and the truth that follows each."""
    frames = len(test) // TRAJECTORIES["test"]
    length = frames // 2
    draw = np.random.default_rng(0)
    first = [
        trajectory * frames + int(offset)
        for trajectory, offset in zip(
            np.arange(options.members) % TRAJECTORIES["test"],
            draw.integers(0, frames - length, options.members),
            strict=True,
        )
    ]
    runs = [test.batch(np.arange(number, number + length)) for number in first]
    u, v = (jnp.asarray(np.stack([run[name] for run in runs])) for name in ("u", "v"))
    return coarse.State(u[:, 0], v[:, 0]), coarse.State(u[:, 1:], v[:, 1:])


def main() -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    sizes = {"fine": 128, "coarse": 32, "substeps": 4, "updates": 1500, "members": 8}
    for name, value in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--duration", type=float, default=20.0)
    parser.add_argument("--noise", type=float, default=0.1)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)

    fine = KolmogorovFlow(options.fine)
    coarse = fine.at(options.coarse)
    print("simulates the truth", flush=True)
    dt = generate(options, fine, coarse)
    data = {n: Samples(options.folder / f"{n}.zarr", options.coarse, NAMES) for n in TRAJECTORIES}
    print(f"trains on {len(data['train'])} frames", flush=True)
    pairs = data["train"], data["validation"]
    clean, noisy = (train(options, *pairs, noise) for noise in (0.0, options.noise))

    start, truth = held_out(options, data["test"], coarse)
    between = FRAME_EVERY * dt
    print(
        f"free runs of {truth.u.shape[1] * between:.1f} time units, {options.members} members, a "
        f"frame every {between:.3f}\n"
    )
    print("| closure | added | time until correlation < 0.5 | energy / truth's | blown up |")
    print("|---|---|---:|---:|---:|")
    for name, closure, coupling in (
        ("none", None, AddAfter()),
        ("Smagorinsky, C = 0.15", StaggeredSmagorinsky(coarse), AddWithin()),
        ("Smagorinsky, dynamic", StaggeredSmagorinsky(coarse, dynamic=True), AddWithin()),
        ("Leith, Λ = 1", StaggeredLeith(coarse), AddWithin()),
        ("Leith, dynamic", StaggeredLeith(coarse, dynamic=True), AddWithin()),
        ("learned", clean, AddAfter()),
        ("learned with noise", noisy, AddAfter()),
        ("learned with noise", noisy, ProjectAfter()),
        ("learned with noise", noisy, AddWithin()),
    ):
        model = SplitModel(system=coarse, dt=dt, closure=closure, coupling=coupling)
        correlation, ours, theirs, blew_up = map(np.asarray, score(model, start, truth))
        alive = blew_up < 0
        below = correlation[alive] < 0.5
        frames = np.where(below.any(axis=1), below.argmax(axis=1) + 1, below.shape[1])
        lasts = f"{np.median(frames) * between:.2f}" if alive.any() else "-"
        ratio = f"{ours[alive].mean() / theirs[alive].mean():.2f}" if alive.any() else "-"
        words = "" if closure is None else type(coupling).__name__
        print(
            f"| {name} | {words} | {lasts} | {ratio} | {np.sum(~alive)} of {len(alive)} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
