"""Loads the batches of coming updates in a thread while the device computes."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any


class Prefetch:
    """Iterates over load(first), load(first + 1), ... load(last - 1), some ahead of their use.

    The order and the values do not depend on timing, so a resumed run sees the same batches. At
    most `depth` batches wait in memory. `waited` is the time [s] for which the consumer had to wait
    for a batch: near zero where the loader is not the bottleneck. An error in `load` is raised
    where its batch is due.
    """

    def __init__(self, load: Callable[[int], Any], first: int, last: int, depth: int = 2):
        self.waited = 0.0
        self._load = load
        self._numbers = iter(range(first, last))
        self._depth = depth

    def __iter__(self) -> Iterator[Any]:
        pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="prefetch")
        waiting = deque()
        try:
            for number in self._numbers:
                waiting.append(pool.submit(self._load, number))
                if len(waiting) > self._depth:
                    yield self._take(waiting)
            while waiting:
                yield self._take(waiting)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _take(self, waiting: deque) -> Any:
        started = time.perf_counter()
        batch = waiting.popleft().result()
        self.waited += time.perf_counter() - started
        return batch
