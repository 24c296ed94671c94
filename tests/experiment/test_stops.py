"""Runs that are killed, interrupted or started twice end with the same bits."""

import random
import signal

import pytest
from experiment_runs import SMALLEST, digests, finish, signal_when, start

STAGES = ("simulate", "train", "evaluate", "report")


def test_a_run_killed_in_every_stage_ends_with_the_same_bits(finished, tmp_path):
    folder = tmp_path / "run"
    moments = random.Random(11)
    for stage in STAGES:
        # every stage takes longer than this, if only by its compilations
        delay = moments.uniform(0.0, 0.5)
        process = start("run", SMALLEST, "--out", folder)
        code, output = signal_when(process, f"{stage}: begins", signal.SIGKILL, delay)
        assert code == -signal.SIGKILL, f"{stage} was over before it was killed: {output}"
    _assert_ends_like(folder, finished)


def _assert_ends_like(folder, finished):
    """Run to the end and compare every result with those of the run that nobody stopped."""
    code, output = finish(start("run", SMALLEST, "--out", folder))
    assert code == 0, output
    assert digests(folder) == digests(finished)
    names = [f.relative_to(finished) for f in finished.rglob("card.md")]
    assert names
    assert all((folder / name).is_file() for name in (*names, "report.html"))
    assert not list(folder.rglob("checkpoints"))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_a_run_killed_at_random_moments_ends_with_the_same_bits(finished, tmp_path, seed):
    print(f"seed {seed}")
    folder = tmp_path / "run"
    moments = random.Random(seed)
    codes = []
    for _ in range(4):
        process = start("run", SMALLEST, "--out", folder)
        text = moments.choice(("run folder", "begins"))
        code, _ = signal_when(process, text, signal.SIGKILL, moments.uniform(0.0, 12.0))
        codes.append(code)
    assert -signal.SIGKILL in codes  # the first at least: a whole run takes longer than 12 s
    _assert_ends_like(folder, finished)


# long enough that it cannot end by itself before a test has done what it wants
LONG = ("--set", "truth.spinup_steps=20000", "--set", "data.segment_frames=500")


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_an_interrupted_run_stops_cleanly_with_130_and_says_how_to_go_on(tmp_path, number):
    command = ("simulate", SMALLEST, "--out", tmp_path / "run", *LONG)
    code, output = signal_when(start(*command), "simulate train", number, 0.5)
    assert code == 130, output
    assert "run the same command again" in output
    assert "Traceback" not in output
    code, output = finish(start(*command))
    assert code == 0, output
    assert "simulate: done" in output


def test_a_second_run_in_one_folder_is_refused_and_the_first_goes_on(tmp_path):
    command = ("simulate", SMALLEST, "--out", tmp_path / "run", *LONG)
    first = start(*command)
    try:
        while "begins" not in first.stdout.readline():
            assert first.poll() is None
        code, output = finish(start(*command))
        assert code == 1
        assert f"is in use by process {first.pid}" in output
        assert first.poll() is None
    finally:
        first.kill()
        first.communicate()
