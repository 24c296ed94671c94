"""The commands that need no run, and what every command says about bad usage."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from subgrid.cli.interrupt import Interrupts

SMALLEST = Path(__file__).parents[1] / "experiment" / "smallest.toml"
TINY = ("run", "quickstart", "--profile", "tiny")


def test_help_imports_no_jax():
    # the time itself is measured in benchmarks; here only what it depends on
    code = (
        "import sys\nfrom subgrid.cli import main\nmain(['--help'])\nmain(['run', '--help'])\n"
        "heavy = {'jax', 'equinox', 'xarray', 'zarr', 'matplotlib', 'dask'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "simulate" in done.stdout
    assert "--dry-run" in done.stdout


def test_what_lies_in_the_current_folder_is_not_run(tmp_path):
    for name in ("equinox", "rich", "tomllib"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('this is not the package')\n")
    # -P: as the program `subgrid`, which Python starts without the current folder on its path
    code = "import sys; from subgrid.cli import main; sys.exit(main(['list']))"
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "smagorinsky" in done.stdout


def test_messages_do_not_steer_the_terminal(cli):
    code, _, err = cli("run", "a\x1b[2Jb.toml")
    assert code == 2
    assert "\x1b" not in err
    assert "x1b[2Jb.toml" in err


def test_version(cli):
    import subgrid

    assert cli("--version") == (0, f"{subgrid.__version__}\n", "")


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("presets", "quickstart"),
        ("systems", "qg"),
        ("closures", "smagorinsky"),
        ("networks", "psm4"),
        ("coarseners", "operator1"),
        ("targets", "step"),
        ("metrics", "spectral_error"),
        ("recipes", "architectures"),
    ],
)
def test_list_names_what_a_config_can_name(cli, kind, name):
    code, out, _ = cli("list", kind)
    assert code == 0
    rows = [line.split(maxsplit=1) for line in out.splitlines()]
    assert name in [row[0] for row in rows]
    assert all(len(row) == 2 for row in rows), "every entry says in a line what it is"


def test_new_writes_a_config_that_runs_and_never_overwrites(cli, tmp_path):
    assert cli("new", "quickstart", "mine.toml")[0] == 0
    before = (tmp_path / "mine.toml").read_text()
    code, _, err = cli("new", "quickstart", "mine.toml")
    assert code == 2
    assert "not overwritten" in err
    assert (tmp_path / "mine.toml").read_text() == before
    assert cli("cite", "mine.toml")[0] == 0


@pytest.mark.parametrize("preset", ["otness2025-architectures", "otness2025-separated"])
def test_cite_names_the_paper_of_an_experiment(cli, preset):
    code, out, _ = cli("cite", preset)
    assert code == 0
    assert "otness2025" in out


def test_cite_names_the_papers_of_what_is_used(cli):
    code, out, _ = cli("cite", "quickstart")
    assert code == 0
    for key in ("subgrid", "otness2025", "ross2023", "smagorinsky1963", "jansen2014", "pyqg"):
        assert f"{{{key}," in out


def test_doctor_tells_versions_devices_and_speed(cli):
    code, out, _ = cli("doctor")
    assert code == 0
    for word in ("python", "jax", "device 0", "memory", "disk free", "GFLOP/s", "FFT"):
        assert word in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("rnu",), "run"),
        (("run",), "SOURCE"),
        (("list", "closure"), "closures"),
        (("run", "quickstrt"), "Did you mean 'quickstart'"),
        (("run", "absent.toml"), "no config file"),
        (("run", "quickstart", "--profile", "tny"), "Did you mean 'tiny'"),
        ((*TINY, "--set", "training.updtes=3"), "Did you mean 'updates'"),
        ((*TINY, "--set", "truth.system=qq"), "unknown system 'qq'"),
        (
            (
                "run",
                "quickstart",
                "--profile",
                "tiny",
                "--set",
                "models.smagorinsky.closure=smagorinski",
            ),
            "models.smagorinsky.closure: unknown closure 'smagorinski'. Did you mean 'smagorinsky'",
        ),
        (
            (
                "run",
                "quickstart",
                "--profile",
                "tiny",
                "--set",
                "models.multiscale.networks=['psm4', 'pms4']",
            ),
            "models.multiscale.networks: unknown network 'pms4'. Did you mean 'psm4'",
        ),
        ((*TINY, "--workers", "0"), "--workers 0: must be at least 1"),
        ((*TINY, "--workers", "many"), "many"),
        (
            (*TINY, "--set", "recipe=closur"),
            "recipe: unknown recipe 'closur'. Did you mean 'closure'? Known: closure,",
        ),
        (
            ("run", SMALLEST, "--set", "truth.dt=1e7"),
            "truth.dt: got 1e+07 s, above the stability limit; the largest safe step",
        ),
        (("report", "nothing-here"), "unknown preset"),
    ],
)
def test_bad_usage_exits_with_2_and_one_clear_message(cli, arguments, message):
    code, _, err = cli(*arguments)
    assert code == 2
    assert message in " ".join(err.replace("│", " ").split())
    assert "Traceback" not in err


def test_debug_shows_the_traceback(cli):
    assert "Traceback" in cli("run", "quickstrt", "--debug")[2]


def test_a_stage_asks_for_the_stage_before_it(cli):
    code, _, err = cli("evaluate", "quickstart", "--profile", "tiny")
    assert code == 2
    assert "stage 'simulate' of runs/quickstart-tiny is not finished" in err


def test_a_full_disk_is_said_to_be_full_and_to_cost_nothing_finished(cli, monkeypatch):
    from subgrid.cli import new

    def full(path, content):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(new, "write_atomic", full)
    code, _, err = cli("new", "quickstart", "mine.toml")
    assert code == 1
    assert "No space left on device: 'mine.toml'" in err
    assert "free some space and run the same command again" in err


# by its end a block that is over at once has had no time for a repeated signal
@pytest.mark.parametrize("seconds", [30, 0])
def test_an_interrupt_lost_in_a_destructor_comes_again_and_leaves_no_trace(capsys, seconds):
    class Deaf:
        def __del__(self):
            signal.raise_signal(signal.SIGINT)

    def wait():
        with Interrupts():
            Deaf()  # destroyed at once
            time.sleep(seconds)

    began = time.monotonic()
    # a suite started in the background ignores Ctrl-C
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            wait()
    finally:
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - began < 10  # cut short by the signal that comes again
    assert "Traceback" not in capsys.readouterr().err


DEAF = """
import os, sys, time
from subgrid.cli.interrupt import Interrupts
with Interrupts():
    while True:
        try:
            print("waiting", flush=True)
            time.sleep(60)
        except KeyboardInterrupt:
            print("deaf", flush=True)
"""


def test_the_first_interrupt_is_answered_at_once_and_the_second_ends_without_a_trace():
    process = subprocess.Popen(
        [sys.executable, "-c", DEAF],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a suite started in the background ignores Ctrl-C
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        process.stderr.readline()  # after the ^C that a terminal shows
        assert "Ctrl-C again stops at once" in process.stderr.readline()
        # what it repeats by itself is no second press
        heard = [process.stdout.readline() for _ in range(4)]
        assert heard == ["deaf\n", "waiting\n"] * 2
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "stopped at once" in rest
    assert "Traceback" not in rest


def test_list_bundles_shows_what_is_shipped(cli, tmp_path, monkeypatch):
    from subgrid.closures import Smagorinsky
    from subgrid.deploy import bundle, validity, write_bundle
    from subgrid.systems import TwoLayerQG

    system = TwoLayerQG(24, 16)
    metadata = {"valid_for": validity("qg", system, system, "operator1"), "dt": 1.0}
    monkeypatch.setattr(bundle, "_SHIPPED", tmp_path / "shipped")
    assert cli("list", "bundles") == (0, "", "")
    folder = tmp_path / "shipped" / "mine"
    write_bundle(Smagorinsky(system), folder, metadata=metadata, card="# what it is\n\nmore\n")
    size = round(sum(file.stat().st_size for file in folder.iterdir()) / 1000)
    assert size > 0
    assert cli("list", "bundles") == (0, f"  mine  qg, 24 x 16 cells, {size} kB. what it is\n", "")
