"""The lowest versions that are declared are the ones that `make floors` installs and tests."""

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
PINNED = (ROOT / "constraints-floors.txt").read_text().split()


def _floors(requirements):
    """Return {name: lowest version} of requirements, which all must have one and nothing else."""
    matches = {text: re.fullmatch(r"([\w-]+)(?:\[.*\])?>=([\d.]+)", text) for text in requirements}
    assert all(matches.values()), [text for text, match in matches.items() if not match]
    return {match[1]: match[2] for match in matches.values()}


def test_every_declared_floor_is_pinned_and_nothing_else():
    declared = _floors([*PROJECT["dependencies"], *EXTRAS["dask"]])
    assert [f"{name}=={declared[name]}" for name in sorted(declared)] == PINNED


def test_extras_do_not_ask_for_another_floor_of_the_same_package():
    declared = _floors(PROJECT["dependencies"])
    for name, floor in _floors(EXTRAS["cuda"]).items():
        assert declared[name] == floor


@pytest.mark.parametrize("line", PINNED)
def test_what_is_installed_is_not_below_its_floor(line):
    from packaging.version import Version

    name, floor = line.split("==")
    try:
        installed = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{name} is not installed")  # an extra
    assert Version(installed) >= Version(floor)


def test_the_tested_versions_of_python_are_declared():
    lowest = re.fullmatch(r">=3\.(\d+)", PROJECT["requires-python"])
    prefix = "Programming Language :: Python :: 3."
    listed = [int(c.removeprefix(prefix)) for c in PROJECT["classifiers"] if c.startswith(prefix)]
    assert listed == list(range(int(lowest[1]), listed[-1] + 1))
