"""What the tests of lungs share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def by_tone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The card of a network that takes dark for lungs and bright for the heart."""
    pytest.importorskip("onnx")
    from drawn_lungs import write_network

    return write_network(tmp_path_factory.mktemp("by-tone"))
