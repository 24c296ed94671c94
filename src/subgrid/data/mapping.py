"""Where the jobs of a generation run: in processes of this machine, or on a Dask cluster.

Each context manager gives a function that is called like the built-in `map` and yields results in
the order of the jobs.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from subgrid import computing
from subgrid.errors import SubgridError
from subgrid.numbers import whole_number

Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]

# a process started by spawn looks for modules in the current folder first; it gets the parent's
# path soon, but imports before that
_OF_WORKERS = {"PYTHONSAFEPATH": "1"}


def _of_computing(threads: int) -> dict[str, str]:
    """Return the variables that a worker's XLA reads when it first computes.

    NPROC is what it takes for the number of cores. Two processes of one thread each get more out of
    two cores than one process of two threads, for small grids do not divide well. Several processes
    may share one GPU.
    """
    return {
        "NPROC": str(threads),
        "OMP_NUM_THREADS": str(threads),
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    }


@contextlib.contextmanager
def process_map(workers: int, threads: int = 1) -> Iterator[Map]:
    """Give a map over `workers` processes with `threads` computing threads each.

    The processes are started by spawn, so the caller's main module must be importable (guard its
    code by `if __name__ == "__main__":`) and jobs and results must be picklable. They end with the
    block, and also if this process is killed. An error in a job is raised where its result is due.
    Raises ValueError for fewer than one worker and SubgridError if a process dies.
    """
    workers = whole_number("workers", workers)
    before = set(multiprocessing.active_children())

    def over_processes(function: Callable[[Any], Any], jobs: Iterable[Any]) -> Iterator[Any]:
        try:
            yield from pool.map(function, jobs)
        except BrokenProcessPool as error:
            if not started.is_set():
                raise SubgridError(
                    "no worker process could start; what it printed is above. A worker imports the "
                    "script that starts it, so a script must call `process_map`, or a run with "
                    'workers, under `if __name__ == "__main__":`. A notebook or the command line '
                    "needs none. Else memory may be short: try fewer workers"
                ) from error
            raise SubgridError(
                "a worker process died, perhaps killed for want of memory. What it saved remains: "
                "run the same again, with fewer workers if memory was short"
            ) from error

    with _environment(_OF_WORKERS):  # as long as the pool may start processes
        context = multiprocessing.get_context("spawn")
        started = context.Event()
        pool = ProcessPoolExecutor(
            workers,
            mp_context=context,
            initializer=_start_worker,
            initargs=(computing.for_workers(), _of_computing(threads), started),
        )
        try:
            yield over_processes
        except BaseException:
            for process in set(multiprocessing.active_children()) - before:
                process.terminate()
            raise
        finally:
            pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def dask_map(cluster: Any) -> Iterator[Map]:
    """Give a map over the workers of a Dask cluster.

    `cluster`: the scheduler's address ("tcp://host:8786"), a cluster object or a
    `distributed.Client`. The workers need the same package and see the store under the same path;
    start them with one thread per process. Jobs that have not begun when the block ends are
    cancelled; Dask cannot stop the others, but a trajectory that no generation waits for stops by
    itself at its next segment, and the same generation run again waits for that. Raises
    ImportError if `distributed` is not installed (extra `dask`).
    """
    from distributed import Client

    own = not isinstance(cluster, Client)
    client = Client(cluster) if own else cluster
    futures: list[Any] = []

    def over_cluster(function: Callable[[Any], Any], jobs: Iterable[Any]) -> Iterator[Any]:
        # not pure: a job writes files, so its result may not be taken from an earlier, equal one
        asked = client.map(function, list(jobs), pure=False)
        futures.extend(asked)
        for future in asked:
            yield future.result()

    try:
        yield over_cluster
    finally:
        client.cancel(futures)
        if own:
            client.close()


def _start_worker(settings: dict[str, Any], variables: dict[str, str], started: Any) -> None:
    """Take over settings, leave Ctrl-C to the parent, and end when the parent does."""
    started.set()
    os.environ.update(variables)
    computing.take_over(settings)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True, name="follow parent").start()


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Set environment variables for processes started in the block; restore them after it."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
