"""Data of systems on any domain, with what drives them: generated, read back, in windows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_systems import NAMES, SMALL, WATER, Advection, Nine, Tracer

from subgrid.coarsening import AbstractCoarsener, KeptVariables
from subgrid.data import (
    Following,
    Samples,
    Windows,
    choose_starts,
    generate,
    open_dataset,
    statistics,
)
from subgrid.grids import MaskedBasin, PeriodicLine
from subgrid.stepping import rollout


class EverySecond(AbstractCoarsener):
    """Keeps every second cell of a line."""

    def __call__(self, state):
        return jax.tree.map(lambda leaf: leaf[..., ::2], state)


CALM, WINDY = Tracer(MaskedBasin(WATER, 10.0)), Tracer(MaskedBasin(WATER, 10.0), 0.05)
CASES = {
    "line": (SMALL["line"], Advection(PeriodicLine(8, 2 * np.pi)), EverySecond()),
    "nine": (Nine(SMALL["nine"].domain), Nine(SMALL["nine"].domain.at(4)), None),
    "basin": (WINDY, CALM, KeptVariables.between(WINDY, CALM)),
}


def made(folder, name, **changes):
    fine, coarse, coarsener = CASES[name]
    given = {
        "system": fine,
        "coarse_systems": {8: coarse},
        "coarseners": {8: coarsener},
        "dt": 0.1,
        "trajectories": 2,
        "spinup_steps": 3,
        "frames": 5,
        "save_every": 2,
        "seed": 1,
        "segment_frames": 2,
    }
    return generate(folder / "train.zarr", **(given | changes)).path


@pytest.mark.parametrize("name", ["line", "basin"])
def test_frames_targets_and_windows_of_any_domain(name, tmp_path):
    path = made(tmp_path, name)
    _, coarse, _ = CASES[name]
    (variable,) = coarse.variables
    data = open_dataset(path, 8).load()
    assert data[variable.name].dims == ("trajectory", "time", *coarse.domain.dims)
    found = statistics(path, 8)[variable.name]
    assert found.mean.shape == ()
    np.testing.assert_allclose(found.mean, data[variable.name].mean(), atol=1e-6)
    windows = Windows(path, 8, (variable.name, f"{variable.name}_forcing"), 2)
    batch = windows.batch([0, 1])
    assert batch[variable.name].shape == (2, 3, *coarse.domain.shape)
    np.testing.assert_allclose(windows.batch([0, 1])["start_time"], [0.5, 0.7])


def test_nine_variables_have_statistics_by_channel(tmp_path):
    class Corner(AbstractCoarsener):
        def __call__(self, state):
            return jax.tree.map(lambda a: a[..., :4, :4] if a.ndim else a, state)

    path = made(tmp_path, "nine", coarseners={8: Corner()})
    found = statistics(path, 8)
    shapes = {name: found[name].mean.shape for name in "adi"}
    assert shapes == {"a": (3,), "d": (), "i": ()}
    assert Samples(path, 8, ("a", "i")).batch([0, 1])["i"].shape == (2,)
    starts = choose_starts(path, 8, 2, 3)
    following = Following(path, 8, NAMES, starts, 3)
    assert {name: v.shape[2:] for name, v in following[:, :].items() if name in "adi"} == {
        "a": (3, 4, 4),
        "d": (4, 4),
        "i": (),
    }


def test_what_drives_a_system_is_kept_beside_its_states(tmp_path):
    path = made(tmp_path, "basin", coarse_systems={8: WINDY})
    data = open_dataset(path, 8).load()
    time = data["time"].values
    np.testing.assert_allclose(time, [0.5, 0.7, 0.9, 1.1, 1.3])
    assert data["east"].attrs["units"] == "s-1"
    wind = 0.05 * np.sin(time)[:, None, None] * np.ones(WATER.shape)
    np.testing.assert_allclose(data["east"][0], wind, rtol=1e-5)
    np.testing.assert_array_equal(data["c_forcing"], 0)  # the coarse system is driven likewise
    # frames are those of a run that is given the same wind
    first, later = (jnp.asarray(data["c"].values[0, i]) for i in (0, 1))
    blown = [WINDY.forcing_at(np.float32(t)) for t in (0.5, 0.6)]
    given = jax.tree.map(lambda *parts: jnp.stack(parts), *blown)
    run = rollout(WINDY.model(0.1), WINDY.State(first), 2, 2, forcing=given)
    np.testing.assert_allclose(run.states.c[0], later, atol=1e-6)  # float32


def test_the_target_holds_the_wind_that_the_coarse_system_lacks(tmp_path):
    data = open_dataset(made(tmp_path, "basin"), 8).load()
    state = jax.tree.map(jnp.asarray, WINDY.State(data["c"].values[1, 2]))
    time = np.float32(data["time"].values[2])
    missing = WINDY.tendency(state, WINDY.forcing_at(time)).c - CALM.tendency(state).c
    np.testing.assert_allclose(data["c_forcing"][1, 2], missing, atol=1e-6)  # float32
    assert float(np.abs(missing).max()) > 1e-3


def test_a_killed_generation_of_a_driven_system_has_the_same_bits(tmp_path, monkeypatch):
    from subgrid.data.trajectory import _Run

    whole = tmp_path / "whole"
    whole.mkdir()
    made(whole, "basin")
    save, calls = _Run._save, []

    def dying(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        save(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(_Run, "_save", dying)
        with pytest.raises(KeyboardInterrupt):
            made(tmp_path, "basin")
    a, b = (open_dataset(made(f, "basin"), 8).load() for f in (tmp_path, whole))
    assert a.identical(b)
