"""Free runs of systems on any domain, of models without a system, and of ensembles of draws."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_systems import SMALL, Advection, Nine

import subgrid
from subgrid.closures import AbstractClosure
from subgrid.evaluation import RunPlan, free_runs, reference_statistics
from subgrid.stepping import AbstractModel, rollout, started
from subgrid.stepping.model import advanced

PLAN = RunPlan(steps=8, save_every=2, snapshots=2, segment_frames=2)


def states_of(system, members=2):
    return eqx.filter_vmap(lambda key: system.initial_state(key=key))(
        jax.random.split(jax.random.key(0), members)
    )


def truth_of(system, states, dt):
    """Return the states of a run by variable [member, time, ...]."""
    frames = jax.vmap(lambda x: rollout(system.model(dt), x, 8, 2).states)(states)
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(frames)]
    return Sliced({v.name: leaf for v, leaf in zip(system.variables, leaves, strict=True)})


class Sliced:
    """Arrays by name that slice together, as `subgrid.data.Following` does."""

    def __init__(self, arrays):
        self.arrays, self.shape = arrays, next(iter(arrays.values())).shape[:2]

    def __getitem__(self, key):
        return {name: values[key] for name, values in self.arrays.items()}


@pytest.mark.parametrize("name", SMALL)
def test_a_system_of_any_domain_runs_and_is_followed(name):
    system, dt = SMALL[name], 0.01
    states = states_of(system)
    truth = truth_of(system, states, dt)
    data = free_runs(system.model(dt), states, PLAN, truth=truth)
    reference = reference_statistics(system, truth, None, save_every=2, dt=dt, snapshots=2, chunk=3)
    assert data.sizes["member"] == reference.sizes["member"] == 2
    for quantity in system.quantities:
        assert data[quantity.name].dims == ("member", *quantity.dims)
        # the same steps, compiled for two members and for one: float32 rounding
        np.testing.assert_allclose(data[quantity.name], reference[quantity.name], rtol=1e-5)
    assert data["snapshots"].dims[2:] == (*system.drawn.components, *system.domain.dims)
    np.testing.assert_allclose(data["truth_correlation"], 1, rtol=1e-5)
    np.testing.assert_allclose(data["truth_rmse"], 0, atol=1e-4)
    assert ("wavenumber" in data.coords) == any(q.is_spectrum for q in system.quantities)


@pytest.mark.parametrize("name", ["ring", "basin"])
def test_metrics_of_spectra_are_not_defined_where_there_is_no_spectrum(name):
    system, dt = SMALL[name], 0.01
    states = states_of(system)
    data = free_runs(system.model(dt), states, PLAN)
    reference = reference_statistics(
        system, truth_of(system, states, dt), None, save_every=2, dt=dt, snapshots=2
    )
    metrics = ["spectral_error", "spectral_distance", "mean_error", "wasserstein"]
    runs = {"none": data, "same": data}
    table = subgrid.compare(runs, reference, metrics, baseline="none", system=system)
    undefined = table.attrs["undefined"]
    assert undefined["spectral_error"] == {"spectral_error": "no quantity is a spectrum"}
    assert "spectral_distance" in undefined
    assert not {"spectral_error", "spectral_error_mean", "spectral_distance"} & set(table)
    assert "mean_error_mean" in table
    assert "spectral_error" in subgrid.compare(runs, reference, system=system).attrs["undefined"]


def test_a_field_is_kept_at_every_frame():
    system = SMALL["ring"]
    states = states_of(system)
    data = free_runs(system.model(0.01), states, PLAN)
    one = rollout(system.model(0.01), jax.tree.map(lambda leaf: leaf[1], states), 8, 2).states.x
    assert data["x"].dims == ("member", "time", "k")
    np.testing.assert_allclose(data["x"][1], one, rtol=1e-5)


def test_land_counts_in_no_error():
    system = SMALL["basin"]
    states = states_of(system)
    truth = truth_of(system, states, 0.01)
    off = jax.tree.map(lambda leaf: leaf + 0.1, states)
    beached = Sliced({"c": np.where(system.domain.mask, truth.arrays["c"], 1e6)})
    runs = [free_runs(system.model(0.01), off, PLAN, truth=t) for t in (truth, beached)]
    np.testing.assert_array_equal(runs[0]["truth_rmse"], runs[1]["truth_rmse"])
    # a constant is carried along by the wind alone, which hardly blows within 8 steps
    np.testing.assert_allclose(runs[0]["truth_rmse"], 0.1, rtol=1e-2)


class Shift(AbstractModel):
    """An emulator of waves on a line: it moves them by a cell, with noise if there is a key."""

    system_it_learned: Advection
    dt: float = 0.5

    @property
    def variables(self):
        return self.system_it_learned.variables

    @property
    def domain(self):
        return self.system_it_learned.domain

    @property
    def time_units(self):
        return "1"

    def init(self, state, *, key=None, start=0.0):
        return started(state, memory=key, start=start)

    def step(self, carry, forcing=None):
        key, noise = carry.memory, 0.0
        if key is not None:
            key, now = jax.random.split(key)
            noise = 0.01 * jax.random.normal(now, carry.evolved.h.shape)
        moved = type(carry.evolved)(jnp.roll(carry.evolved.h, 1) + noise)
        return advanced(carry, moved, memory=key)

    def state(self, carry):
        return carry.evolved

    def healthy(self, carry):
        return jnp.all(jnp.isfinite(carry.evolved.h))


def test_an_emulator_runs_without_a_system():
    system = SMALL["line"]
    model, states = Shift(system), states_of(system)
    alone = free_runs(model, states, PLAN)
    assert alone["h"].dims == ("member", "time", "x")
    np.testing.assert_array_equal(alone["h"][:, 0], np.roll(states.h, 2, axis=-1))
    assert "snapshots" not in alone
    known = free_runs(model, states, PLAN, system=system)
    assert {"mean_square", "h_spectrum", "snapshots"} <= set(known)
    np.testing.assert_allclose(known["mean_square"], 0.5, rtol=1e-5)


def test_members_are_initial_states_times_draws(tmp_path):
    system = SMALL["line"]
    model, states = Shift(system), states_of(system)
    given = {"key": jax.random.key(3), "draws": 3}
    data = free_runs(model, states, PLAN, **given)
    assert data["start"].values.tolist() == [0, 0, 0, 1, 1, 1]
    assert data["draw"].values.tolist() == [0, 1, 2, 0, 1, 2]
    ends = data["h"].values[:, -1]
    assert len({end.tobytes() for end in ends}) == 6
    # draws of one start stay near it: noise of 0.01 in each of 8 steps
    exact = np.roll(np.repeat(states.h, 3, axis=0), 8, axis=-1)
    assert np.abs(ends - exact).max() < 0.2


def test_a_killed_ensemble_resumes_to_the_same_bits_keys_and_all(tmp_path):
    system, file = SMALL["line"], tmp_path / "run.safetensors"
    model, states = Shift(system), states_of(system)
    given = {"key": jax.random.key(3), "draws": 2}
    whole = free_runs(model, states, PLAN, **given)

    def kill(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        free_runs(model, states, PLAN, file=file, progress=kill, **given)
    assert free_runs(model, states, PLAN, file=file, **given).identical(whole)


def test_runs_are_driven_at_the_time_of_their_start():
    system = SMALL["basin"]
    states, model = states_of(system), system.model(0.01)
    at_rest = free_runs(model, states, PLAN)
    windy = free_runs(model, states, PLAN, start=np.array([0.0, np.pi / 2]))
    np.testing.assert_array_equal(windy["snapshots"][0], at_rest["snapshots"][0])
    assert (windy["snapshots"][1] != at_rest["snapshots"][1]).any()
    winds = [system.forcing_at(np.float32(np.pi / 2 + 0.01 * i)) for i in range(8)]
    given = jax.tree.map(lambda *parts: jnp.stack(parts), *winds)
    one = jax.tree.map(lambda leaf: leaf[1], states)
    last = rollout(model, one, 8, 8, forcing=given).states.c[-1]
    np.testing.assert_allclose(windy["snapshots"][1, -1], last, rtol=1e-6)


class Drift(AbstractClosure):
    """A closure with memory, which is the number of its calls."""

    def init(self, state, *, key=None):
        return jnp.zeros(())

    def __call__(self, state, memory=None, forcing=None):
        return jax.tree.map(jnp.zeros_like, state), memory + 1


def test_nine_variables_of_different_shapes_go_through_with_a_closure():
    system = SMALL["nine"]
    data = free_runs(system.model(0.1, Drift()), states_of(system, 1), PLAN)
    # Euler: each step leaves 0.9 of every field
    ratio = data["i"].values[0, -1] / data["i"].values[0, 0]
    np.testing.assert_allclose(ratio, 0.9**6, rtol=1e-5)
    assert isinstance(system, Nine)
