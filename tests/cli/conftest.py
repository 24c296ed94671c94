"""Runs command lines in this process, with the tests' own cache of compiled programs."""

import os

import pytest

from subgrid.cli import main


@pytest.fixture
def cli(capfd, monkeypatch, tmp_path):
    """Return a function from arguments to (exit code, standard output, standard error)."""
    cache = os.path.abspath(os.environ.get("SUBGRID_TEST_CACHE", ".cache/jax"))
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", cache)
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return code, out, err

    return call
