"""Works done at once: results in order, the first error raised, the others stopped."""

import threading
import time

import pytest

from subgrid.experiment import Progress, workers
from subgrid.experiment.workers import Workers


class Recorder(Progress):
    def __init__(self):
        self.lines = []

    def note(self, text):
        self.lines.append(text)

    def show(self, task, finished):
        self.lines.append(f"{task.label} {task.done}")


@pytest.mark.parametrize("count", [1, 2, 5])
def test_results_come_in_the_order_of_the_works(count):
    recorder = Recorder()

    def work(number):
        def do(progress):
            time.sleep(0.02 * (3 - number))
            task = progress.task(f"task {number}", 7)
            task.finish()
            return number

        return do

    assert Workers(count=count).do([work(n) for n in range(3)], recorder) == [0, 1, 2]
    assert sorted(recorder.lines) == ["task 0 7", "task 1 7", "task 2 7"]


def test_two_works_run_at_once():
    meeting = threading.Barrier(2, timeout=20)  # breaks if only one gets there
    Workers(count=2).do([lambda progress: meeting.wait()] * 2, Progress())


def test_one_at_a_time_stays_in_this_thread():
    found = Workers().do([lambda progress: threading.current_thread()] * 2, Progress())
    assert found == [threading.current_thread()] * 2


def endless(stopped):
    def do(progress):
        task = progress.task("endless", 10**9)
        try:
            for step in range(10**9):
                time.sleep(0.001)
                task.update(step)
        finally:
            stopped.set()

    return do


def test_an_error_in_one_stops_the_others_and_is_raised():
    stopped, begun = threading.Event(), []

    def fails(progress):
        time.sleep(0.05)
        raise FloatingPointError("of the second")

    works = [endless(stopped), fails, lambda progress: begun.append("third")]
    with pytest.raises(FloatingPointError, match="of the second"):
        Workers(count=2).do(works, Progress())
    assert stopped.is_set()


def test_an_interrupt_stops_all_before_it_is_raised(monkeypatch):
    stopped = [threading.Event(), threading.Event()]
    from subgrid.experiment import workers

    real, calls = workers.wait, []

    def interrupted(futures, **options):
        calls.append(options)
        if len(calls) < 4:  # also while it waits for the end, as Ctrl-C is repeated
            raise KeyboardInterrupt
        return real(futures, **options)

    monkeypatch.setattr(workers, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Workers(count=2).do([endless(event) for event in stopped], Progress())
    assert len(calls) == 4
    assert all(event.is_set() for event in stopped)


@pytest.mark.parametrize(("many", "cleared"), [(0, 3), (10**6, 0)])
def test_compiled_programs_are_let_go_after_a_work_where_they_are_many(monkeypatch, many, cleared):
    calls = []
    monkeypatch.setattr(workers, "_MANY_MAPS", many)
    monkeypatch.setattr(workers.jax, "clear_caches", lambda: calls.append(1))
    assert Workers(count=2).do([lambda progress: 7] * 3, Progress()) == [7, 7, 7]
    assert len(calls) == cleared
