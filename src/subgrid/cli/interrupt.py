"""Stops a run at Ctrl-C or SIGTERM, even where the exception that says so gets lost."""

import contextlib
import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any

_PATIENCE = 1.0  # seconds
_SAME_PRESS = 0.25  # seconds in which a second signal is the same: some wrappers pass it on again
_INTERRUPTED = 130
_STOPPING = (
    "\nstopping after the present step; what is finished is kept. Ctrl-C again stops at once\n"
)
_STOPPED = "\nstopped at once; what is finished is kept: run the same command again to go on\n"
_SHOW_CURSOR = "\x1b[?25h"  # progress bars hide it


class Interrupts:
    """Raises KeyboardInterrupt in the main thread at SIGINT and SIGTERM: `with Interrupts(): ...`.

    An exception that happens to be raised inside a callback of another library (a destructor, a
    hook of the compiler) is lost there, and the run would go on. So the signal is repeated every
    second until the block ends, which raises it once more if it got lost until then, and the trace
    of the lost one is not shown. SIGTERM is what schedulers send first. The first signal is
    answered at once by a line on standard error. A second ends the process with 130, as a kill
    would: whatever is written here survives one. Does nothing outside the main thread, as in a
    notebook's server.
    """

    def __init__(self) -> None:
        self._over = threading.Event()
        self._began: float | None = None
        self._own = False  # the next signal is a repeated one
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Interrupts":
        self._hook, sys.unraisablehook = sys.unraisablehook, self._show_lost
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, raised: type[BaseException] | None, *_: object) -> None:
        self._over.set()
        sys.unraisablehook = self._hook
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._began is not None and raised is None:  # or a script would go on to its next one
            raise KeyboardInterrupt

    def _handle(self, number: int, frame: FrameType | None) -> None:
        own, self._own = self._own, False
        if self._began is None:
            self._began = time.monotonic()
            _write(_STOPPING)
            threading.Thread(target=self._repeat, args=(number,), daemon=True).start()
        elif not own and time.monotonic() - self._began > _SAME_PRESS:
            _end_at_once()
        raise KeyboardInterrupt

    def _show_lost(self, lost: Any) -> None:
        if not issubclass(lost.exc_type, KeyboardInterrupt):
            self._hook(lost)

    def _repeat(self, number: int) -> None:
        while not self._over.wait(_PATIENCE):
            self._own = True
            signal.pthread_kill(threading.main_thread().ident or 0, number)  # ends waits, too


def _end_at_once() -> None:
    """End this process and those that work for it, without unwinding."""
    _write((_SHOW_CURSOR if os.isatty(2) else "") + _STOPPED)
    if "multiprocessing" in sys.modules:
        import multiprocessing

        for child in multiprocessing.active_children():
            child.kill()
    os._exit(_INTERRUPTED)


def _write(text: str) -> None:
    """Write to standard error as a signal handler may: not through Python's buffers."""
    with contextlib.suppress(OSError):
        os.write(2, text.encode())
