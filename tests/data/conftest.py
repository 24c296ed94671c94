"""A finished store, and a copy of it to be damaged."""

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for small_generation, here and in tests

from small_generation import settings

from subgrid.data import generate


@pytest.fixture(scope="session")
def plain(tmp_path_factory):
    """A finished store, generated without interruption; not to be changed."""
    return generate(tmp_path_factory.mktemp("plain") / "train.zarr", **settings())


@pytest.fixture
def copy(plain, tmp_path):
    """A copy of the finished store and its records, to be damaged."""
    for name in ("train.zarr", "train.records"):
        shutil.copytree(plain.path.with_name(name), tmp_path / name)
    return tmp_path / "train.zarr"
