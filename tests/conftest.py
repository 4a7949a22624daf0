"""What all tests share: the real fixtures, where they are, and frames of every library."""

from pathlib import Path

import pytest
from hypothesis import settings

# How many examples a property is tried with; `make test-all` asks for the thorough number.
settings.register_profile("quick", max_examples=100, deadline=None)
settings.register_profile("thorough", max_examples=500, deadline=None)
settings.load_profile("quick")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture
def shared() -> Path:
    """The folder of real fixtures; skips where it is absent."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"real fixtures are absent: {SHARED / 'data'}")
    return SHARED
