"""Pages: the x-ray and its bands fit, whatever their shapes."""

from __future__ import annotations

import numpy as np
import pytest
from scenes import KEY, SESSION, xray

from radsnap.errors import UsageError
from radsnap.markers import Identity, draw_page, place, write_code


@pytest.mark.parametrize("page", [(1920, 1080), (1080, 1920), (2560, 1080), (1024, 768)])
@pytest.mark.parametrize("size", [(2048, 2500), (2500, 2048), (512, 512), (900, 2400)])
def test_bands_stand_beside_the_xray_and_on_the_page(page: tuple[int, int], size: tuple[int, int]) -> None:
    frame = place(page, size, 0.9)
    left, top, width, height = frame.xray_px
    assert width / height == pytest.approx(size[0] / size[1], rel=0.02)
    for band in frame.bands:
        for box in band.cells:
            corners = band.corners(box)
            assert (corners >= -0.5 - 1e-6).all()
            assert (corners <= np.array(page) - 0.5 + 1e-6).all()
            (x0, y0), (x1, y1) = corners[0], corners[2]
            beside = x1 < left - 0.5 or x0 > left + width - 0.5
            over = y1 < top - 0.5 or y0 > top + height - 0.5
            assert beside or over


def test_bands_go_where_the_xray_comes_out_larger() -> None:
    assert place((1920, 1080), (500, 500), 0.9).side == "columns"
    assert place((1080, 1920), (500, 500), 0.9).side == "rows"


def test_the_xray_is_shown_as_it_is() -> None:
    picture = xray()
    frame = place((960, 540), (picture.shape[1], picture.shape[0]), 0.8)
    left, top, width, height = frame.xray_px
    page = draw_page(picture, frame, write_code(Identity(SESSION, 1), KEY))
    clean = draw_page(picture, frame, None)
    box = (slice(top, top + height), slice(left, left + width))
    assert np.array_equal(page[box], clean[box])
    assert abs(page[box].mean() - picture.mean()) < 2
    clean[box] = 0
    assert not clean.any(), "without markers there is nothing but the x-ray on black"


@pytest.mark.parametrize(
    ("page", "share", "said"),
    [((300, 200), 0.9, "use a larger window or share"), ((1920, 1080), 1.5, "0.2 to 1 of the page")],
)
def test_pages_too_small_are_refused(page: tuple[int, int], share: float, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        place(page, (500, 500), share)
