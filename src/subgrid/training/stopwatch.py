"""Times the updates of a training run, and nothing else."""

import math
import time


class Stopwatch:
    """Measures the mean wall time of an update, without what lies between `pause` and `go_on`."""

    def __init__(self):
        self._seconds, self._updates = 0.0, 0
        self._since: tuple[float, int] | None = None

    def go_on(self, update: int) -> None:
        """Count from now, at which `update` updates are finished."""
        self._since = time.perf_counter(), update

    def pause(self, update: int) -> None:
        """Count the updates since `go_on`; does nothing before the first."""
        if self._since is not None:
            self._seconds += time.perf_counter() - self._since[0]
            self._updates += update - self._since[1]

    @property
    def per_update(self) -> float:
        """Return the mean time of an update [s], nan if none was counted."""
        return self._seconds / self._updates if self._updates else math.nan
