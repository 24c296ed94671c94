"""Generations in other processes: same bits, real kills, a Dask cluster."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import CancelledError
from pathlib import Path

import jax
import pytest
from small_generation import settings

from subgrid import computing
from subgrid.data import dask_map, generate, process_map
from subgrid.data.records import Records
from subgrid.data.trajectory import _Run
from subgrid.errors import SubgridError
from subgrid.systems import TwoLayerQG

SCRIPT = Path(__file__).parent / "small_generation.py"


def test_two_processes_give_the_same_bits(plain, tmp_path):
    with process_map(2) as over_processes:
        found = generate(tmp_path / "train.zarr", **settings(), map=over_processes)
    assert found.simulated == 2
    assert found.content_hash == plain.content_hash


@pytest.mark.slow
def test_a_worker_of_one_thread_gives_the_bits_of_all_threads(tmp_path):
    """At 128², where XLA runs transforms side by side on its threads: here all, there one."""
    truth = TwoLayerQG(128)
    given = settings(
        truth, sizes=(64,), dt=1800.0, spinup_steps=4, frames=2, save_every=1, trajectories=1
    )
    here = generate(tmp_path / "here" / "train.zarr", **given)
    with process_map(2) as over_processes:
        there = generate(tmp_path / "there" / "train.zarr", **given, map=over_processes)
    assert there.content_hash == here.content_hash


def test_worker_that_dies_is_explained():
    with process_map(1) as over_processes, pytest.raises(SubgridError, match="worker process died"):
        list(over_processes(os._exit, [3]))


def test_a_worker_runs_nothing_that_lies_in_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "pickle.py").write_text("import os\nos._exit(9)\n")
    monkeypatch.chdir(tmp_path)
    with process_map(1) as over_processes:
        assert list(over_processes(abs, [-3])) == [3]


def test_process_map_leaves_the_environment_alone():
    before = dict(os.environ)
    with process_map(1) as over_processes:
        assert list(over_processes(os.getenv, ["NPROC"])) == ["1"]
    assert dict(os.environ) == before
    with pytest.raises(ValueError, match="at least 1, got 0"), process_map(0):
        pass


def test_killed_at_random_moments_gives_the_same_bits(tmp_path):
    """Real SIGKILLs at random moments after a segment was saved, one of a worker's parent."""
    seed = random.randrange(1000)
    print("seed", seed)
    draw = random.Random(seed)
    path = tmp_path / "train.zarr"
    records = Records(path)
    kills = 0
    while kills < 3:
        process = _start(path, "in a worker" if kills == 0 else "here")
        _wait_for_progress(records, process)
        time.sleep(draw.uniform(0, 0.2))
        process.kill()
        kills += process.wait() == -signal.SIGKILL
        if process.returncode == 0:
            break
    assert kills > 0
    assert _start(path, "here").wait() == 0
    whole = generate(tmp_path / "whole" / "train.zarr", **settings(frames=60, trajectories=1))
    found = generate(path, **settings(frames=60, trajectories=1))
    assert found.simulated == 0
    assert found.content_hash == whole.content_hash


@pytest.mark.slow
def test_dask_cluster_gives_the_same_bits(plain, tmp_path):
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as cluster,
        dask_map(cluster.scheduler_address) as over_cluster,
    ):
        found = generate(tmp_path / "train.zarr", **settings(), map=over_cluster)
    assert found.content_hash == plain.content_hash


def test_dask_cluster_of_threads(plain, tmp_path):
    distributed = pytest.importorskip("distributed")
    with (
        distributed.Client(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0"
        ) as client,
        dask_map(client) as over_cluster,
    ):
        found = generate(tmp_path / "train.zarr", **settings(), map=over_cluster)
    assert found.content_hash == plain.content_hash


def test_dask_cluster_used_twice_gives_the_same_bits_and_simulates_twice(plain, tmp_path):
    """Equal jobs again on the same workers: nothing may be taken from the first time's results."""
    distributed = pytest.importorskip("distributed")
    path = tmp_path / "train.zarr"
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0"
    ) as cluster:
        for _ in range(2):
            with dask_map(cluster) as over_cluster:
                for _ in range(2):
                    found = generate(path, **settings(), map=over_cluster)
                    assert (found.simulated, found.content_hash) == (2, plain.content_hash)
                    shutil.rmtree(path)
                    shutil.rmtree(Records(path).folder)


def test_stopped_dask_generation_stops_its_worker_and_goes_on(tmp_path, monkeypatch):
    """Ctrl-C here while a worker is at a long trajectory, then the same again on another worker."""
    distributed = pytest.importorskip("distributed")
    path = tmp_path / "train.zarr"
    given = settings(frames=60, trajectories=1)
    written, stopped, ended, waits = threading.Event(), threading.Event(), [], []
    save, check = _Run._save, _Run._check_that_it_is_asked_for

    def slow_save(self, *segment):
        save(self, *segment)
        if segment[1] == 3:
            written.set()
            time.sleep(0.5)

    def noted_check(self):
        try:
            check(self)
        except SubgridError as error:
            ended.append(str(error))
            stopped.set()
            raise

    def interrupted_map(map):
        def over_cluster(function, jobs):
            waited = map(function, jobs)

            def wait():
                with contextlib.suppress(CancelledError):
                    next(waited)

            waits.append(threading.Thread(target=wait))
            waits[0].start()
            assert written.wait(60)
            raise KeyboardInterrupt

        return over_cluster

    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0"
        ) as cluster,
        monkeypatch.context() as patch,
    ):
        patch.setattr(_Run, "_save", slow_save)
        patch.setattr(_Run, "_check_that_it_is_asked_for", noted_check)
        with pytest.raises(KeyboardInterrupt), dask_map(cluster) as over_cluster:
            generate(path, **given, map=interrupted_map(over_cluster))
        assert not (Records(path).folder / "call").exists()
        with dask_map(cluster) as over_cluster:
            found = generate(path, **given, map=over_cluster)
        assert stopped.wait(60)
        waits[0].join()
    assert len(ended) == 1
    assert "is not waited for any more" in ended[0]
    whole = generate(tmp_path / "whole" / "train.zarr", **given)
    assert found.content_hash == whole.content_hash


def _start(path: Path, where: str) -> subprocess.Popen:
    environment = os.environ | {
        "JAX_COMPILATION_CACHE_DIR": str(jax.config.jax_compilation_cache_dir),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    return subprocess.Popen([sys.executable, str(SCRIPT), str(path), where], env=environment)


def _wait_for_progress(records: Records, process: subprocess.Popen) -> None:
    """Return when the process has got on by a segment, or has ended."""
    before = records.progress(0)
    while process.poll() is None and records.progress(0) == before:
        time.sleep(0.01)


def test_workers_take_over_every_setting_that_decides_a_result():
    told = "__import__('subgrid.computing').computing.for_workers()"
    with (
        jax.default_prng_impl("rbg"),
        jax.threefry_partitionable(False),
        jax.enable_x64(True),
        jax.default_matmul_precision("highest"),
        jax.numpy_dtype_promotion("strict"),
        process_map(1) as over_processes,
    ):
        here = computing.for_workers()
        [there] = over_processes(eval, [told])
    assert there == here
    assert there["jax_default_prng_impl"] == "rbg"


def test_a_script_without_a_main_guard_is_told_of_it(tmp_path):
    script = tmp_path / "unguarded.py"
    script.write_text(
        "from subgrid.data import process_map\n"
        "with process_map(1) as over_processes:\n"
        "    print(list(over_processes(abs, [-1])))\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert "no worker process could start" in last
    assert 'under `if __name__ == "__main__":`' in last
