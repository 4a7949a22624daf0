"""What all tests share: the real fixtures, where they are, and frames of every library."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture
def shared() -> Path:
    """The folder of real fixtures; skips where it is absent."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"real fixtures are absent: {SHARED / 'data'}")
    return SHARED
