"""Who does the work of a stage: this process, several, threads of it, or a Dask cluster."""

import contextlib
import gc
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import jax

from subgrid.computing import settings, under
from subgrid.data import dask_map, process_map
from subgrid.errors import ConfigError
from subgrid.experiment.progress import Progress, Task
from subgrid.numbers import whole_number

_MANY_MAPS = 20_000  # leaves room for what two networks compile meanwhile

Map = Callable[..., Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Workers:
    """What a stage has to work with.

    `map`: like the built-in one, over trajectories. `count`: how many networks are trained or
    tested at once. These share this process, with a thread each: a small network leaves a core idle
    between its operations, and the bits do not depend on what else is running.
    """

    map: Map = map
    count: int = 1

    def do(self, works: Sequence[Callable[[Progress], T]], progress: Progress) -> list[T]:
        """Do all works, `count` at once, and return their results in order.

        Each is given the progress display to tell to. If one raises, or at an interrupt, the others
        stop when they next tell how far they are; then that is raised.
        """
        # a thread of its own starts without what is set for this one
        works = [partial(_do, work, settings()) for work in works]
        if min(self.count, len(works)) < 2:
            return [work(progress) for work in works]
        shared = _Shared(progress)
        with ThreadPoolExecutor(self.count) as pool:
            futures = [pool.submit(work, shared) for work in works]
            try:
                for future in wait(futures, return_when=FIRST_EXCEPTION).done:
                    future.result()
                return [future.result() for future in futures]
            except BaseException:
                shared.stopped.set()
                _wait_for_end(futures)
                raise


def make_room() -> None:
    """Let go of compiled programs where they take much of the memory maps a process may have.

    Every program that XLA compiles on a CPU maps some; Linux ends a process that asks for more than
    65530 (vm.max_map_count), which some hundred networks reach.
    """
    try:
        with open("/proc/self/maps", "rb") as stream:
            count = sum(1 for _ in stream)
    except OSError:  # no such system
        return
    if count > _MANY_MAPS:
        jax.clear_caches()
        gc.collect()


def _do(work: Callable[[Progress], T], values: Mapping[str, Any], progress: Progress) -> T:
    with under(values):
        result = work(progress)
    make_room()
    return result


@contextlib.contextmanager
def open_workers(workers: int = 1, dask: str | None = None) -> Iterator[Workers]:
    """Give the workers of a run.

    `workers`: trajectories are simulated by that many processes of one thread each (1: by this
    one), and that many networks are trained or tested at once; `dask`: trajectories are simulated
    by the cluster whose scheduler has this address instead. Raises ConfigError for a number below
    1, a missing package, or an address that does not answer.
    """
    workers = whole_number("workers", workers)
    if dask is not None:
        with _cluster(dask) as mapped:
            yield Workers(mapped, workers)
    elif workers == 1:
        yield Workers()
    else:
        with process_map(workers) as mapped:
            yield Workers(mapped, workers)


class _Stopped(BaseException):
    """Ends a thread whose result is not wanted any more; no `except Exception` keeps it."""


class _Shared(Progress):
    """A display that several threads tell to, one at a time; it stops them once `stopped`."""

    def __init__(self, progress: Progress):
        self.stopped = threading.Event()
        self._progress, self._lock = progress, threading.Lock()

    def note(self, text: str) -> None:
        """Pass the line on."""
        with self._lock:
            self._progress.note(text)

    def task(self, label: str, total: int, unit: str = "steps", first: str = "") -> Task:
        """Begin a task that tells through this."""
        with self._lock:
            task = self._progress.task(label, total, unit, first)
        task.progress = self
        return task

    def show(self, task: Task, finished: bool) -> None:
        """Pass on how far a task is, or end the thread."""
        if self.stopped.is_set():
            raise _Stopped
        with self._lock:
            self._progress.show(task, finished)


def _wait_for_end(futures: Sequence[Future]) -> None:
    """Wait until nothing runs, whatever interrupts: the locks of the run are free after it."""
    for future in futures:
        future.cancel()
    while True:
        with contextlib.suppress(KeyboardInterrupt):
            wait(futures)
            return


@contextlib.contextmanager
def _cluster(address: str) -> Iterator[Map]:
    try:
        from distributed import Client

        client = Client(address, timeout="20s")
    except ImportError as error:
        raise ConfigError("--dask needs more packages: pip install 'subgrid[dask]'") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"--dask {address}: no scheduler answers there: {error}") from error
    with client, dask_map(client) as mapped:
        yield mapped
