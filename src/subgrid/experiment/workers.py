"""Runs independent pieces of work here, in processes, or on a Dask cluster."""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any

from subgrid.errors import ConfigError

Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]

# one thread per worker: for ensembles, processes scale better than threads inside one run
_WORKER_ENVIRONMENT = {
    "NPROC": "1",
    "OMP_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}


@contextlib.contextmanager
def worker_map(workers: int = 1, dask: str | None = None) -> Iterator[Map]:
    """Give a `map(function, items)` that yields results as they are ready, in any order.

    `workers` = 1 runs in this process; more start that many processes of one thread each; `dask` is
    the address of a dask.distributed scheduler. The function and the items must be picklable by
    reference (a module-level function and plain data) unless all runs here. The first error stops
    the rest and is raised. Raises ConfigError for a number below 1 or an address that cannot be
    reached.
    """
    if workers < 1:
        raise ConfigError(f"--workers {workers}: must be at least 1")
    if dask is not None:
        with _dask_map(dask) as mapped:
            yield mapped
    elif workers == 1:
        yield _serial_map
    else:
        with _process_map(workers) as mapped:
            yield mapped


def _serial_map(function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
    for item in items:
        yield function(item)


@contextlib.contextmanager
def _process_map(workers: int) -> Iterator[Map]:
    context = multiprocessing.get_context("spawn")  # JAX does not survive a fork
    pool = ProcessPoolExecutor(
        workers, mp_context=context, initializer=_begin_worker, initargs=(os.getpid(),)
    )

    def mapped(function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        with _worker_environment():
            futures = [pool.submit(function, item) for item in items]
        for future in as_completed(futures):
            yield future.result()

    try:
        yield mapped
    except BaseException:
        # what a worker writes is whole or absent, so ending it in the middle loses no more than the
        # segment it was at
        processes = list((pool._processes or {}).values())
        pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()
        raise
    pool.shutdown()


@contextlib.contextmanager
def _worker_environment() -> Iterator[None]:
    """Set the variables that new worker processes inherit, and put back ours."""
    before = {name: os.environ.get(name) for name in _WORKER_ENVIRONMENT}
    flags = before["XLA_FLAGS"]
    os.environ.update(_WORKER_ENVIRONMENT)
    if flags:
        os.environ["XLA_FLAGS"] = f"{flags} {_WORKER_ENVIRONMENT['XLA_FLAGS']}"
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _begin_worker(parent: int) -> None:
    """Leave Ctrl-C to the parent, and end with it: an orphan would write next to the next run."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def _dask_map(address: str) -> Iterator[Map]:
    try:
        from distributed import Client
        from distributed import as_completed as dask_completed
    except ImportError as error:
        raise ConfigError("--dask needs the extra packages: pip install 'subgrid[dask]'") from error
    try:
        client = Client(address, timeout="20s")
    except (OSError, ValueError) as error:
        raise ConfigError(f"--dask {address}: cannot reach a scheduler there: {error}") from error

    def mapped(function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        futures = [client.submit(function, item, pure=False) for item in items]
        for future in dask_completed(futures):
            yield future.result()

    with client:
        yield mapped
