"""Stops a run at Ctrl-C or SIGTERM, even where the exception that says so gets lost."""

import signal
import sys
import threading
from types import FrameType
from typing import Any

_PATIENCE = 1.0  # seconds


class Interrupts:
    """Raises KeyboardInterrupt in the main thread at SIGINT and SIGTERM: `with Interrupts(): ...`.

    An exception that happens to be raised inside a callback of another library (a destructor, a
    hook of the compiler) is lost there, and the run would go on. So the signal is repeated every
    second until the block ends, which raises it once more if it got lost until then, and the trace
    of the lost one is not shown. SIGTERM is what schedulers send first. Does nothing outside the
    main thread, as in a notebook's server.
    """

    def __init__(self) -> None:
        self._over = threading.Event()
        self._began = False
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
        if self._began and raised is None:  # or a script would go on to its next command
            raise KeyboardInterrupt

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self._began:
            self._began = True
            threading.Thread(target=self._repeat, args=(number,), daemon=True).start()
        raise KeyboardInterrupt

    def _show_lost(self, lost: Any) -> None:
        if not issubclass(lost.exc_type, KeyboardInterrupt):
            self._hook(lost)

    def _repeat(self, number: int) -> None:
        while not self._over.wait(_PATIENCE):
            signal.pthread_kill(threading.main_thread().ident or 0, number)  # ends waits, too
