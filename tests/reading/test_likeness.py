"""What is no x-ray is told what it looks like."""

from __future__ import annotations

import numpy as np
import pytest

from radsnap.imaging import Photo
from radsnap.phantom import draw
from radsnap.reading.likeness import PAGE, PHOTO, SCAN, likeness


@pytest.mark.parametrize(("what", "said"), [("document", PAGE), ("scene", PHOTO), ("ct_slice", SCAN)])
def test_what_is_no_xray_is_told_what_it_looks_like(what: str, said: str) -> None:
    drawn = draw(what, 0, 2, 512)
    assert isinstance(drawn, Photo)
    height, width = drawn.pixels.shape[:2]
    # the middle: the table around a page may be of any colour
    middle = drawn.pixels[height // 4 : -height // 4, width // 4 : -width // 4]
    assert likeness(Photo(np.ascontiguousarray(middle))) == said
