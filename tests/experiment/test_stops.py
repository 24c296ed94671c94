"""Runs that are killed, interrupted or started twice end with the same bits."""

import contextlib
import random
import signal
import subprocess
import time

import pytest
from experiment_runs import SMALLEST, digests, finish, signal_when, start

STAGES = ("simulate", "train", "evaluate", "report")
SHORTEST = 0.2  # seconds: every stage takes much longer, if only by its compilations or figures


def test_a_run_killed_in_every_stage_ends_with_the_same_bits(finished, tmp_path):
    folder = tmp_path / "run"
    moments = random.Random(11)
    for stage in STAGES:
        process = start("run", SMALLEST, "--out", folder)
        delay = moments.uniform(0.0, SHORTEST)
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
        process = start("run", SMALLEST, "--out", folder, "--workers", str(1 + seed % 2))
        text = moments.choice(("run folder", "begins"))
        code, _ = signal_when(process, text, signal.SIGKILL, moments.uniform(0.0, 12.0))
        codes.append(code)
    assert -signal.SIGKILL in codes  # the first at least: a whole run takes longer than 12 s
    _assert_ends_like(folder, finished)


@pytest.mark.slow
def test_a_run_interrupted_in_every_stage_ends_with_the_same_bits(finished, tmp_path):
    folder = tmp_path / "run"
    moments = random.Random(5)
    for stage in STAGES:
        process = start("run", SMALLEST, "--out", folder, "--workers", "2")
        delay = moments.uniform(0.0, SHORTEST)
        code, output = signal_when(process, f"{stage}: begins", signal.SIGINT, delay)
        assert code == 130, f"{stage}: {output}"
        assert "run the same command again" in output
        assert "Traceback" not in output
    _assert_ends_like(folder, finished)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own, 64 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def _fill(disk):
    """Write a file until the disk is full and return it."""
    ballast = disk / "ballast"
    with contextlib.suppress(OSError), open(ballast, "wb", buffering=0) as stream:
        while True:
            stream.write(bytes(2**20))
    with contextlib.suppress(OSError), open(ballast, "ab", buffering=0) as stream:
        while True:
            stream.write(bytes(512))
    return ballast


@pytest.mark.slow
def test_a_disk_that_fills_in_every_stage_costs_nothing_finished(finished, small_disk):
    folder = small_disk / "run"
    for stage in STAGES:
        process = start("run", SMALLEST, "--out", folder)
        output = ""
        for line in process.stdout:
            output += line
            if f"{stage}: begins" in line:
                break
        ballast = _fill(small_disk)
        code, rest = finish(process)
        ballast.unlink()
        assert code == 1, f"{stage}: {output}{rest}"
        assert "No space left on device" in rest
        assert "free some space and run the same command again" in rest
        assert "Traceback" not in rest
    _assert_ends_like(folder, finished)


@pytest.mark.slow
def test_a_damaged_checkpoint_is_named_and_left_alone(tmp_path):
    folder = tmp_path / "run"
    command = ("run", SMALLEST, "--out", folder, "--set", "training.updates=2000")
    process = start(*command)
    for line in process.stdout:
        if "train: begins" in line:
            break
    while not list(folder.rglob("checkpoints/*.safetensors")):
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.communicate()
    newest = sorted(folder.rglob("checkpoints/*.safetensors"))[-1]
    content = bytearray(newest.read_bytes())
    content[-5] ^= 1
    newest.write_bytes(content)
    code, output = finish(start(*command))
    assert code == 1
    assert str(newest) in output
    assert "checksum" in output
    assert "Traceback" not in output
    assert newest.read_bytes() == content


# long enough that it cannot end by itself before a test has done what it wants
LONG = ("--set", "truth.spinup_steps=20000", "--set", "data.segment_frames=500")


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_an_interrupted_run_stops_cleanly_with_130_and_says_how_to_go_on(tmp_path, number):
    command = ("simulate", SMALLEST, "--out", tmp_path / "run", *LONG)
    code, output = signal_when(start(*command), "simulate: begins", number, 0.5)
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
