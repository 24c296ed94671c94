"""A generation: what it makes, that it resumes to the same bits, and what it refuses."""

import contextlib
import errno
import gc
import io
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
import weakref
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_generation import settings

from subgrid.coarsening import subgrid_forcing
from subgrid.data import (
    Progress,
    Samples,
    attributes,
    generate,
    open_dataset,
    records,
    shards,
    trajectory,
    trajectory_key,
)
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
from subgrid.provenance import load_arrays, maker
from subgrid.stepping import driver, rollout
from subgrid.systems import TwoLayerQG, rounded_down


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


def _too_long():
    """Return arguments of a run whose step is right for the background flow alone."""
    system = TwoLayerQG(16, upper_velocity=0.1)
    return settings(system, dt=1e5, trajectories=1, spinup_steps=90, frames=10)


@pytest.mark.slow
def test_safe_dt_is_told_after_a_blow_up_and_is_safe(tmp_path):
    path, given = tmp_path / "train.zarr", _too_long()
    with pytest.raises(UnstableRunError, match=r"smaller dt \(it is 100000 s; the larg") as caught:
        generate(path, **given)
    told = float(re.search(r"safe one is (\S+) s", str(caught.value))[1])
    noted = [entry["safe_dt"] for entry in json.loads(attributes_of(path)["blow_ups"])]
    assert len(noted) == 6
    assert told == rounded_down(min(noted))
    # the developed flow allows 25000 s; the last healthy states 2000 to 5000 s
    assert 5e3 < told <= 5e4
    system = given["system"]
    for index in range(2):
        start = system.initial_state(key=trajectory_key(4, "train", index, 0))
        assert int(rollout(system.model(told), start, 2000, 2000).blew_up_at) == -1


def test_safe_dt_does_not_depend_on_kills(tmp_path, monkeypatch):
    """An attempt that ended before the kill keeps what it told."""
    whole, path = tmp_path / "whole" / "train.zarr", tmp_path / "train.zarr"
    whole.parent.mkdir()
    with pytest.raises(UnstableRunError):
        generate(whole, **_too_long())
    save, calls = _Run._save, []

    def dying(*arguments):
        calls.append(1)
        if len(calls) == 25:  # about seventeen segments make an attempt
            raise Killed
        save(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(_Run, "_save", dying)
        with pytest.raises(Killed):
            generate(path, **_too_long())
    _, notes = load_arrays(Records(path).work(0) / "restart.safetensors")
    assert len(json.loads(notes["safe_dts"])) == 1
    with pytest.raises(UnstableRunError):
        generate(path, **_too_long())
    assert attributes_of(path)["blow_ups"] == attributes_of(whole)["blow_ups"]


def test_safe_dt_of_a_measured_flow_is_that_of_its_highest_speed(tmp_path):
    with pytest.raises(UnstableRunError, match="largest safe one is 120000 s"):
        generate(tmp_path / "train.zarr", **settings(dt=1e9, trajectories=1))


class Silent(Moody):
    """Does not tell which step is stable."""

    @property
    def largest_dt(self):
        raise AttributeError

    def initial_state(self, *, key):
        return jax.tree.map(lambda leaf: leaf * 1e9, TwoLayerQG.initial_state(self, key=key))


def test_system_that_does_not_know_its_limit_gets_no_number(tmp_path):
    path = tmp_path / "train.zarr"
    with pytest.raises(UnstableRunError, match=r"smaller dt \(it is 7200 s\)\."):
        generate(path, **settings(Silent(16), trajectories=1))
    assert json.loads(attributes_of(path)["blow_ups"])[0]["safe_dt"] is None


@pytest.mark.parametrize("leftover", ["planted", "killed"])
def test_nothing_of_a_work_in_progress_is_left(plain, tmp_path, monkeypatch, leftover):
    path = tmp_path / "train.zarr"
    records = Records(path)
    if leftover == "killed":  # after the result was written, before the work folder was removed
        with monkeypatch.context() as patch:
            patch.setattr(Records, "remove_work", _die)
            with pytest.raises(Killed):
                generate(path, **settings())
        assert records.result(0) is not None
        assert records.work(0).is_dir()
    else:
        generate(path, **settings())
        records.work(1).mkdir()
        (records.work(1) / "scale_8.q.0").write_bytes(b"frames")
        for name in (".00000.json.3fq_a01z", ".call.subgrid-0a1b2c3d", "00001.lock"):
            (records.folder / name).write_text("")
        for folder in (path, path / "scale_8", path / "scale_8" / "q"):
            (folder / "zarr.0123.partial").write_text("{")  # as Zarr names it
    assert generate(path, **settings()).content_hash == plain.content_hash
    assert sorted(entry.name for entry in records.folder.iterdir()) == [
        "00000.json",
        "00001.json",
        "lock",
    ]
    assert _names(path) == _names(plain.path)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["train.records", "train.zarr"]


def test_going_on_under_other_versions_is_recorded_and_told(plain, tmp_path, monkeypatch, caplog):
    path = tmp_path / "train.zarr"
    real = maker()
    older = real | {"jax": "0.0.1"}
    with monkeypatch.context() as patch:
        patch.setattr(attributes, "maker", lambda: older)
        generate(path, **settings(trajectories=1))
        generate(path, **settings(trajectories=1))
    assert not caplog.records
    assert json.loads(attributes_of(path)["versions"]) == [older]
    generate(path, **settings(trajectories=1))  # nothing to do: nothing to tell
    assert json.loads(attributes_of(path)["versions"]) == [older]
    assert not caplog.records
    found = generate(path, **settings())
    assert json.loads(attributes_of(path)["versions"]) == [older, real]
    (told,) = caplog.messages
    assert f"begun with jax 0.0.1 and goes on with jax {real['jax']}" in told
    assert "may differ in rounding" in told
    generate(path, **settings(trajectories=3))
    assert len(json.loads(attributes_of(path)["versions"])) == 2
    assert len(caplog.records) == 1
    assert found.content_hash == plain.content_hash  # it was the same version after all


def test_other_versions_of_what_decides_no_number_are_not_told(tmp_path, monkeypatch, caplog):
    path = tmp_path / "train.zarr"
    with monkeypatch.context() as patch:
        patch.setattr(attributes, "maker", lambda: maker() | {"xarray": "0.0.1"})
        generate(path, **settings(trajectories=1))
    generate(path, **settings(trajectories=2))
    assert not caplog.records


@pytest.mark.slow
def test_frames_of_two_segments_at_most_are_in_memory(plain, tmp_path, monkeypatch):
    """With a writer that is slower than the computation; segments are counted while they live."""
    alive: list[weakref.ref] = []
    at_begin, at_write = [], []
    computing = threading.Event()
    advance, append = driver.advance_segment, trajectory.ShardWriter.append

    def living():
        gc.collect()
        return sum(reference() is not None for reference in alive)

    def watched_advance(*arguments):
        at_begin.append(living())  # and one more is about to be computed
        computing.set()
        carry, seen = advance(*arguments)
        if seen is not None:
            alive.append(weakref.ref(seen[8]["q"]))
        return carry, seen

    def slow_append(self, frames):
        # let the next segment begin first, and give a third one the time to
        computing.wait(0.2)
        computing.clear()
        at_write.append(living())
        append(self, frames)

    monkeypatch.setattr(driver, "advance_segment", watched_advance)
    monkeypatch.setattr(trajectory.ShardWriter, "append", slow_append)
    given = settings(frames=12, segment_frames=2, trajectories=1)
    generate(tmp_path / "train.zarr", **given)
    assert len(alive) == 6
    assert max(at_begin) == 1  # the one being written: so writing and computing do overlap
    assert max(at_write) == 2


class _FullFile(io.FileIO):
    """A file on a disk that takes a few more bytes, then none: partly written, then ENOSPC."""

    room = 0

    def write(self, data):
        taken = min(len(data), _FullFile.room)
        if taken == 0 and len(data):
            raise OSError(errno.ENOSPC, "No space left on device")
        _FullFile.room -= taken
        return super().write(memoryview(data)[:taken])


def _open_on_a_full_disk(path, mode="r", *arguments, **options):
    if mode not in ("w+b", "r+b"):
        return open(path, mode, *arguments, **options)
    return io.BufferedRandom(_FullFile(path, mode))


@pytest.mark.parametrize("operation", ["fsync", "write"])
def test_full_disk_is_explained_and_resumed(plain, tmp_path, monkeypatch, operation):
    calls = {"count": 0}
    fsync = os.fsync

    def full(descriptor):
        calls["count"] += 1
        if calls["count"] > 9:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    with monkeypatch.context() as patch:
        if operation == "fsync":
            patch.setattr(os, "fsync", full)
        else:
            _FullFile.room = 3000  # five to six frames of 500 bytes
            patch.setattr(shards, "open", _open_on_a_full_disk, raising=False)
        with pytest.raises(OSError, match=r"no space left while writing trajectory 0 .*again"):
            generate(tmp_path / "train.zarr", **settings())
    summary = generate(tmp_path / "train.zarr", **settings())
    assert summary.content_hash == plain.content_hash
    assert _bytes(summary.path) == _bytes(plain.path)


def test_a_small_disk_that_is_really_full_is_explained_and_resumed(tmp_path):
    """A tmpfs of 1 MiB, filled up to 120 KiB (an empty store takes 92), then emptied."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a tmpfs is not permitted here")
    given = settings(frames=60, trajectories=1)  # 60 KiB of frames and two restart files at a time
    try:
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(shutil.disk_usage(disk).free - 120 * 1024))
        with pytest.raises(OSError, match="no space left while writing trajectory 0") as caught:
            generate(disk / "train.zarr", **given)
        assert caught.value.errno == errno.ENOSPC
        ballast.unlink()
        summary = generate(disk / "train.zarr", **given)
        whole = generate(tmp_path / "train.zarr", **given)
        assert _bytes(summary.path) == _bytes(whole.path)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_ctrl_c_again_waits_for_the_segment_that_is_being_written(plain, tmp_path, monkeypatch):
    """Ctrl-C while the second segment is computed, then two more signals in the wait that follows.

    The slow writer sends these: where the main thread waits, no library's callback can lose them.
    """
    path = tmp_path / "train.zarr"
    lock = Records(path).folder / "00000.lock"
    interrupted = threading.Event()
    calls, told = [], []
    advance, save = driver.advance_segment, _Run._save

    def interrupted_advance(*given):
        calls.append(given)
        if len(calls) == 2:
            interrupted.set()
            raise KeyboardInterrupt
        return advance(*given)

    def slow_save(self, *given):
        interrupted.wait()
        for _ in range(2):
            time.sleep(0.3)  # for the main thread to get to its wait
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        time.sleep(0.3)
        with pytest.raises(RunLockedError), locked(lock, "trajectory 0"):
            pass
        save(self, *given)
        told.append("saved")

    with monkeypatch.context() as patch:
        patch.setattr(records, "_PATIENCE", 0.0)
        patch.setattr(driver, "advance_segment", interrupted_advance)
        patch.setattr(_Run, "_save", slow_save)
        with pytest.raises(KeyboardInterrupt):
            generate(path, **settings())
        assert told == ["saved"]
    with locked(lock, "trajectory 0"):  # given up by now
        pass
    assert generate(path, **settings()).content_hash == plain.content_hash
    assert _bytes(path) == _bytes(plain.path)


def test_a_share_holds_the_lock_after_its_block(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "_PATIENCE", 0.0)
    with locked(tmp_path / "lock", "test") as lock:
        share = lock()
    with share, pytest.raises(RunLockedError), locked(tmp_path / "lock", "test"):
        pass
    with locked(tmp_path / "lock", "test"):
        pass


def test_damaged_restart_file_is_named(tmp_path):
    path = tmp_path / "train.zarr"

    def only_begin(function, jobs):
        with contextlib.closing(_Run(jobs[0], Records(jobs[0].store))) as run:
            run._begin()
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
        ({"seed": 2**32}, "seed is 4294967296; .* from 0 to 4294967295"),  # would be seed 0
        ({"seed": -1}, "seed is -1; .* from 0 to 4294967295"),
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


def _die(*arguments, **options):
    raise Killed


def _names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def _bytes(store: Path) -> dict[str, bytes]:
    return {
        path.relative_to(store).as_posix(): path.read_bytes()
        for path in sorted(store.rglob("*"))
        if path.is_file()
    }
