"""Stops a run at Ctrl-C or SIGTERM, even where the exception that says so gets lost."""

import _thread
import signal
import threading
from types import FrameType

_PATIENCE = 1.0  # seconds


class Interrupts:
    """Raises KeyboardInterrupt in the main thread at SIGINT and SIGTERM until it is taken.

    An exception that happens to be raised inside a callback of another library (a destructor, a
    hook of the compiler) is printed or dropped there, and the run would go on. So the signal is
    repeated every few seconds until `taken` is called. SIGTERM is what schedulers send first.
    """

    def __init__(self) -> None:
        self._taken = threading.Event()
        self._started = False

    def install(self) -> None:
        """Take over the two signals; does nothing outside the main thread, as in a notebook."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                signal.signal(number, self._handle)

    def taken(self) -> None:
        """Take that the interruption has been noticed."""
        self._taken.set()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self._started:
            self._started = True
            threading.Thread(target=self._repeat, args=(number,), daemon=True).start()
        raise KeyboardInterrupt

    def _repeat(self, number: int) -> None:
        while not self._taken.wait(_PATIENCE):
            _thread.interrupt_main(signal.Signals(number))
