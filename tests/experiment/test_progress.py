"""What progress tells, and that a long task is never silent."""

import pytest

from subgrid.experiment import Lines
from subgrid.experiment import progress as module
from subgrid.experiment.progress import duration


class Clock:
    """A clock that a test turns."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    found = Clock()
    monkeypatch.setattr(module, "time", found)
    return found


def test_lines_come_at_the_start_the_end_and_every_few_seconds_between(clock, capsys):
    task = Lines(every=10.0).task("simulate", 100)
    for done in range(0, 101, 2):
        clock.now += 1.0
        task.update(done, "fine")
    task.finish()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "simulate: 100 steps"
    assert lines[-1] == "simulate: 100/100 steps, fine"
    assert len(lines) == 2 + 5  # 51 seconds of updates, one line per 10


def test_the_time_left_counts_neither_an_earlier_process_nor_compiling(clock):
    task = module.Progress().task("train", 100, "updates")
    clock.now = 5.0
    task.update(40)  # where an earlier process stopped
    assert task.seconds_left() is None
    clock.now = 25.0
    task.update(40, "validation loss 0.4")  # compiled as well, and no further
    assert task.seconds_left() is None
    clock.now = 65.0
    task.update(41)  # a minute of compiling
    assert task.seconds_left() is None
    clock.now = 67.0
    task.update(42)
    assert task.seconds_left() == pytest.approx(2.0 * 58)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.4, "59 s"), (200.0, "3 min 20 s"), (7500.0, "2 h 5 min")],
)
def test_durations_read_like_a_person_would_say_them(seconds, text):
    assert duration(seconds) == text
