"""A generation: what it makes, that it resumes to the same bits, and what it refuses."""

import errno
import json
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_generation import settings

from subgrid.coarsening import subgrid_forcing
from subgrid.data import Progress, Samples, generate, open_dataset, records, trajectory_key
from subgrid.data.records import Records, locked
from subgrid.data.store import attributes_of
from subgrid.data.trajectory import _Run
from subgrid.errors import (
    ConfigError,
    CorruptFileError,
    RunFolderError,
    RunLockedError,
    UnstableRunError,
)
from subgrid.stepping import rollout
from subgrid.systems import TwoLayerQG


class Killed(BaseException):
    """Stands for SIGKILL at a chosen file operation."""


def test_frames_are_the_coarse_truth_and_its_forcing(plain):
    given = settings()
    system, coarse = given["system"], given["coarse_systems"][8]
    coarsener = given["coarseners"][8]
    key = trajectory_key(4, "train", 1, 0)
    truth = rollout(system.model(7200.0), system.initial_state(key=key), 24, 3)
    found = open_dataset(plain.path, 8).isel(trajectory=1)
    for frame in range(6):
        state = jax.tree.map(lambda leaf, at=frame: leaf[at + 2], truth.states)
        # the same operations in another compiled program: rounding only
        np.testing.assert_allclose(found.q[frame], coarsener(state).q, rtol=1e-5, atol=1e-12)
        forcing = subgrid_forcing(system, coarse, coarsener, state).q
        scale = float(jnp.abs(forcing).max())
        np.testing.assert_allclose(found.q_forcing[frame], forcing, atol=1e-3 * scale)
    np.testing.assert_array_equal(found.time, 7200.0 * (6 + 3 * np.arange(1, 7)))


def test_crash_at_every_file_operation_gives_the_same_bits(plain, tmp_path, monkeypatch):
    """Each run dies at its third to eighth file operation: together they die at all kinds."""
    with pytest.raises(Killed):  # the store itself is made all or nothing
        generate(tmp_path / "train.zarr", **settings(), map=_die)
    left = {"count": 0}

    def dying(operation):
        def call(*arguments):
            left["count"] -= 1
            if left["count"] == 0:
                raise Killed
            return operation(*arguments)

        return call

    monkeypatch.setattr(os, "fsync", dying(os.fsync))
    monkeypatch.setattr(os, "replace", dying(os.replace))
    deaths = 0
    while True:
        left["count"] = 3 + 5 * deaths % 6
        try:
            summary = generate(tmp_path / "train.zarr", **settings())
            break
        except Killed:
            deaths += 1
            assert deaths < 100
    assert deaths > 8
    assert summary.content_hash == plain.content_hash
    assert _bytes(summary.path) == _bytes(plain.path)


def test_second_call_keeps_what_is_there(plain):
    before = {path: path.stat().st_mtime_ns for path in plain.path.rglob("c/*/0/0/0/0")}
    again = generate(plain.path, **settings())
    assert again.simulated == 0
    assert again.content_hash == plain.content_hash
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_more_trajectories_extend_a_store(plain, tmp_path):
    first = generate(tmp_path / "train.zarr", **settings(trajectories=1))
    assert open_dataset(first.path, 8).sizes["trajectory"] == 1
    second = generate(first.path, **settings(trajectories=2))
    assert second.simulated == 1
    assert second.content_hash == plain.content_hash
    assert _bytes(second.path) == _bytes(plain.path)
    fewer = generate(first.path, **settings(trajectories=1))
    assert (fewer.trajectories, fewer.simulated) == (2, 0)


def test_another_config_is_refused(copy):
    with pytest.raises(RunFolderError, match="another config: save_every differs"):
        generate(copy, **settings(save_every=4))
    changed = TwoLayerQG(16, bottom_drag=1e-7)
    with pytest.raises(RunFolderError, match="system, coarse_systems differ"):
        generate(copy, **settings(changed))


def test_records_without_their_store_are_refused(copy):
    copy.rename(copy.with_name("moved.zarr"))
    with pytest.raises(RunFolderError, match="records of a store that does not exist"):
        generate(copy, **settings())


def test_splits_and_trajectories_have_streams_of_their_own(plain, tmp_path):
    keys = {
        tuple(np.asarray(jax.random.key_data(trajectory_key(*which))).tolist())
        for which in [
            (4, "train", 0, 0),
            (4, "train", 1, 0),
            (4, "train", 0, 1),
            (4, "validation", 0, 0),
            (4, "test", 0, 0),
            (5, "train", 0, 0),
        ]
    }
    assert len(keys) == 6
    other = generate(tmp_path / "validation.zarr", **settings())
    seeds = {seed for summary in (plain, other) for r in summary.results for seed in r.seeds}
    assert len(seeds) == 4


class Moody(TwoLayerQG):
    """Starts out of bounds for half of the keys."""

    def initial_state(self, *, key):
        state = super().initial_state(key=key)
        factor = jnp.where(jax.random.bernoulli(key), 1.0, 1e9)
        return jax.tree.map(lambda leaf: leaf * factor, state)


def test_blown_up_trajectory_is_retried_with_a_recorded_seed(tmp_path):
    summary = generate(tmp_path / "train.zarr", **settings(Moody(16), trajectories=3))
    attempts = [result.attempts for result in summary.results]
    expected = []
    for index in range(3):
        number = 0
        while not jax.random.bernoulli(trajectory_key(4, "train", index, number)):
            number += 1
        expected.append(number + 1)
    assert attempts == expected
    assert max(attempts) > 1
    assert summary.failed == ()
    noted = json.loads(attributes_of(summary.path)["blow_ups"])
    assert [entry["step"] for entry in noted] == [1] * summary.blow_ups
    assert bool(np.isfinite(open_dataset(summary.path, 8).q).all())


def test_trajectories_that_always_blow_up_are_reported(tmp_path):
    path = tmp_path / "train.zarr"
    with pytest.raises(UnstableRunError, match=r"all 2 trajectories blew up in each of 6"):
        generate(path, **settings(dt=1e9))
    assert attributes_of(path)["failed"] == [0, 1]
    assert bool(np.isnan(open_dataset(path, 8).q).all())
    assert len(Samples(path, 8)) == 0


def test_full_disk_is_explained_and_resumed(plain, tmp_path, monkeypatch):
    calls = {"count": 0}
    fsync = os.fsync

    def full(descriptor):
        calls["count"] += 1
        if calls["count"] > 9:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=r"no space left while writing trajectory 0 .*again"):
            generate(tmp_path / "train.zarr", **settings())
    summary = generate(tmp_path / "train.zarr", **settings())
    assert summary.content_hash == plain.content_hash


def test_damaged_restart_file_is_named(tmp_path):
    path = tmp_path / "train.zarr"

    def only_begin(function, jobs):
        _Run(jobs[0], Records(jobs[0].store))._begin()
        raise Killed

    with pytest.raises(Killed):
        generate(path, **settings(), map=only_begin)
    restart = Records(path).work(0) / "restart.safetensors"
    restart.write_bytes(restart.read_bytes()[:-7])
    with pytest.raises(CorruptFileError, match=r"00000/restart\.safetensors is truncated"):
        generate(path, **settings())


def test_two_generations_on_one_store_exclude_each_other(copy, monkeypatch):
    monkeypatch.setattr(records, "_PATIENCE", 0.1)
    with locked(Records(copy).folder / "lock", "test"), pytest.raises(RunLockedError):
        generate(copy, **settings())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": 0}, "frames must be a whole number of at least 1, got 0"),
        ({"save_every": -3}, "save_every must be a whole number of at least 1, got -3"),
        ({"trajectories": 0}, "trajectories must be a whole number of at least 1, got 0"),
        ({"dt": -1.0}, "dt must be positive"),
        ({"coarseners": {}}, "must have the same sizes"),
    ],
)
def test_bad_arguments_are_refused(tmp_path, change, message):
    with pytest.raises(ConfigError, match=message):
        generate(tmp_path / "train.zarr", **settings(**change))
    assert not (tmp_path / "train.zarr").exists()


def test_progress_tells_the_end_of_every_trajectory(tmp_path):
    told: list[Progress] = []
    generate(tmp_path / "train.zarr", **settings(), progress=told.append)
    ends = [p for p in told if p.phase == "done"]
    assert [(p.trajectory, p.steps, p.total) for p in ends] == [(0, 24, 24), (1, 24, 24)]


def test_float64_truth_is_stored_as_float32(tmp_path, float64):
    given = settings(TwoLayerQG(16, dtype=jnp.float64), trajectories=1)
    found = open_dataset(generate(tmp_path / "train.zarr", **given).path, 8)
    assert found.q.dtype == np.float32
    assert bool(np.isfinite(found.q_forcing).all())


def _die(function, jobs):
    raise Killed


def _bytes(store: Path) -> dict[str, bytes]:
    return {
        path.relative_to(store).as_posix(): path.read_bytes()
        for path in sorted(store.rglob("*"))
        if path.is_file()
    }
