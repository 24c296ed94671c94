"""Who does the tasks of a run: this process, several of them, or a Dask cluster."""

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

from subgrid.computing import settings, threads
from subgrid.data import dask_map, process_map
from subgrid.errors import ConfigError
from subgrid.experiment.folder import RunFolder
from subgrid.experiment.progress import Progress, Work
from subgrid.experiment.remote import (
    Result,
    Stopped,
    end_call,
    followed,
    make_room,
    run_here,
    run_there,
)
from subgrid.experiment.task import Task
from subgrid.numbers import whole_number

_AT_ONCE = 1000  # tasks given to a cluster, whose scheduler knows how many it can do

Map = Callable[..., Any]
Begin = Callable[[Task], None]
Done = Callable[[Task, Mapping[str, Any] | None, Mapping[str, Any]], None]


class Workers:
    """Does tasks, each when those that it needs are done; this one in this process, in turn."""

    def do(
        self, tasks: Sequence[Task], folder: RunFolder, progress: Progress, begin: Begin, done: Done
    ) -> None:
        """Do the tasks, which are in an order in which they can be done.

        `begin` and `done`, the latter with the notes and the environment, are called in this
        thread. If a task raises, or at an interrupt, the others stop; then that is raised.
        """
        for task in tasks:
            begin(task)
            done(task, *run_here(task, folder, progress, map, settings()))
            make_room()


class ParallelWorkers(Workers):
    """Does `count` tasks at once.

    `over_tasks`, `over_parts`: open a map over the processes that do tasks, and over those that do
    the parts of one; `stack` closes them. They differ in their threads: a trajectory is done best
    by one thread, while a network's sums have other last bits on another number than here.
    """

    def __init__(
        self,
        count: int,
        over_tasks: Callable[[], contextlib.AbstractContextManager[Map]],
        over_parts: Callable[[], contextlib.AbstractContextManager[Map]],
        stack: contextlib.ExitStack,
    ):
        self._count, self._stack = count, stack
        self._tasks = _on_first_call(over_tasks, stack)
        self._parts = _on_first_call(over_parts, stack)

    def do(
        self, tasks: Sequence[Task], folder: RunFolder, progress: Progress, begin: Begin, done: Done
    ) -> None:
        """Do the tasks, those at once that do not wait for each other; see `Workers.do`."""
        if len(tasks) == 1 and tasks[0].where == "here":  # an interrupt ends it at once
            begin(tasks[0])
            return done(tasks[0], *run_here(tasks[0], folder, progress, self._parts, settings()))
        shared, left, running = _Shared(progress), list(tasks), {}
        with followed(folder, shared) as call, ThreadPoolExecutor(_AT_ONCE) as pool:
            try:
                while left or running:
                    for task in self._ready(left, list(running.values())):
                        begin(task)
                        left.remove(task)
                        future = pool.submit(self._run, task, folder, shared, call, settings())
                        running[future] = task
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        done(running.pop(future), *future.result())
            except BaseException as error:
                shared.stopped.set()
                end_call(folder, call)
                self.close(error)
                _wait_for_end(running)
                raise

    def _ready(self, left: Sequence[Task], running: Sequence[Task]) -> list[Task]:
        """Return the tasks that can begin now."""
        if any(task.where == "alone" for task in running):
            return []
        unfinished = {task.name for task in (*left, *running)}
        ready = [t for t in left if not any(need.name in unfinished for need in t.needs)]
        in_company = [task for task in ready if task.where != "alone"]
        if not in_company:
            return [] if running else ready[:1]
        free = self._count - sum(task.where == "worker" for task in running)
        workers = [task for task in in_company if task.where == "worker"]
        return [*(task for task in in_company if task.where == "here"), *workers[: max(free, 0)]]

    def _run(
        self, task: Task, folder: RunFolder, shared: Progress, call: str, values: Mapping[str, Any]
    ) -> Result:
        if task.where == "here":
            return run_here(task, folder, shared, self._parts, values)
        (result,) = self._tasks(run_there, [(task, folder, call, values)])
        return result

    def close(self, error: BaseException | None = None) -> None:
        """End the processes; at once if there is an error."""
        if error is None:
            return self._stack.close()
        with contextlib.suppress(type(error)):
            self._stack.__exit__(type(error), error, error.__traceback__)


def _on_first_call(
    open_map: Callable[[], contextlib.AbstractContextManager[Map]], stack: contextlib.ExitStack
) -> Map:
    """Return a map over processes that are started when it is first called."""
    lock, opened = threading.Lock(), []

    def mapped(function: Callable[[Any], Any], jobs: Iterable[Any]) -> Iterator[Any]:
        with lock:
            if not opened:
                opened.append(stack.enter_context(open_map()))
        return opened[0](function, jobs)

    return mapped


@contextlib.contextmanager
def open_workers(workers: int = 1, dask: str | None = None) -> Iterator[Workers]:
    """Give the workers of a run.

    `workers`: that many processes do its tasks, and the trajectories of the truth in as many of one
    thread each (1: this one does all); `dask`: the cluster whose scheduler has this address does
    them instead. Raises ConfigError for a number below 1, a missing package, or an address that
    does not answer.
    """
    workers = whole_number("workers", workers)
    if dask is None and workers == 1:
        yield Workers()
        return
    stack = contextlib.ExitStack()
    if dask is not None:
        cluster = contextlib.nullcontext(stack.enter_context(_cluster(dask)))
        several = ParallelWorkers(_AT_ONCE, lambda: cluster, lambda: cluster, stack)
    else:
        alike = threads()  # as many as here: the same bits
        several = ParallelWorkers(
            workers, lambda: process_map(workers, alike), lambda: process_map(workers), stack
        )
    try:
        yield several
    except BaseException as error:
        several.close(error)
        raise
    several.close()


class _Shared(Progress):
    """A display that several threads tell to, one at a time; it stops them once `stopped`."""

    def __init__(self, progress: Progress):
        self.stopped = threading.Event()
        self._progress, self._lock = progress, threading.Lock()

    def note(self, text: str) -> None:
        """Pass the line on."""
        with self._lock:
            self._progress.note(text)

    def task(self, label: str, total: int, unit: str = "steps", first: str = "") -> Work:
        """Begin work that tells through this."""
        with self._lock:
            work = self._progress.task(label, total, unit, first)
        work.progress = self
        return work

    def show(self, task: Work, finished: bool) -> None:
        """Pass on how far some work is, or end the thread."""
        if self.stopped.is_set():
            raise Stopped
        with self._lock:
            self._progress.show(task, finished)


def _wait_for_end(futures: Iterable[Future]) -> None:
    """Wait until nothing runs, whatever interrupts: the locks of the run are free after it."""
    futures = list(futures)
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
