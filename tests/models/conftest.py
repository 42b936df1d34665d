"""Lets this room's tests import `foreign_states`, and keeps the user's own store out of them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty store of this test's own."""
    monkeypatch.setenv("RADSNAP_MODELS", str(tmp_path / "store"))
    return tmp_path / "store"
