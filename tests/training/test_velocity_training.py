"""Training on staggered velocities: streamfunctions, vorticity as an input, the limit of energy."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from made_up import SIZE, MadeUp

from subgrid.closures import (
    DivergenceFree,
    EnergyLimit,
    Features,
    LearnedClosure,
    Output,
    energy_limit_of,
    load_closure,
    save_closure,
)
from subgrid.data import VariableStatistics
from subgrid.errors import ConfigError, RunFolderError
from subgrid.grids import downscale, staggered_divergence
from subgrid.nn import Cascade, Conv2d
from subgrid.systems import KolmogorovFlow
from subgrid.training import Adam, Constant, Plan, read_records, train_cascade, train_offline
from subgrid.training.cascade import stage_task
from subgrid.training.scaling import described, scaled, standardisation
from subgrid.training.tasks import Sample

SYSTEM = KolmogorovFlow(SIZE)
GRID = SYSTEM.grid
NAMES = ("u", "v", "u_forcing", "v_forcing")


def limited(closure, limit):
    """Return the closure with another limit, or with none."""
    output = closure.output.without(EnergyLimit)
    if limit is not None:
        output = output.with_constraints(EnergyLimit(limit))
    return closure.changed(output=output)


class MadeUpFlow(MadeUp):
    """Velocities and a forcing, both without divergence, the latter of a linear streamfunction."""

    variables = NAMES

    def __init__(self, count, seed):
        random = np.random.default_rng(seed)
        noise = np.fft.rfft2(random.normal(size=(count, SIZE, SIZE)))
        k = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.rfftfreq(SIZE)[None])
        psi = np.fft.irfft2(noise * np.exp(-((6 * k) ** 2)))
        u, v = rotated(psi)
        u, v = 3 * u / u.std(), 3 * v / v.std()
        s = rotated((np.roll(v, -1, -1) - v) - (np.roll(u, -1, -2) - u) + 0.5 * u)
        velocities = dict(zip(NAMES, (u, v, 0.4 * s[0], 0.4 * s[1]), strict=True))
        self.arrays = {name: np.float32(values) for name, values in velocities.items()}

    def __len__(self):
        return len(self.arrays["u"])

    def statistics(self):
        found = {}
        for name, values in self.arrays.items():
            x = values.astype(np.float64)
            parts = [np.asarray(part) for part in (x.mean(), x.var(), x.min(), x.max())]
            found[name] = VariableStatistics(*parts, x.size, ())
        return found


def rotated(psi):
    return (np.roll(psi, 1, -2) - psi) / GRID.dy, (psi - np.roll(psi, 1, -1)) / GRID.dx


@pytest.fixture
def data():
    train, validation = MadeUpFlow(64, 0), MadeUpFlow(16, 1)
    return train, validation


def plan(**changes):
    settings = {"batch_size": 8, "validation_samples": 16, "validate_every": 30, "chunk": 8}
    return Plan(Adam(Constant(3e-2)), **{"updates": 60, **settings, **changes})


def cascade(seen=2, out=1, sizes=(SIZE, 8)):
    keys = jax.random.split(jax.random.key(0), len(sizes))
    networks = [Conv2d(seen + stage * out, out, 3, key=key) for stage, key in enumerate(keys)]
    return Cascade(networks, sizes)


def untrained(network, free=True, names=None, further=()):
    constraints = [DivergenceFree(GRID), *further] if free else further
    system = None if names is None else SYSTEM
    return LearnedClosure(Features(names), network, Output(None, constraints), system)


def closure_losses(closure, train, samples):
    """Return the loss of the closure as it runs, on a state of the system, and its increments."""
    batch = samples.batch(np.arange(len(samples)))
    increments = jax.jit(jax.vmap(lambda u, v: closure(SYSTEM.State(u, v))[0]))(
        batch["u"], batch["v"]
    )
    scale = np.asarray(standardisation(train).targets.scale)
    errors = [
        np.mean(np.square((np.asarray(getattr(increments, name)) - batch[f"{name}_forcing"]) / s))
        for name, s in zip("uv", scale, strict=True)
    ]
    return np.mean(errors), increments


def last_losses(folder):
    losses = [line["validation"]["loss"] for line in read_records(folder / "metrics.jsonl")]
    return losses[0], min(losses)


def test_a_streamfunction_is_learned(data, tmp_path):
    network = Conv2d(2, 1, 3, key=jax.random.key(0))
    closure = untrained(network)
    result = train_offline(closure, *data, plan(), folder=tmp_path / "run", seed=1)
    first, best = last_losses(tmp_path / "run")
    assert best < 0.2 * first
    loss, increments = closure_losses(result.closure, *data)
    np.testing.assert_allclose(loss, best, rtol=1e-4)  # float32
    divergence = staggered_divergence(increments.u, increments.v, GRID)
    size = float(jnp.abs(increments.u).max())
    assert float(jnp.abs(divergence).max()) * GRID.dx < 4e-6 * size  # roundings of ψ
    for part in jax.tree.leaves(increments):
        assert float(jnp.abs(jnp.mean(part, axis=(1, 2))).max()) < 1e-6 * size
    # in units of both forcings' size times a cell
    sizes = [data[0].arrays[name].std() for name in NAMES[2:]]
    np.testing.assert_allclose(
        result.closure.output.scaler.scale,
        [np.sqrt(np.mean(np.square(sizes))) * GRID.dx],
        rtol=1e-5,
    )
    np.testing.assert_array_equal(result.closure.output.scaler.mean, [0.0])
    save_closure(result.closure, tmp_path / "closure")
    again = load_closure(tmp_path / "closure")
    state = SYSTEM.State(*(jnp.asarray(data[0].arrays[name][0]) for name in "uv"))
    np.testing.assert_array_equal(again(state)[0].v, result.closure(state)[0].v)


def test_its_checkpoints_say_so_and_those_of_others_do_not(data, tmp_path):
    network = Conv2d(2, 1, 3, key=jax.random.key(0))
    assert described(untrained(network, free=False)) == {"features": "state", "output": []}
    options = {"folder": tmp_path, "seed": 1}
    train_offline(untrained(network), *data, plan(updates=2), **options)
    other = untrained(Conv2d(2, 2, 3, key=jax.random.key(0)), free=False)
    with pytest.raises(RunFolderError, match=r"output was \['no divergence .*\], is \[\]"):
        train_offline(other, *data, plan(updates=2), **options)


@pytest.mark.parametrize(
    ("free", "names"),
    [
        pytest.param(True, None, marks=pytest.mark.slow),
        (True, ("u", "v", "vorticity")),
        pytest.param(False, ("u", "v", "vorticity"), marks=pytest.mark.slow),
    ],
)
def test_a_cascade_learns_at_every_size(free, names, data, tmp_path):
    network = cascade(2 if names is None else 3, 1 if free else 2)
    closure = untrained(network, free, names)
    result = train_cascade(closure, *data, plan(), folder=tmp_path, seed=1)
    for stage in range(2):
        first, best = last_losses(tmp_path / f"stage_{stage}")
        assert best < 0.6 * first, stage
    loss, increments = closure_losses(result.closure, *data)
    np.testing.assert_allclose(loss, result.fits[-1].best_loss, rtol=1e-4)  # float32
    divergence = staggered_divergence(increments.u, increments.v, GRID)
    relative = float(jnp.abs(divergence).max() * GRID.dx / jnp.abs(increments.u).max())
    assert relative < 4e-6 if free else relative > 1e-3
    if names is not None:
        state = SYSTEM.State(*(jnp.asarray(data[0].arrays[name]) for name in "uv"))
        found = result.closure.features.scaler.scale
        seen = [state.u, state.v, jax.vmap(SYSTEM.vorticity)(state)]
        # all 64 samples, to three digits
        np.testing.assert_allclose(found, [float(jnp.std(x)) for x in seen], rtol=6e-3)
        assert float(found[2]) > 1.2 * float(found[0])
    save_closure(result.closure, tmp_path / "closure")
    again = closure_losses(load_closure(tmp_path / "closure"), *data)
    np.testing.assert_array_equal(again[1].u, increments.u)


def test_a_coarse_stage_can_reach_its_target(data):
    """The true ψ without its small scales is the forcing without them: no error is left."""

    class Exact(eqx.Module):
        psi: jax.Array

        def stage_size(self, level):
            return 8

        def predict(self, seen, level):
            return downscale(self.psi, 8, 8)

        def __call__(self, seen):
            return self.psi

    scales = standardisation(data[0])
    closure = untrained(Exact(jnp.zeros((1, *GRID.shape))))
    closure = scaled(closure, scales, data[0], 1)
    fields = [jnp.asarray(data[0].arrays[name][0]) for name in NAMES]
    psi = np.fft.rfft2(SYSTEM.vorticity(SYSTEM.State(*fields[2:])))
    k, l = (2 * np.cos(2 * np.pi * f) - 2 for f in (np.fft.rfftfreq(SIZE), np.fft.fftfreq(SIZE)))
    symbol = k[None] + l[:, None]
    symbol[0, 0] = 1
    psi = np.fft.irfft2(psi / symbol) * GRID.dx**2 / float(closure.output.scaler.scale[0])
    closure = closure.changed(network=Exact(jnp.asarray(psi, jnp.float32)[None]))
    task = stage_task(scales, closure, 0, 1.0)
    found = task.predict(closure, Sample(jnp.stack(fields[:2]), jnp.stack(fields[2:])), None)
    target = task.target(jnp.stack(fields[2:]))
    np.testing.assert_allclose(found, target, rtol=0, atol=1e-5)  # float32, of order one
    assert float(jnp.abs(target).max()) > 0.1


def test_wrong_use_is_named(data, tmp_path):
    layers = untrained(Conv2d(2, 1, 3, key=jax.random.key(0)), names=("u", "v"))
    data[0].variables = ("v", "u", "v_forcing", "u_forcing")
    with pytest.raises(ConfigError, match=r"gives \['v', 'u'\], but .* a system of \['u', 'v'\]"):
        train_offline(layers, *data, plan(), folder=tmp_path, seed=1)
    assert not any(tmp_path.iterdir())


def powers(samples):
    pairs = [(samples.arrays[n], samples.arrays[f"{n}_forcing"]) for n in "uv"]
    return sum(np.mean(np.float64(x) * np.float64(s), axis=(1, 2)) for x, s in pairs)


def test_the_limit_is_the_largest_power_of_the_forcing(data):
    train = data[0]
    wanted = powers(train)
    assert energy_limit_of(train) == pytest.approx(wanted.max(), rel=1e-12)  # float64 sums
    assert energy_limit_of(train, 0.5) == pytest.approx(np.median(wanted), rel=1e-12)
    assert energy_limit_of(train, quantile=0.0) == pytest.approx(wanted.min(), rel=1e-12)
    assert np.ptp(wanted) > 0.1 * abs(wanted.mean())


def test_many_samples_are_all_looked_at_a_part_at_a_time():
    few, parts = MadeUpFlow(8, 3), []
    largest = powers(few).max()  # all take energy
    weakest = 776 + int(np.argmax(powers(few)))  # 776 is a multiple of 8

    class Long(MadeUpFlow):
        """The same few again and again, one of them weaker."""

        def __init__(self):
            self.arrays = few.arrays

        def __len__(self):
            return 1000

        def batch(self, indices):
            parts.append(np.asarray(indices))
            factor = np.where(parts[-1] == weakest, np.float32(0.5), np.float32(1))
            batch = few.batch(parts[-1] % 8)
            return {name: values * factor[:, None, None] for name, values in batch.items()}

    assert largest < 0
    assert energy_limit_of(Long()) == pytest.approx(largest / 4, rel=1e-12)
    np.testing.assert_array_equal(np.concatenate(parts), np.arange(1000))
    assert max(map(len, parts)) <= 256


def test_a_trained_closure_is_held_to_the_limit(data, tmp_path):
    network = Conv2d(2, 1, 3, key=jax.random.key(0))
    further = [EnergyLimit()]  # takes the largest power of the data
    options = {"folder": tmp_path, "seed": 1}
    closure = train_offline(untrained(network, further=further), *data, plan(), **options).closure
    assert closure.output.constraints[-1].limit == energy_limit_of(data[0])
    limit = energy_limit_of(data[0], 0.3)
    _, free = closure_losses(limited(closure, None), *data)
    _, held = closure_losses(limited(closure, limit), *data)
    found = {}
    for name, increments in (("free", free), ("held", held)):
        pairs = [(data[1].arrays[n], getattr(increments, n)) for n in "uv"]
        found[name] = sum(np.mean(np.float64(x) * np.float64(s), axis=(1, 2)) for x, s in pairs)
    over = found["free"] > limit
    assert 0 < over.sum() < len(over)
    size = float(jnp.std(free.u)) * 3
    np.testing.assert_allclose(found["held"][over], limit, rtol=0, atol=3e-6 * size)  # float32
    np.testing.assert_array_equal(held.u[~over], free.u[~over])


def test_wrong_samples_for_a_limit_are_named(data):
    with pytest.raises(ConfigError, match=r"quantile is 1\.5"):
        energy_limit_of(data[0], 1.5)
    with pytest.raises(ConfigError, match=r"needs samples of \['u', 'u_forcing'.*'q'"):
        energy_limit_of(MadeUp(4, 0))
    layered = MadeUpFlow(4, 0)
    layered.arrays = {name: values[:, None] for name, values in layered.arrays.items()}
    with pytest.raises(ConfigError, match="without levels"):
        energy_limit_of(layered)
    data[0].arrays["u"][3, 0, 0] = np.nan
    with pytest.raises(ConfigError, match="not finite in 1 of 64"):
        energy_limit_of(data[0])
