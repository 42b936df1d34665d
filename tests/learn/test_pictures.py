"""Pictures keep their colours where a network reads them, from the file to the batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytestmark = pytest.mark.train

from radsnap.imaging import write_image  # noqa: E402
from radsnap.jobs.predict import _input, _Shown  # noqa: E402
from radsnap.learn.pictures import decode  # noqa: E402
from radsnap.models.card import InputSpec  # noqa: E402

COLOURS = np.zeros((40, 60, 3), dtype=np.uint8)
COLOURS[:, :30], COLOURS[:, 30:] = (200, 100, 50), (20, 120, 220)
RGB = InputSpec(size_px=20, channels=3, pixels="rgb")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "colours.png"
    write_image(path, COLOURS)
    return path


def test_colours_are_decoded_where_they_are_asked_for(file: Path) -> None:
    picture = decode(file, 20, rgb=True)
    assert picture.shape == (20, 20, 3)
    assert picture[5, 3].tolist() == [200, 100, 50]
    grey = decode(file, 20)
    assert grey.shape == (20, 20)
    assert grey[5, 3] == round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)


@pytest.mark.parametrize("domain", ["digital", "screen"])
def test_scoring_a_manifest_shows_a_network_of_colours_the_colours(file: Path, domain: str) -> None:
    made = _input(file, domain, RGB, flatten=False)
    assert isinstance(made, _Shown)
    made = made.shown
    assert made.shape == (3, 20, 20)
    red, _, blue = made[:, 5, 3]
    assert red > blue
    grey = _input(file, domain, InputSpec(size_px=20), flatten=False)
    assert isinstance(grey, _Shown)
    assert grey.shown.shape == (1, 20, 20)
