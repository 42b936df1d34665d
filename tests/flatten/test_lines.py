"""A quadrilateral comes from the network's maps, whatever of it lies outside the photo."""

from __future__ import annotations

import numpy as np
import pytest

from radsnap.flatten.lines import box_of, overlap, quad_of
from radsnap.flatten.quad import Quad, area, meet
from radsnap.imaging.homography import is_convex


def drawn(corners: np.ndarray, size: int = 64) -> np.ndarray:
    """Draw the maps that a perfect network would give: the mask, then a ridge along each side."""
    y, x = np.mgrid[0:size, 0:size].astype(float)
    maps = np.zeros((5, size, size), np.float32)
    inside = np.ones((size, size), bool)
    for side in range(4):
        a, b = corners[side], corners[(side + 1) % 4]
        along = b - a
        share = (((x - a[0]) * along[0] + (y - a[1]) * along[1]) / (along @ along)).clip(0, 1)
        away = (x - a[0] - share * along[0]) ** 2 + (y - a[1] - share * along[1]) ** 2
        maps[1 + side] = np.exp(-away / 2)
        inside &= along[0] * (y - a[1]) - along[1] * (x - a[0]) >= 0
    maps[0] = inside
    return maps


INSIDE = np.array([(12.3, 9.1), (50.7, 13.4), (47.2, 52.8), (9.6, 55.5)])
ALL = np.ones(4, bool)


def test_a_quadrilateral_in_view_is_met_within_a_tenth_of_a_cell() -> None:
    found = quad_of(drawn(INSIDE), ALL)
    assert found is not None
    assert np.abs(found.corners - INSIDE).max() < 0.1
    assert found.seen == (True, True, True, True)
    assert found.agreement > 0.95
    assert found.support > 0.8
    assert found.beside < 0.02


def test_corners_outside_the_photo_are_where_the_sides_meet() -> None:
    corners = np.array([(-8.0, -5.0), (50.0, 6.0), (47.0, 52.0), (6.0, 56.0)])
    found = quad_of(drawn(corners), ALL)
    assert found is not None
    assert np.abs(found.corners - corners).max() < 1.0


def test_the_photos_edge_stands_for_a_side_out_of_view() -> None:
    corners = np.array([(12.0, 10.0), (50.0, 10.0), (50.0, 90.0), (12.0, 90.0)])
    found = quad_of(drawn(corners), np.array([True, True, False, True]))
    assert found is not None
    assert found.seen == (True, True, False, True)
    assert np.abs(found.corners - [(12, 10), (50, 10), (50, 63.5), (12, 63.5)]).max() < 0.2


def test_one_side_alone_still_gives_a_quadrilateral() -> None:
    corners = np.array([(12.0, -40.0), (150.0, -40.0), (150.0, 90.0), (12.0, 90.0)])
    found = quad_of(drawn(corners), np.array([False, False, False, True]))
    assert found is not None
    assert np.abs(found.corners - [(12, -0.5), (63.5, -0.5), (63.5, 63.5), (12, 63.5)]).max() < 0.2


@pytest.mark.parametrize("fill", [0.0, 1.0, np.nan])
def test_maps_without_sides_give_nothing(fill: float) -> None:
    maps = np.full((5, 64, 64), fill, np.float32)
    assert quad_of(maps, np.zeros(4, bool)) is None


def test_empty_maps_give_nothing_even_where_sides_are_promised() -> None:
    assert quad_of(np.zeros((5, 64, 64), np.float32), ALL) is None


def test_sides_in_the_wrong_places_give_nothing() -> None:
    assert quad_of(drawn(INSIDE)[[0, 3, 2, 1, 4]], ALL) is None


def test_random_maps_never_give_an_unsound_quadrilateral() -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        found = quad_of(rng.random((5, 64, 64)).astype(np.float32) ** 4, rng.random(4) < 0.7)
        assert found is None or (is_convex(found.corners) and area(found.corners) > 0)


def test_parallel_lines_meet_nowhere() -> None:
    assert meet(np.array([(1.0, 0, 1), (1, 0, 2), (0, 1, 3), (0, 1, 4)])) is None


def test_a_quads_json_holds_plain_numbers() -> None:
    told = Quad(INSIDE, 0.98765, sides_seen=(True, False, True, True)).to_json()
    assert told["corners_px"] == [[12.3, 9.1], [50.7, 13.4], [47.2, 52.8], [9.6, 55.5]]
    assert told["sides_seen"] == {"top": True, "right": False, "bottom": True, "left": True}


def test_the_box_around_a_mask_takes_its_largest_piece_from_the_upper_left() -> None:
    along, down = np.array((14.0, -4.0)), np.array((5.0, 17.5))  # square to each other
    turned = INSIDE.mean(axis=0) + np.array([-along - down, along - down, along + down, down - along])
    mask = drawn(turned)[0]
    mask[60:63, 1:4] = 1  # a crumb
    box = box_of(mask)
    assert box is not None
    assert np.abs(box - turned).max() < 1.5
    assert overlap(mask, box)[0] > 0.9
    assert overlap(mask, box + 100) == (0.0, 1.0)
    assert box_of(np.zeros((64, 64), np.float32)) is None
    assert box_of(np.pad(np.ones((3, 3), np.float32), 20)) is None
