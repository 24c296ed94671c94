"""What progress tells, and that a long task is never silent."""

import pytest

from subgrid.experiment import Lines
from subgrid.experiment import progress as module
from subgrid.experiment.progress import duration
from subgrid.recipes.making import Watch
from subgrid.training import Event


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


def test_what_comes_first_is_said_at_once_and_forgotten_at_the_end(clock, capsys):
    task = Lines().task("train", 100, "updates", "compiling")
    assert capsys.readouterr().err == "train: 100 updates, compiling\n"
    task.finish()
    assert capsys.readouterr().err == "train: 100/100 updates\n"


class Shown(module.Progress):
    """A display that keeps all it is told."""

    def __init__(self):
        self.remarks, self.notes = [], []

    def note(self, text):
        self.notes.append(text)

    def show(self, task, finished):
        self.remarks.append(task.remark)


def record(update, **further):
    further = {"best_update": update, "skipped": 0, **further}
    return {"update": update, "validation": {"loss": 0.5}, **further}


def test_a_training_compiles_until_its_first_update():
    shown = Shown()
    watch = Watch(shown, "psm4")
    watch(Event("start", 0, 4))
    watch(Event("record", 0, 4, "", record(0)))
    watch(Event("update", 1, 4))
    watch(Event("update", 4, 4))
    watch(Event("record", 4, 4, "", record(4)))
    watch(Event("end", 4, 4))
    first, second, *rest = shown.remarks
    assert first == "compiling"
    assert second == "validation loss 0.5, compiling"
    assert set(rest) == {"validation loss 0.5"}
    assert not shown.notes


def test_skips_are_shown_and_what_learned_nothing_is_said_at_the_end():
    shown = Shown()
    watch = Watch(shown, "psm4")
    for event in (
        Event("start", 0, 4, "stage_1"),
        Event("update", 4, 4, "stage_1"),
        Event("record", 4, 4, "stage_1", record(4, best_update=0, skipped=3)),
        Event("end", 4, 4, "stage_1"),
    ):
        watch(event)
    assert shown.remarks[-1] == "validation loss 0.5, 3 updates skipped"
    assert len(shown.notes) == 2
    assert all(note.startswith("train psm4 stage_1: ") for note in shown.notes)
    assert "those it began with" in shown.notes[0]
    assert "3 of its 4 updates were skipped" in shown.notes[1]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.4, "59 s"), (200.0, "3 min 20 s"), (7500.0, "2 h 5 min")],
)
def test_durations_read_like_a_person_would_say_them(seconds, text):
    assert duration(seconds) == text
