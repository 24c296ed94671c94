"""Progress for people: bars on a terminal, plain lines elsewhere."""

import contextlib
import sys
from collections.abc import Iterator

from subgrid.experiment.progress import Lines, Progress, Work, describe
from subgrid.files import printable


class Bars(Progress):
    """Shows each task as a bar of the rich library, with the time left and a remark."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as RichProgress

        self._bars = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[text]}"),
            console=Console(stderr=True),
            refresh_per_second=5,
        )
        self._bars.start()

    def note(self, text: str) -> None:
        """Print the line above the bars."""
        self._bars.console.print(printable(text), highlight=False, markup=False)

    def task(self, label: str, total: int, unit: str = "steps", first: str = "") -> Work:
        """Add a bar."""
        task = super().task(label, total, unit, first)
        task.handle = self._bars.add_task(label, total=total, text=describe(task))
        return task

    def show(self, task: Work, finished: bool) -> None:
        """Move the bar; a finished one becomes a line."""
        text = describe(task)
        if finished:
            self._bars.remove_task(task.handle)
            self.note(f"{task.label}: {text}")
        else:
            self._bars.update(task.handle, completed=task.done, text=text)

    def close(self) -> None:
        """Remove the bars."""
        self._bars.stop()


@contextlib.contextmanager
def progress_display() -> Iterator[Progress]:
    """Give the progress display that fits standard error, and close it at the end."""
    progress = Bars() if sys.stderr.isatty() else Lines()
    try:
        yield progress
    finally:
        progress.close()
