"""Tasks in other processes: how one runs there, and how this one follows how far it is.

A worker appends what it tells to a file in the run folder, which reaches any process and any
cluster that sees the run. It also stops there: once the folder of a call is gone nobody waits for
its tasks, and they end when they next tell something.
"""

import contextlib
import gc
import json
import shutil
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax

from subgrid import locks
from subgrid.computing import under
from subgrid.experiment.folder import RunFolder
from subgrid.experiment.progress import Progress, Work
from subgrid.experiment.task import Context, Task
from subgrid.provenance import environment

PLACE = ".tasks"  # in a run folder
_MANY_MAPS = 20_000  # leaves room for what two networks compile meanwhile
_EVERY = 0.3  # seconds from line to line of a task, and from look to look


Result = tuple[Mapping[str, Any] | None, Mapping[str, Any]]


class Stopped(BaseException):
    """Ends a task whose result is not wanted any more; no `except Exception` keeps it."""


def run_here(
    task: Task, folder: RunFolder, progress: Progress, mapped: Any, values: Mapping[str, Any]
) -> Result:
    """Do a task in this process; return its notes and the environment in which it was done.

    `values`: the settings of JAX, which a thread or a worker starts without.
    """
    with under(values):
        return task.run(Context(folder, progress, mapped)), environment()


def run_there(job: tuple[Task, RunFolder, str, Mapping[str, Any]]) -> Result:
    """Do a task in a worker: the task, the run, the call for which it tells, the settings of JAX.

    On a cluster, a worker that nobody can stop may still be at it for an earlier call: this one
    waits until that has noticed.
    """
    task, folder, call, values = job
    place, name = folder.path / PLACE, task.name.replace("/", "+")
    progress = FileProgress(place / call / f"{name}.jsonl")
    while (lock := locks.take(place / f"{name}.lock", patience=1.0)) is None:
        progress.say("waits")
    try:
        with lock:
            return run_here(task, folder, progress, map, values)
    finally:
        make_room()


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


def call_of(folder: RunFolder) -> str:
    """Return the name of a new call, under whose folder the workers tell; older ones end."""
    place, call = folder.path / PLACE, uuid.uuid4().hex
    if place.is_dir():
        for entry in place.iterdir():
            if entry.is_dir():
                end_call(folder, entry.name)
    (place / call).mkdir(parents=True)
    return call


def end_call(folder: RunFolder, call: str) -> None:
    """Let whoever is still at work for a call stop."""
    place = folder.path / PLACE / call
    over = place.with_suffix(".over")
    with contextlib.suppress(FileNotFoundError):
        place.rename(over)  # at once: a file that comes meanwhile would keep the folder
    shutil.rmtree(over, ignore_errors=True)


class FileProgress(Progress):
    """Tells what a task does to a file; raises Stopped where its folder is gone."""

    def __init__(self, file: Path):
        self._file, self._count, self._last = file, 0, 0.0

    def say(self, *line: Any) -> None:
        """Append a line, with one write, so that a reader sees it whole or not at all."""
        try:
            with open(self._file, "ab", buffering=0) as stream:
                stream.write(json.dumps(line).encode() + b"\n")
        except FileNotFoundError:
            raise Stopped from None

    def note(self, text: str) -> None:
        """Tell a line of news."""
        self.say("note", text)

    def task(self, label: str, total: int, unit: str = "steps", first: str = "") -> Work:
        """Begin work of known length."""
        work = super().task(label, total, unit, first)
        work.handle, self._count = self._count, self._count + 1
        self.say("task", label, total, unit, first)
        return work

    def show(self, task: Work, finished: bool) -> None:
        """Tell how far some work is, not too often."""
        now = time.monotonic()
        if finished or now - self._last > _EVERY:
            self._last = now
            self.say("show", task.handle, task.done, task.remark, finished)


class _Follower:
    """Passes on to a display what the tasks of a call tell in their files."""

    def __init__(self, place: Path, progress: Progress):
        self._place, self._progress = place, progress
        self._read: dict[Path, int] = {}
        self._works: dict[tuple[Path, int], Work] = {}

    def look(self) -> None:
        """Pass on what is new."""
        for file in sorted(self._place.glob("*.jsonl")):
            with open(file, "rb") as stream:
                stream.seek(self._read.get(file, 0))
                text = stream.read()
            whole = text[: text.rfind(b"\n") + 1]
            self._read[file] = self._read.get(file, 0) + len(whole)
            for line in whole.splitlines():
                self._pass_on(file, *json.loads(line))

    def _pass_on(self, file: Path, kind: str, *said: Any) -> None:
        if kind == "note":
            self._progress.note(*said)
        elif kind == "task":
            number = sum(known == file for known, _ in self._works)
            self._works[file, number] = self._progress.task(*said)
        elif kind == "show":
            number, done, remark, finished = said
            work = self._works[file, number]
            work.remark = remark
            work.finish() if finished else work.update(done, remark)


@contextlib.contextmanager
def followed(folder: RunFolder, progress: Progress) -> Iterator[str]:
    """Give the name of a call whose tasks are shown by `progress` as long as the block runs."""
    call = call_of(folder)
    place, over = folder.path / PLACE / call, threading.Event()
    follower = _Follower(place, progress)

    def follow() -> None:
        with contextlib.suppress(Stopped):  # the display is not wanted any more
            while not over.wait(_EVERY):
                follower.look()
            follower.look()

    thread = threading.Thread(target=follow, name="follow tasks", daemon=True)
    thread.start()
    try:
        yield call
        over.set()
        thread.join()
        shutil.rmtree(folder.path / PLACE, ignore_errors=True)
    finally:
        over.set()
        end_call(folder, call)
