"""Makes the helpers of this folder importable, and gives two made-up splits."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from made_up import MadeUp


@pytest.fixture
def data(monkeypatch):
    """A training and a validation split."""
    train, validation = MadeUp(64, 0), MadeUp(16, 1)
    monkeypatch.setattr("subgrid.training.scaling.statistics", train.statistics)
    return train, validation
