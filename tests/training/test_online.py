"""Training through the solver: its loss and gradient, what it improves, that it resumes."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from subgrid.closures import AbstractClosure, Features, LearnedClosure, Output, Smagorinsky
from subgrid.coarsening import Operator1, StaggeredMean, StepDefect
from subgrid.data import Split, Windows, generate, generate_all, statistics
from subgrid.errors import ConfigError, RunFolderError, ShapeError, UnstableRunError
from subgrid.nn import Conv2d, Scaler
from subgrid.provenance import load_arrays
from subgrid.stepping import ProjectAfter, SplitModel, rollout
from subgrid.systems import KolmogorovFlow, TwoLayerQG
from subgrid.training import TIMINGS, Adam, Constant, Noise, Plan, read_records, train_online
from subgrid.training.online import make_loss, unrolled

SIZE, STEPS, FRAMES = 16, 2, 3
FINE = KolmogorovFlow(32)
COARSE = FINE.at(SIZE)
DT = FINE.grid.dx / 7  # two steps of the fine system at Courant number ½
NAMES = ("u", "v")
PARTS = ("mean", "std")


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """The stores of a training and a validation split of Kolmogorov flow; not to be changed."""
    folder = tmp_path_factory.mktemp("stores")
    common = {
        "system": FINE,
        "coarse_systems": {SIZE: COARSE},
        "coarseners": {SIZE: StaggeredMean(FINE.grid, COARSE.grid)},
        "target": StepDefect(DT, 2),
        "dt": DT / 2,
        "spinup_steps": 40,
        "frames": 8,
        "save_every": 2 * STEPS,
        "seed": 5,
    }
    splits = [
        Split(path=folder / f"{name}.zarr", trajectories=count, **common)
        for name, count in (("train", 2), ("validation", 1))
    ]
    return [summary.path for summary in generate_all(splits)]


@pytest.fixture
def windows(stores):
    return [Windows(path, SIZE, NAMES, FRAMES) for path in stores]


def plan(**changes):
    settings = {
        "updates": 30,
        "batch_size": 4,
        "validation_samples": 4,
        "validate_every": 10,
        "checkpoint_every": 10,
    }
    return Plan(Adam(Constant(1e-2)), **{**settings, **changes})


def small_network():
    # one layer: what is tested here does not depend on the network, and this compiles in no time
    return Conv2d(2, 2, 3, key=jax.random.key(0))


def closure_of(stores):
    found = statistics(stores[0], SIZE)
    inputs, outputs = (
        Scaler(*([float(getattr(found[name + end], part)) for name in NAMES] for part in PARTS))
        for end in ("", "_forcing")
    )
    return LearnedClosure(Features(scaler=inputs), small_network(), Output(outputs))


def model_with(closure):
    return COARSE.model(DT, closure)


def train(stores, windows, folder, *, closure=None, model=model_with, course=None, **changes):
    """Return the result of `train_online`; `changes` are its arguments by name."""
    return train_online(
        closure or closure_of(stores),
        model,
        *windows,
        course or plan(),
        **{"folder": folder, "seed": 1, "steps_per_frame": STEPS, **changes},
    )


def task_of(stores, windows, model=model_with):
    return unrolled(closure_of(stores), model, windows[0], STEPS)


def results(folder):
    """Return everything a run leaves that must not depend on interruptions."""
    records = [
        {name: value for name, value in line.items() if name not in TIMINGS}
        for line in read_records(folder / "metrics.jsonl")
    ]
    last = sorted((folder / "checkpoints").iterdir())[-1]
    arrays = {name: value.tobytes() for name, value in load_arrays(last)[0].items()}
    return records, (folder / "best.safetensors").read_bytes(), last.name, arrays


def test_the_loss_is_that_of_a_rollout(stores, windows):
    closure, task = closure_of(stores), task_of(stores, windows)
    batch = windows[0].batch([1, 6])
    found = eqx.filter_jit(make_loss(task))(closure, batch, jax.random.split(jax.random.key(0)))
    u, v = (jnp.asarray(batch[name]) for name in NAMES)
    run = jax.vmap(lambda x: rollout(model_with(closure), x, FRAMES * STEPS, STEPS))(
        COARSE.State(u[:, 0], v[:, 0])
    )
    spread = statistics(stores[0], SIZE)
    exact = np.mean(
        [
            np.mean(np.square(np.asarray(ours - theirs[:, 1:], np.float64) / spread[name].std))
            for name, ours, theirs in zip(NAMES, (run.states.u, run.states.v), (u, v), strict=True)
        ]
    )
    np.testing.assert_allclose(found, exact, rtol=1e-4)  # float32 after six steps


def test_the_gradient_agrees_with_finite_differences(stores, windows, float64):
    system = COARSE.at(SIZE, dtype=jnp.float64)
    weights, rest = eqx.partition(closure_of(stores), eqx.is_inexact_array)
    weights = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), weights)
    closure = eqx.combine(weights, rest)
    task = task_of(stores, windows, lambda closure: system.model(DT, closure))
    batch = jax.tree.map(jnp.asarray, windows[0].batch([1, 6]))

    @jax.jit
    def loss(weight):
        whole = eqx.tree_at(lambda c: c.network.weight, closure, weight)
        return make_loss(task)(whole, batch, jax.random.split(jax.random.key(0)))

    weight = closure.network.weight
    way = jax.random.normal(jax.random.key(1), weight.shape)
    slope = jnp.sum(jax.grad(loss)(weight) * way)
    ahead, behind = loss(weight + 1e-5 * way), loss(weight - 1e-5 * way)
    assert abs(slope) > 1e-3
    # differences of second order in 1e-5; rounding of 1e-16/1e-5
    np.testing.assert_allclose((ahead - behind) / 2e-5, slope, rtol=1e-7)


@pytest.mark.slow
def test_the_gradient_remembers_the_steps_of_one_frame(stores):
    closure = closure_of(stores)

    def memory(frames):
        windows = Windows(stores[0], SIZE, NAMES, frames)
        loss = make_loss(unrolled(closure, model_with, windows, 4))
        batch = jax.tree.map(jnp.asarray, windows.batch([0]))

        def of(weight, batch, keys):
            return loss(eqx.tree_at(lambda c: c.network.weight, closure, weight), batch, keys)

        keys = jax.random.split(jax.random.key(0), 1)
        program = jax.jit(jax.grad(of)).lower(closure.network.weight, batch, keys).compile()
        return program.memory_analysis().temp_size_in_bytes

    # six frames more: their states, and the truth beside each, but not their 24 steps, each of
    # which would add some fifty fields
    assert (memory(7) - memory(1)) / (4 * SIZE**2) < 6 * 10


def test_training_lowers_the_loss_and_changes_the_network_alone(stores, windows, tmp_path):
    result = train(stores, windows, tmp_path)
    records = read_records(tmp_path / "metrics.jsonl")
    losses = [line["validation"]["loss"] for line in records]
    assert [line["update"] for line in records] == [0, 10, 20, 30]
    assert losses[-1] < 0.5 * losses[0]
    (fit,) = result.fits
    assert fit.best_loss == min(losses)
    before = closure_of(stores)
    assert bool(jnp.any(result.closure.network.weight != before.network.weight))
    for part in (lambda c: c.features.scaler.scale, lambda c: c.output.scaler.scale):
        np.testing.assert_array_equal(part(result.closure), part(before))


def test_what_was_given_is_kept_if_training_does_harm(stores, windows, tmp_path):
    harmful = dataclasses.replace(plan(updates=3, validate_every=1), optimiser=Adam(Constant(1.0)))
    result = train(stores, windows, tmp_path, course=harmful)
    assert result.fits[0].best_update == 0
    np.testing.assert_array_equal(result.closure.network.weight, closure_of(stores).network.weight)


def test_interrupted_and_resumed_equals_uninterrupted(stores, windows, tmp_path):
    def interrupt(event):
        if event.kind == "update" and event.update == 17:
            raise KeyboardInterrupt

    train(stores, windows, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(stores, windows, tmp_path / "cut", callbacks=[interrupt])
    assert not (tmp_path / "cut/checkpoints/00000020.safetensors").exists()
    train(stores, windows, tmp_path / "cut")
    assert results(tmp_path / "cut") == results(tmp_path / "whole")
    coupled = lambda closure: SplitModel(COARSE, DT, closure, ProjectAfter())  # noqa: E731
    with pytest.raises(RunFolderError, match="model_structure"):
        train(stores, windows, tmp_path / "cut", model=coupled)


class Spoilt(Windows):
    """Windows whose first batch starts from a state that no model survives."""

    def batches(self, seed, batch_size):
        load = super().batches(seed, batch_size)
        return lambda n: {k: v * 1e3 if n == 0 else v for k, v in load(n).items()}


@pytest.mark.slow
def test_a_window_that_blows_up_costs_one_update(stores, windows, tmp_path):
    spoilt = Spoilt(stores[0], SIZE, NAMES, FRAMES)
    result = train(stores, [spoilt, windows[1]], tmp_path, course=plan(updates=4, validate_every=2))
    assert result.fits[0].skipped == 1
    assert result.fits[0].best_update == 4
    slow = COARSE.at(SIZE, velocity_bound=0.1)
    with pytest.raises(UnstableRunError, match="no validation loss"):
        train(
            stores,
            windows,
            tmp_path / "slow",
            model=lambda c: slow.model(DT, c),
            course=plan(updates=1),
        )


class Drawing(AbstractClosure):
    """A closure that multiplies by a random number each step; its memory is the key."""

    network: Conv2d
    scale: jax.Array

    def init(self, state, *, key=None):
        return key

    def __call__(self, state, memory=None, forcing=None):
        now, later = jax.random.split(memory)
        factor = self.scale * jax.random.normal(now)
        increment = factor * self.network(jnp.stack([state.u, state.v]))
        return COARSE.State(*increment), later


@pytest.mark.slow
def test_a_closure_that_draws_and_remembers_is_trained(stores, windows, tmp_path):
    drawing = Drawing(small_network(), jnp.float32(1))
    loss = eqx.filter_jit(make_loss(task_of(stores, windows)))
    batch = jax.tree.map(jnp.asarray, windows[0].batch([1, 6]))
    values = {float(loss(drawing, batch, jax.random.split(jax.random.key(n)))) for n in (0, 0, 1)}
    assert len(values) == 2
    for name in "ab":
        result = train(
            stores, windows, tmp_path / name, closure=drawing, course=plan(validate_every=1)
        )
    assert results(tmp_path / "a") == results(tmp_path / "b")
    # a random increment does harm, so the network is trained away, and so is its factor
    assert result.fits[0].best_update > 0
    assert float(result.closure.scale) < 1


@pytest.mark.slow
def test_two_layer_flow_is_trained_through_its_scheme(tmp_path):
    fine = TwoLayerQG(16)
    coarse = fine.at(8)
    generate(
        tmp_path / "train.zarr",
        trajectories=1,
        system=fine,
        coarse_systems={8: coarse},
        coarseners={8: Operator1(fine.grid, coarse.grid)},
        dt=7200.0,
        spinup_steps=6,
        frames=6,
        save_every=3,
        seed=4,
    )
    windows = [Windows(tmp_path / "train.zarr", 8, ("q", "q_forcing"), 2)] * 2
    spread = statistics(windows[0].path, 8)["q"].std
    # the forcing hardly shows after six steps: a network whose outputs do
    outputs = Scaler(np.zeros(2), spread / windows[0].interval)
    features = Features(scaler=Scaler(np.zeros(2), spread))
    closure = LearnedClosure(features, small_network(), Output(outputs))
    changes = {"closure": closure, "model": lambda c: coarse.model(7200.0, c)}
    result = train([windows[0].path], windows, tmp_path / "fit", steps_per_frame=3, **changes)
    losses = [line["validation"]["loss"] for line in read_records(tmp_path / "fit/metrics.jsonl")]
    assert losses[-1] < 0.5 * losses[0]
    assert result.fits[0].skipped == 0


class Nothing(AbstractClosure):
    """A closure without numbers."""

    def __call__(self, state, memory=None, forcing=None):
        return jax.tree.map(jnp.zeros_like, state), memory


def test_bad_input_is_named(stores, windows, tmp_path):
    run = lambda **changes: train(stores, windows, tmp_path, **changes)  # noqa: E731
    with pytest.raises(ConfigError, match=r"noise level is 0\.1; online"):
        run(course=plan(noise=Noise(0.1)))
    with pytest.raises(ConfigError, match="steps_per_frame must be a whole number"):
        run(steps_per_frame=0)
    with pytest.raises(ConfigError, match=r"3 steps of 0\.05.* are 0\.1.* apart"):
        run(steps_per_frame=3)
    with pytest.raises(ConfigError, match="seed is -1"):
        run(seed=-1)
    with pytest.raises(ConfigError, match="was built for another system"):
        run(closure=Smagorinsky(TwoLayerQG(8)))
    with pytest.raises(ConfigError, match=r"nothing to train: .* a Nothing holds no"):
        run(closure=Nothing())
    with pytest.raises(TypeError, match="a model of a system"):
        run(model=lambda closure: closure)
    with pytest.raises(ShapeError, match=r"\(16, 16\).*take the system on the grid"):
        run(model=lambda closure: FINE.model(DT, closure))
    with pytest.raises(ConfigError, match=r"holds \['u', 'u_forcing'.*TwoLayerQG is \['q'\]"):
        run(model=lambda closure: TwoLayerQG(SIZE).model(DT, closure))
    partial = [Windows(path, SIZE, ("u",), FRAMES) for path in stores]
    with pytest.raises(ConfigError, match="ask Windows for all"):
        train(stores, partial, tmp_path)
    assert not list(tmp_path.iterdir())
