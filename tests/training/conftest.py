"""Makes the helpers of this folder importable, and gives two made-up splits."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from made_up import MadeUp


@pytest.fixture
def data():
    """A training and a validation split."""
    train, validation = MadeUp(64, 0), MadeUp(16, 1)
    return train, validation
