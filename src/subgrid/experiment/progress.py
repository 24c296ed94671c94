"""How far the work is: what the stages tell, and plain lines that show it."""

import sys
import time
from typing import Any, TextIO

from subgrid.files import printable

COMPILING = "compiling"  # what comes first in most tasks, and is silent


class Progress:
    """Takes news of the work and shows nothing; the base of everything that does.

    A stage calls `note` for a fact worth a line and `task` for work of known length; what comes
    `first` there and takes a while is said at once, such as "compiling".
    """

    def note(self, text: str) -> None:
        """Take one line of news."""

    def task(self, label: str, total: int, unit: str = "steps", first: str = "") -> "Work":
        """Begin a task of `total` units."""
        return Work(self, label, total, unit, first)

    def show(self, task: "Work", finished: bool) -> None:
        """Show how far a task is."""

    def close(self) -> None:
        """Stop showing; called once at the end, also after an error."""


class Work:
    """One piece of work of known length: `update(done, note)` as it goes on, then `finish()`."""

    def __init__(self, progress: Progress, label: str, total: int, unit: str, first: str = ""):
        self.progress, self.label, self.total, self.unit = progress, label, total, unit
        self.done, self.remark = 0, first
        self.handle: Any = None
        self.began = time.monotonic()
        self._first_done, self._advances = 0, 0

    def update(self, done: int, remark: str = "") -> None:
        """Take the number of units done so far and a remark such as the current loss."""
        if self._advances < 2:  # neither what an earlier process did nor compiling tells the pace
            if self._advances == 0 or done != self.done:
                self._advances += 1
            self._first_done, self.began = done, time.monotonic()
        self.done, self.remark = done, remark
        self.progress.show(self, finished=False)

    def advance(self, units: int = 1, remark: str = "") -> None:
        """Take that `units` more are done."""
        self.update(self.done + units, remark)

    def finish(self) -> None:
        """Take that the task is complete."""
        self.done = self.total
        if self._advances == 0:  # what came first is over as well
            self.remark = ""
        self.progress.show(self, finished=True)

    def seconds_left(self) -> float | None:
        """Return the time left at the pace so far, or None before there is one."""
        worked = self.done - self._first_done
        if worked <= 0 or self.done >= self.total:
            return None
        return (time.monotonic() - self.began) * (self.total - self.done) / worked


class Lines(Progress):
    """Shows progress as plain lines: one when a task begins and ends, and one every few seconds."""

    def __init__(self, stream: TextIO | None = None, every: float = 10.0):
        self.stream = sys.stderr if stream is None else stream
        self.every = every

    def note(self, text: str) -> None:
        """Print the line."""
        print(printable(text), file=self.stream, flush=True)

    def task(self, label: str, total: int, unit: str = "steps", first: str = "") -> Work:
        """Print that the task begins, and what with."""
        self.note(f"{label}: {total} {unit}{f', {first}' if first else ''}")
        task = super().task(label, total, unit, first)
        task.handle = time.monotonic()  # of its last line
        return task

    def show(self, task: Work, finished: bool) -> None:
        """Print how far the task is, unless its last line is younger than `every` seconds."""
        now = time.monotonic()
        if not finished and now - task.handle < self.every:
            return
        task.handle = now
        self.note(f"{task.label}: {describe(task)}")


def describe(task: Work) -> str:
    """Return how far a task is, how long is left and its remark, in one line."""
    parts = [f"{task.done}/{task.total} {task.unit}"]
    left = task.seconds_left()
    if left is not None:
        parts.append(f"{duration(left)} left")
    if task.remark:
        parts.append(task.remark)
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """Return a time span such as "8 s", "3 min 20 s" or "2 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
