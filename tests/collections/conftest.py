"""Miniature trees in the layout of the originals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

Tree = Callable[..., Path]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Make files under a folder: text where it is given, a small picture for each name in `images`."""
    grey = np.linspace(0, 255, 64, dtype=np.uint8).reshape(8, 8)

    def make(images: list[str] | None = None, **texts: str) -> Path:
        root = tmp_path / "set"
        for name, text in texts.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        for name in images or []:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            suffix = path.suffix if path.suffix in (".png", ".jpg", ".jpeg") else ".png"
            path.write_bytes(cv2.imencode(suffix, grey)[1].tobytes())
        root.mkdir(exist_ok=True)
        return root

    return make
