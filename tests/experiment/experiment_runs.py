"""Runs of the smallest experiment for tests: started, stopped, and compared bit by bit."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

from subgrid.experiment import Progress
from subgrid.provenance import environment

SMALLEST = Path(__file__).with_name("smallest.toml")
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB"
    "0C8AAAAASUVORK5CYII="
)
# never the same twice, as is the checksum of a line with one of them
_TIMES = ("seconds", "update_seconds", "cost", "verdict", "checksum")
_DIFFERING = ("card.md", "files.sha256")


class Notes(Progress):
    """Keeps every line of news."""

    def __init__(self):
        self.lines = []

    def note(self, text):
        self.lines.append(text)


def start(*arguments, cwd=None):
    """Start a command line in a process of its own and return it; its report has empty images."""
    environment = dict(os.environ)
    environment["JAX_PLATFORMS"] = "cpu"
    cache = os.environ.get("SUBGRID_TEST_CACHE", ".cache/jax")
    environment["JAX_COMPILATION_CACHE_DIR"] = os.path.abspath(cache)
    environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    # a suite started in the background ignores Ctrl-C, and its children inherit that
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from subgrid.cli import main; from subgrid.evaluation import report; "
        f"report.data_uri = lambda *_: {PIXEL!r}; sys.exit(main())"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        cwd=cwd,
    )


def signal_when(process, text, number, delay=0.0):
    """Send a signal `delay` seconds after a line with `text`; return (exit code, output).

    A process that ends before is left alone.
    """
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            timer = threading.Timer(delay, process.send_signal, (number,))
            timer.start()
            break
    lines.extend(process.stdout)
    process.stdout.close()
    return process.wait(), "".join(lines)


def finish(process):
    """Wait for a process and return (exit code, output)."""
    output, _ = process.communicate()
    return process.returncode, output


def mark(folder, *names):
    """Record tasks as done that wrote nothing."""
    manifest = folder.manifest()
    for name in names:
        task = folder.tasks[name]
        record = {"key": task.key, "stage": task.stage, "seconds": 1.0, "resumed": False}
        manifest["tasks"][name] = {**record, "environment": environment(), "files": {}}
    folder.write_manifest(manifest)


def digests(folder):
    """Return the hash of every result in a run folder, what differs by nature left out."""
    found = {}
    for path in sorted(Path(folder).rglob("*")):
        name = path.relative_to(folder).as_posix()
        parts = path.relative_to(folder).parts
        if not path.is_file() or parts[0] not in ("data", "models", "evaluation", "scores.json"):
            continue
        differs = path.name in _DIFFERING or path.name.endswith("data_from.json")
        if differs or "costs" in parts or "checkpoints" in parts or ".lock" in name:
            continue
        content = path.read_bytes()
        if path.suffix in (".json", ".jsonl") and parts[0] != "data":
            lines = [content] if path.suffix == ".json" else content.splitlines()
            content = json.dumps([_timeless(json.loads(line)) for line in lines]).encode()
        found[name] = hashlib.sha256(content).hexdigest()
    return found


def _timeless(value):
    if isinstance(value, dict):
        return {name: _timeless(part) for name, part in value.items() if name not in _TIMES}
    return [_timeless(part) for part in value] if isinstance(value, list) else value
