"""Progress that is told from a thread, and what becomes of an error of whoever is told."""

import threading

import pytest

from subgrid.data import watching
from subgrid.data.records import Progress, Records


class Enough(BaseException):
    """Ends a run."""


class Steps(Records):
    """One trajectory that is always a step further."""

    def __init__(self):
        self.steps = 0

    def result(self, index):
        return None

    def progress(self, index):
        self.steps += 1
        return Progress(index, "production", self.steps, 100, 1)


def test_an_error_of_the_callback_ends_the_thread_and_is_raised_after_the_block(monkeypatch):
    monkeypatch.setattr(watching, "_POLL", 0.001)
    told = threading.Event()

    def progress(now):
        told.set()
        raise Enough

    # an error left in a thread would be a warning, which this suite makes an error
    with pytest.raises(Enough), watching.watched(Steps(), [0], 100, progress):
        assert told.wait(60)
    assert not [thread for thread in threading.enumerate() if thread.name == "progress"]


def test_an_error_of_the_block_is_the_one_that_is_raised(monkeypatch):
    monkeypatch.setattr(watching, "_POLL", 0.001)
    seen = []
    with (
        pytest.raises(ValueError, match="of the block"),
        watching.watched(Steps(), [0], 100, seen.append),
    ):
        raise ValueError("of the block")
    assert seen  # the last look
