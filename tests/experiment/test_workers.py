"""Tasks done at once: in an order that fits, the first error raised, the others stopped."""

import threading
import time
from contextlib import ExitStack, nullcontext

import pytest
from experiment_runs import SMALLEST, Notes

from subgrid.config import load_config
from subgrid.errors import ConfigError
from subgrid.experiment import Progress, RunFolder, Task, remote, workers
from subgrid.experiment.remote import Stopped
from subgrid.experiment.task import graph
from subgrid.experiment.workers import ParallelWorkers, Workers

COUNTS = [1, 2, 5]


def task(name, run=lambda context: None, **others):
    return Task(name=name, stage="train", settings={}, run=run, **others)


def in_threads(count):
    """Return workers whose tasks run in threads of this process."""
    if count == 1:
        return Workers()
    return ParallelWorkers(count, *2 * [lambda: nullcontext(map)], ExitStack())


class Run:
    """Does tasks and keeps what was told of them."""

    def __init__(self, path, count, tasks, progress=None):
        self.events = []
        folder = RunFolder.create(path / "run", load_config(SMALLEST))
        in_threads(count).do(
            tasks,
            folder,
            progress or Progress(),
            lambda one: self.events.append(("begin", one.name)),
            lambda one, notes, where: self.events.append(("done", one.name, notes)),
        )


@pytest.mark.parametrize("count", COUNTS)
def test_a_task_waits_for_those_that_it_needs(tmp_path, count):
    def slow(context):
        time.sleep(0.05)
        return {"told": 1}

    first = task("first", slow)
    second = task("second", slow, inputs=(first,))
    third = task("third", after=(second,))
    events = Run(tmp_path, count, [first, second, third]).events
    assert [event[:2] for event in events] == [
        (what, name) for name in ("first", "second", "third") for what in ("begin", "done")
    ]
    assert events[1] == ("done", "first", {"told": 1})


@pytest.mark.parametrize("where", ["worker", "here"])
def test_tasks_that_do_not_wait_for_each_other_run_at_once(tmp_path, where):
    meeting = threading.Barrier(2, timeout=20)  # breaks if only one gets there

    def meet(context):
        meeting.wait()

    Run(tmp_path, 2, [task(name, meet, where=where) for name in "ab"])


def test_a_task_that_measures_time_runs_alone(tmp_path):
    running, most = [], []

    def work(context):
        running.append(1)
        time.sleep(0.05)
        most.append(len(running))
        running.pop()

    tasks = [task("a", work, where="alone"), *(task(name, work) for name in "bcd")]
    events = Run(tmp_path, 3, tasks).events
    assert most[-1] == 1
    assert max(most) > 1
    assert events[-2:] == [("begin", "a"), ("done", "a", None)]


def test_one_at_a_time_stays_in_this_thread(tmp_path):
    found = []
    Run(tmp_path, 1, [task("a", lambda context: found.append(threading.current_thread()))])
    assert found == [threading.current_thread()]


def endless(stopped):
    def do(context):
        work = context.progress.task("endless", 10**9)
        try:
            for step in range(10**9):
                time.sleep(0.001)
                work.update(step)
        finally:
            stopped.set()

    return do


@pytest.mark.parametrize("where", ["worker", "here"])
def test_an_error_in_one_stops_the_others_and_is_raised(tmp_path, where):
    stopped, begun = threading.Event(), []

    def fails(context):
        time.sleep(0.05)
        raise FloatingPointError("of the second")

    tasks = [
        task("first", endless(stopped), where=where),
        task("second", fails, where=where),
        task("third", lambda context: begun.append(3), after=()),
    ]
    with pytest.raises(FloatingPointError, match="of the second"):
        Run(tmp_path, 2, [*tasks[:2], task("last", begun.append, inputs=(tasks[1],))])
    assert stopped.is_set()
    assert begun == []
    assert not list((tmp_path / "run/.tasks").glob("*/*"))


def test_an_interrupt_stops_all_before_it_is_raised(tmp_path, monkeypatch):
    stopped = [threading.Event(), threading.Event()]
    real, calls = workers.wait, []

    def interrupted(futures, **options):
        calls.append(options)
        if len(calls) < 4:  # also while it waits for the end, as Ctrl-C is repeated
            raise KeyboardInterrupt
        return real(futures, **options)

    monkeypatch.setattr(workers, "wait", interrupted)
    tasks = [task(f"{number}", endless(event)) for number, event in enumerate(stopped)]
    with pytest.raises(KeyboardInterrupt):
        Run(tmp_path, 2, tasks)
    assert len(calls) == 4


def test_what_a_worker_tells_is_shown_here(tmp_path):
    def tells(context):
        context.progress.note("a note")
        work = context.progress.task("some work", 7, "samples", "compiling")
        work.update(3, "half")
        work.finish()

    class Shown(Notes):
        def show(self, task, finished):
            self.lines.append((task.label, task.done, finished))

    shown = Shown()
    Run(tmp_path, 2, [task("a", tells), task("b")], shown)
    assert shown.lines[0] == "a note"
    assert shown.lines[-1] == ("some work", 7, True)
    assert not (tmp_path / "run/.tasks").exists()


def test_a_task_that_nobody_waits_for_stops_when_it_next_tells_something(tmp_path):
    from subgrid.experiment.remote import FileProgress, call_of

    folder = RunFolder.create(tmp_path / "run", load_config(SMALLEST))
    told = FileProgress(folder.path / ".tasks" / call_of(folder) / "a.jsonl")
    told.note("still at it")
    call_of(folder)  # the run was killed, and another begins
    with pytest.raises(Stopped):
        told.note("still at it")


@pytest.mark.parametrize(("many", "cleared"), [(0, 3), (10**6, 0)])
def test_compiled_programs_are_let_go_after_a_task_where_they_are_many(
    tmp_path, monkeypatch, many, cleared
):
    calls = []
    monkeypatch.setattr(remote, "_MANY_MAPS", many)
    monkeypatch.setattr(remote.jax, "clear_caches", lambda: calls.append(1))
    Run(tmp_path, 1, [task(name) for name in "abc"])
    assert len(calls) == cleared


def test_a_task_whose_input_is_missing_is_named():
    first = task("first")
    second = task("second", inputs=(first,))
    with pytest.raises(ConfigError, match="task 'second' needs 'first', which is not among"):
        graph([second])
    with pytest.raises(ConfigError, match="task 'second' needs 'first'"):
        graph([second, first])
    with pytest.raises(ConfigError, match="two tasks called 'first'"):
        graph([first, task("first")])
    with pytest.raises(ConfigError, match="stage 'dream' is none of simulate"):
        graph([Task(name="a", stage="dream", settings={}, run=first.run)])
