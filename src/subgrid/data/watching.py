"""Tells how far the trajectories of a generation are while they run elsewhere."""

import contextlib
import threading
from collections.abc import Callable, Iterator

from subgrid.data.records import Progress, Records
from subgrid.errors import CorruptFileError

_POLL = 0.5  # seconds between two looks


@contextlib.contextmanager
def watched(
    records: Records, indices: list[int], steps: int, progress: Callable[[Progress], None] | None
) -> Iterator[None]:
    """Call `progress` from a thread with whatever changed, as long as the block runs.

    The trajectories note how far they are in small files: that reaches any process or cluster. An
    error of `progress`, by which a run may be stopped, ends the thread and is raised after the
    block, where the caller sees it.
    """
    if progress is None or not indices:
        yield
        return
    shown: dict[int, Progress] = {}
    stop = threading.Event()
    failed: list[BaseException] = []

    def look() -> None:
        for index in indices:
            if index in shown and shown[index].phase in ("done", "failed"):
                continue
            now = _now(records, index, steps)
            if now is not None and shown.get(index) != now:
                shown[index] = now
                progress(now)

    def watch() -> None:
        try:
            while not stop.wait(_POLL):
                look()
        except BaseException as error:  # what ends a run is no Exception, as Ctrl-C is none
            failed.append(error)

    thread = threading.Thread(target=watch, daemon=True, name="progress")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        if not failed:
            look()
    if failed:
        raise failed[0]


def _now(records: Records, index: int, steps: int) -> Progress | None:
    try:
        result = records.result(index)
    except CorruptFileError:  # raised, with its reason, where the results are collected
        return None
    if result is None:
        return records.progress(index)
    phase = "failed" if result.failed else "done"
    return Progress(index, phase, steps, steps, result.attempts)
